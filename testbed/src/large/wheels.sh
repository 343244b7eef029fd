# Layer 3: wheels with large libraries, and their byte code by hash instead of by time.
pip install --no-cache-dir --no-compile --no-deps --only-binary=:all: --no-warn-script-location \
    --root-user-action=ignore --break-system-packages --disable-pip-version-check \
    numpy==1.26.4 pandas==2.2.3 scipy==1.13.1 python-dateutil==2.9.0.post0 pytz==2024.2 tzdata==2024.2 six==1.17.0
# Some of pandas' tests are no Python on purpose.
python3 -m compileall -q --invalidation-mode unchecked-hash /usr/local/lib/python3.11/dist-packages || true
