# One layer: runs the script $1 (in a file) in a root made of the layers $2 (overlay's lowerdir), with what it changes
# going to $3; $4 is overlay's work folder and $5 the mount point. In a mount namespace of its own: nothing stays mounted.
# `volatile`: dpkg syncs each file, which takes minutes on a busy disk.
set -eu
root=$5
mount -t overlay overlay -o "lowerdir=$2,upperdir=$3,workdir=$4,index=off,metacopy=off,redirect_dir=off,volatile" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for place in tmp run root; do mount -t tmpfs tmpfs "$root/$place"; done
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
cp "$1" "$root/tmp/script"
set -- PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC DEBIAN_FRONTEND=noninteractive \
    "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH"
# The host's certificates, where it has them: its network may have an authority of its own.
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
if [ -f "$certificates" ]; then
    cp "$certificates" "$root/tmp/authorities"
    set -- "$@" SSL_CERT_FILE=/tmp/authorities PIP_CERT=/tmp/authorities NODE_EXTRA_CA_CERTS=/tmp/authorities
fi
exec env -i "$@" chroot "$root" sh -eu /tmp/script
