# Layer 2: a language or two, as a Dockerfile would install them.
apt-get update -q
apt-get install -y -q --no-install-recommends \
    python3 python3-pip git nodejs npm perl curl ca-certificates openssh-client less
# What differs from run to run, or what nobody keeps.
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log \
    /var/log/alternatives.log /var/cache/ldconfig/aux-cache
