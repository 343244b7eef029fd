# Layer 5: what a merge of layers can get wrong.
cd /
# Hundreds of deletions, files and whole folders.
rm -rf usr/share/doc/lib* usr/share/man/man8 srv/app/node_modules/date-fns/locale \
    usr/local/lib/python3.11/dist-packages/pandas/tests
rm -f srv/app/package-lock.json usr/bin/less
# Folders that are made anew are opaque.
rm -rf usr/share/zoneinfo srv/app/node_modules/three/examples
mkdir usr/share/zoneinfo srv/app/node_modules/three/examples
echo "hides every other zone" > usr/share/zoneinfo/Wharf
echo "there were many" > srv/app/node_modules/three/examples/README
# Each kind becomes another.
rm -rf usr/share/menu usr/share/lintian etc/issue
ln -s dict usr/share/menu
echo "a folder that became a file" > usr/share/lintian
mkdir etc/issue
echo "a file that became a folder" > etc/issue/was-a-file
# Replaced files, and metadata alone.
echo "welcome aboard" > etc/motd
cp /usr/bin/node usr/local/bin/node-patched
printf patched >> usr/local/bin/node-patched
cp usr/local/bin/node-patched usr/bin/node
chmod 0750 srv/app
chown 33:33 srv/app/package.json
# Hard links: to files of lower layers (both names come up), one of which goes away, and among themselves.
ln usr/bin/dash usr/local/bin/dash-again
ln usr/bin/git usr/local/bin/git-again
rm usr/bin/git
ln usr/bin/passwd usr/local/bin/passwd-again
# perl5.36.0 is another name of the same inode: it stays.
rm usr/bin/perl
echo "one inode, three names" > srv/rope-1
ln srv/rope-1 srv/rope-2
ln srv/rope-1 usr/local/share/rope-3
ln -s nowhere/at/all srv/dangling
ln srv/dangling srv/dangling-again
# Owners, set-id bits, capabilities, attributes, devices, a FIFO, a sparse file.
for name in anchor suid sgid both; do cp usr/bin/true usr/local/bin/$name; done
chown 0:42 usr/local/bin/sgid usr/local/bin/both
chmod 4755 usr/local/bin/suid
chmod 2755 usr/local/bin/sgid
chmod 6711 usr/local/bin/both
echo bananas > srv/cargo
chown 4000000000:3999999999 srv/cargo
chmod 600 srv/cargo
mkfifo srv/horn
mknod srv/null c 1 3
mknod srv/loop b 7 0
truncate -s 8M srv/sparse
printf middle | dd of=srv/sparse bs=1 seek=4194304 conv=notrunc status=none
# Names: long ones, ones beyond ASCII, one that is no UTF-8.
long=srv/$(printf 'long%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30)
mkdir -p "$long" srv/Æøå
echo "a long name" > "$long/$(printf 'longer%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25)"
echo "names are bytes" > srv/Æøå/läger
echo "and not always text" > "srv/$(printf 'l\344ger')"
touch -d 1970-01-01T00:00:01Z srv/old
python3 - <<'END'
import os
os.setxattr("/srv/cargo", "user.cargo", b"\0binary\xff\n")
os.setxattr("/srv", "user.harbour", b"a folder")
# cap_net_bind_service,cap_net_raw=ep
os.setxattr("/usr/local/bin/anchor", "security.capability", bytes.fromhex("0100000200240000" + "00" * 12))
END
