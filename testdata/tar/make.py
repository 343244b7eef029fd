#!/usr/bin/env python3
"""Makes the tars of this directory and `cases.toml`, as root, with GNU tar, bsdtar, Go and this Python.

    make.py            makes one tree, packs it with each tool in each format, and writes what must come out of each
    make.py check      reads written.tar, which is ours, with each tool, and compares with the same list

What is expected comes from the list below, never from a parser.
"""
import gzip, hashlib, io, json, os, shutil, struct, subprocess, sys, tarfile, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in [
    (1, 6, 2**32 - 1), (2, 7, 31337), (4, 4, 2**32 - 1), (16, 7, 2**32 - 1), (32, 4, 2**32 - 1)])
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
LONG = b"long/" + b"x" * 60 + b"/" + b"y" * 60
LONGER = b"longer/" + b"z" * 200


def sparse(fragments, size):
    content = bytearray(size)
    for number, (offset, length) in enumerate(fragments):
        content[offset:offset + length] = bytes([97 + number % 26]) * length
    return dict(content=bytes(content), fragments=fragments)


def item(path, kind, mode=0o644, uid=0, gid=0, mtime=(1_000_000_000, 0), link=b"", content=b"", fragments=None, device=(0, 0), xattrs=None):
    return dict(path=path, kind=kind, mode=mode, uid=uid, gid=gid, mtime=mtime, link=link, content=content,
                fragments=fragments, device=device, xattrs=xattrs or {})


PLAIN = [
    item(b"d/", "directory", 0o1755),
    item(b"d/file", "file", 0o644, 1000, 50, content=b"hello\n"),
    item(b"d/hard", "hard_link", 0o644, 1000, 50, link=b"d/file"),
    item(b"d/block512", "file", content=b"b" * 512),
    item(b"d/setuid", "file", 0o4755, content=b"#!/bin/sh\n"),
    item(b"d/empty", "file", 0o600, 65534, 65534),
    item(b"d/soft", "symlink", 0o777, link=b"../a//target/."),
    item(b"latin\xe9", "file", content=b"bytes"),
]
DEVICES = [
    item(b"d/fifo", "fifo", 0o640),
    item(b"d/char", "char", 0o666, device=(1, 3)),
    item(b"d/block", "block", 0o660, device=(259, 70000)),
]
SPLIT = [item(LONG, "file", content=b"split")]
NAMES = [
    item("caf\u00e9".encode(), "file", content=b"utf-8"),
    item(LONGER, "file", content=b"longer"),
    item(b"d/far", "symlink", 0o777, link=b"t" * 180),
    item(b"d/near", "hard_link", link=LONGER),
]
LARGE = [item(b"d/large", "file", 0o644, 3_000_000_000, 4_294_967_294, content=b"owner")]
OLD = [item(b"d/before", "file", mtime=(-2, 0), content=b"before 1970")]
FRACTIONS = [
    item(b"d/fraction", "file", mtime=(1_234_567_890, 123_456_789), content=b"1"),
    item(b"d/negative", "file", mtime=(-2, 500_000_000), content=b"2"),
]
XATTRS = [
    item(b"d/xattrs", "file", 0o755, content=b"x", xattrs={b"user.bin": b"\0\xff\n= \r", b"security.capability": CAPABILITY}),
]
ACLS = [item(b"d/acl", "file", 0o674, content=b"x", xattrs={b"system.posix_acl_access": ACL})]
SPARSE = [
    item(b"d/sparse", "file", **sparse([(8192, 4096), (65536, 8192)], 200_001)),
    item(b"d/many", "file", **sparse([(8192 * at, 4096) for at in range(1, 28)], 8192 * 28)),
    item(b"d/after", "file", content=b"after"),
]
ALL = PLAIN + DEVICES + SPLIT + NAMES + LARGE + OLD + FRACTIONS + XATTRS

GO = r'''
package main

import ("archive/tar"; "encoding/hex"; "encoding/json"; "fmt"; "io"; "os"; "strings"; "time")

type Item struct { Path, Kind, Link, Content string; Mode int64; Uid, Gid int; Mtime [2]int64; Device [2]int64; Xattrs map[string]string }

func un(text string) string { bytes, err := hex.DecodeString(text); check(err); return string(bytes) }
func check(err error) { if err != nil { panic(err) } }

var flags = map[string]byte{"file": '0', "hard_link": '1', "symlink": '2', "char": '3', "block": '4', "directory": '5', "fifo": '6'}
var formats = map[string]tar.Format{"ustar": tar.FormatUSTAR, "gnu": tar.FormatGNU, "pax": tar.FormatPAX}

func main() {
	if os.Args[1] == "read" { read(); return }
	var items []Item
	check(json.NewDecoder(os.Stdin).Decode(&items))
	writer := tar.NewWriter(os.Stdout)
	for _, item := range items {
		header := tar.Header{Typeflag: flags[item.Kind], Name: un(item.Path), Linkname: un(item.Link), Mode: item.Mode, Uid: item.Uid, Gid: item.Gid,
			ModTime: time.Unix(item.Mtime[0], item.Mtime[1]), Devmajor: item.Device[0], Devminor: item.Device[1], Size: int64(len(item.Content) / 2), Format: formats[os.Args[1]]}
		for name, value := range item.Xattrs {
			if header.PAXRecords == nil { header.PAXRecords = map[string]string{} }
			header.PAXRecords["SCHILY.xattr." + un(name)] = un(value)
		}
		check(writer.WriteHeader(&header))
		_, err := io.WriteString(writer, un(item.Content))
		check(err)
	}
	check(writer.Close())
}

func read() {
	kinds := map[byte]string{}
	for kind, flag := range flags { kinds[flag] = kind }
	reader := tar.NewReader(os.Stdin)
	items := []Item{}
	for {
		header, err := reader.Next()
		if err == io.EOF { break }
		check(err)
		content, err := io.ReadAll(reader)
		check(err)
		item := Item{Path: fmt.Sprintf("%x", header.Name), Kind: kinds[header.Typeflag], Link: fmt.Sprintf("%x", header.Linkname), Content: fmt.Sprintf("%x", content),
			Mode: header.Mode, Uid: header.Uid, Gid: header.Gid, Mtime: [2]int64{header.ModTime.Unix(), int64(header.ModTime.Nanosecond())},
			Device: [2]int64{header.Devmajor, header.Devminor}, Xattrs: map[string]string{}}
		for key, value := range header.PAXRecords {
			if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok { item.Xattrs[fmt.Sprintf("%x", name)] = fmt.Sprintf("%x", value) }
		}
		items = append(items, item)
	}
	check(json.NewEncoder(os.Stdout).Encode(items))
}
'''


def make_tree(items, root):
    for entry in items:
        path = os.path.join(root, entry["path"])
        os.makedirs(os.path.dirname(path.rstrip(b"/")), exist_ok=True)
        kind = entry["kind"]
        if kind == "directory":
            os.makedirs(path, exist_ok=True)
        elif kind == "symlink":
            os.symlink(entry["link"], path)
        elif kind == "hard_link":
            os.link(os.path.join(root, entry["link"]), path)
            continue
        elif kind == "file":
            with open(path, "wb") as file:
                if entry["fragments"] is None:
                    file.write(entry["content"])
                for offset, length in entry["fragments"] or []:
                    file.seek(offset)
                    file.write(entry["content"][offset:offset + length])
                file.truncate(len(entry["content"]))
        else:
            bits = {"fifo": 0o010000, "char": 0o020000, "block": 0o060000}[kind]
            os.mknod(path, bits | 0o600, os.makedev(*entry["device"]))
        os.chown(path, entry["uid"], entry["gid"], follow_symlinks=False)
        if kind != "symlink":
            os.chmod(path, entry["mode"])
        for name, value in entry["xattrs"].items():
            os.setxattr(path, name, value)
    for entry in reversed(items):
        if entry["kind"] != "hard_link":
            seconds, nanos = entry["mtime"]
            time = seconds * 10**9 + nanos
            os.utime(os.path.join(root, entry["path"]), ns=(time, time), follow_symlinks=False)


def packed(command, items, root):
    names = b"".join(entry["path"].rstrip(b"/") + b"\0" for entry in items)
    made = subprocess.run(command, input=names, stdout=subprocess.PIPE, cwd=root, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    return made.stdout


def gnu(*options):
    return lambda items, root: packed(["tar", "--null", "--no-recursion", "--numeric-owner", "-T", "-", *options, "-cf", "-"], items, root)


def bsd(*options):
    return lambda items, root: packed(["bsdtar", "--null", "-n", "--uname", "", "--gname", "", "-T", "-", *options, "-cf", "-"], items, root)


def python(format):
    def pack(items, _):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=format) as archive:
            for entry in items:
                name = lambda field: os.fsdecode(entry[field])
                info = tarfile.TarInfo(name("path").rstrip("/"))
                info.type = {"file": tarfile.REGTYPE, "hard_link": tarfile.LNKTYPE, "symlink": tarfile.SYMTYPE, "char": tarfile.CHRTYPE,
                             "block": tarfile.BLKTYPE, "directory": tarfile.DIRTYPE, "fifo": tarfile.FIFOTYPE}[entry["kind"]]
                info.mode, info.uid, info.gid, info.linkname = entry["mode"], entry["uid"], entry["gid"], name("link")
                seconds, nanos = entry["mtime"]
                info.mtime = seconds + nanos / 1e9 if nanos else seconds
                info.devmajor, info.devminor = entry["device"]
                info.size = len(entry["content"])
                archive.addfile(info, io.BytesIO(entry["content"]))
        return out.getvalue()
    return pack


def umoci(items, root):
    """The layer that `umoci insert` makes of d/. That of Debian's 0.4.7 ends where the content of its last file does."""
    with tempfile.TemporaryDirectory() as scene:
        for command in ["init --layout o", "new --image o:x", f"insert --image o:x {os.fsdecode(root)}/d /d"]:
            subprocess.run(["umoci", *command.split()], cwd=scene, check=True)
        read = lambda path: json.load(open(os.path.join(scene, "o", path)))
        blob = lambda found: os.path.join("blobs", *found["digest"].split(":"))
        layer = read(blob(read("index.json")["manifests"][0]))["layers"][0]
        with gzip.open(os.path.join(scene, "o", blob(layer))) as file:
            return file.read()


def go(format):
    def hexed(entry):
        fields = {name: entry[name].hex() for name in ("path", "link", "content")}
        xattrs = {name.hex(): value.hex() for name, value in entry["xattrs"].items()}
        return {**{name: entry[name] for name in ("kind", "mode", "uid", "gid", "mtime", "device")}, **fields, "xattrs": xattrs}
    return lambda items, _: run_go(format, json.dumps([hexed(entry) for entry in items]).encode())


def run_go(argument, given):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "main.go"), "w") as file:
            file.write(GO)
        return subprocess.run(["go", "run", "main.go", argument], input=given, stdout=subprocess.PIPE, cwd=folder, check=True).stdout


MIXED = PLAIN + DEVICES + SPLIT + NAMES + LARGE
CASES = [
    ("gnu-v7", gnu("--format=v7"), PLAIN, {}),
    ("gnu-ustar", gnu("--format=ustar"), PLAIN + DEVICES + SPLIT, {}),
    ("gnu-oldgnu", gnu("--format=oldgnu"), MIXED, {}),
    ("gnu-gnu", gnu("--format=gnu"), MIXED + OLD, {}),
    ("gnu-pax", gnu("--format=posix", "--xattrs", "--xattrs-include=*"), ALL, {}),
    ("gnu-pax-acl", gnu("--format=posix", "--acls", "--pax-option=delete=atime,delete=ctime"), ACLS, {}),
    ("gnu-sparse-old", gnu("--format=gnu", "--sparse"), SPARSE, {}),
    ("gnu-sparse-0.0", gnu("--format=posix", "--sparse", "--sparse-version=0.0"), SPARSE, {}),
    ("gnu-sparse-0.1", gnu("--format=posix", "--sparse", "--sparse-version=0.1"), SPARSE, {}),
    ("gnu-sparse-1.0", gnu("--format=posix", "--sparse", "--sparse-version=1.0"), SPARSE, {}),
    ("gnu-global", gnu("--format=posix", "--pax-option=globexthdr.name=g,comment=global,uid=77,delete=atime,delete=ctime"), SPLIT, {LONG: {"uid": 77}}),
    ("gnu-label", gnu("--format=gnu", "--label=a label"), PLAIN[:2], {}),
    ("bsd-ustar", bsd("--format=ustar"), PLAIN + DEVICES + SPLIT, {}),
    ("bsd-gnu", bsd("--format=gnutar"), MIXED, {}),
    # libarchive writes seconds and their fraction one by one: a second and a half before 1970 as -2.5, which it is not.
    ("bsd-pax", bsd("--format=pax", "--xattrs"), ALL, {b"d/negative": {"mtime": (-3, 500_000_000)}}),
    # ... and the owning group's permissions as the mode has them without an ACL, where stat(2) shows the mask.
    ("bsd-pax-acl", bsd("--format=pax", "--acls"), ACLS, {b"d/acl": {"mode": 0o644}}),
    ("bsd-sparse", bsd("--format=pax"), SPARSE, {}),
    ("python-ustar", python(tarfile.USTAR_FORMAT), PLAIN + DEVICES + SPLIT, {}),
    ("python-gnu", python(tarfile.GNU_FORMAT), MIXED + OLD, {}),
    ("python-pax", python(tarfile.PAX_FORMAT), MIXED + OLD, {}),
    ("go-ustar", go("ustar"), PLAIN[:-1] + DEVICES + SPLIT, {}),
    ("go-gnu", go("gnu"), MIXED + OLD, {}),
    ("go-pax", go("pax"), ALL, {}),
    ("umoci-insert", umoci, PLAIN[:2], {}),
]


def escaped(name):
    """As Rust's `escape_ascii` shows it."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b"\\'\"" else "\\x%02x" % byte for byte in name)


def expected(entry, changes, sparse):
    lines = ["[[case.entry]]", f"path = '{escaped(entry['path'])}'", f"kind = '{entry['kind']}'"]
    if entry["link"]:
        lines.append(f"link = '{escaped(entry['link'])}'")
    # What a hard link says of itself besides its target means nothing.
    if entry["kind"] != "hard_link":
        entry = {**entry, **changes.get(entry["path"], {})}
        seconds, nanos = entry["mtime"]
        lines += [f"mode = 0o{entry['mode']:o}", f"uid = {entry['uid']}", f"gid = {entry['gid']}", f"mtime = [{seconds}, {nanos}]"]
        if entry["kind"] in ("char", "block"):
            lines.append("device = [%d, %d]" % entry["device"])
        if entry["kind"] == "file":
            lines += [f"size = {len(entry['content'])}", f"sha256 = '{hashlib.sha256(entry['content']).hexdigest()}'"]
        if entry["fragments"] and sparse:
            lines.append("sparse = true")
        for name, value in sorted(entry["xattrs"].items()):
            lines.append(f"xattrs.'{escaped(name)}' = '{value.hex()}'")
    return "\n".join(lines) + "\n"


def make():
    text = ["# What must be read from the tars beside this file. Made by make.py; names are escaped where they are not printable ASCII.\n"]
    for name, pack, items, changes in CASES:
        with tempfile.TemporaryDirectory() as root:
            make_tree(items, root.encode())
            made = pack(items, root)
        with open(os.path.join(HERE, name + ".tar"), "wb") as file:
            ended = made.rstrip(b"\0") + b"\0" * (-len(made.rstrip(b"\0")) % 512 + 1024)
            file.write(made if pack is umoci else ended)
        text.append(f"[[case]]\nfile = '{name}.tar'\n")
        text += [expected(entry, changes, "sparse" in name) for entry in items]
    with open(os.path.join(HERE, "cases.toml"), "w") as file:
        file.write("\n".join(text))


def check():
    """written.tar holds what go-pax.tar does."""
    path = os.path.join(HERE, "written.tar")
    with open(path, "rb") as file:
        data = file.read()
    for entry, seen in zip(ALL, json.loads(run_go("read", data)), strict=True):
        seen = {key.lower(): value for key, value in seen.items()}
        for field in ("path", "link", "content"):
            assert bytes.fromhex(seen[field]) == entry[field], ("go", field, entry, seen)
        for field in ("kind", "mode", "uid", "gid"):
            assert seen[field] == entry[field], ("go", field, entry, seen)
        assert (tuple(seen["mtime"]), tuple(seen["device"])) == (entry["mtime"], entry["device"]), ("go", entry, seen)
        assert {bytes.fromhex(k): bytes.fromhex(v) for k, v in seen["xattrs"].items()} == entry["xattrs"], ("go", entry, seen)
    with tarfile.open(path) as archive:
        for entry, seen in zip(ALL, archive.getmembers(), strict=True):
            name = lambda text: os.fsencode(text)
            assert (name(seen.name), name(seen.linkname)) == (entry["path"].rstrip(b"/"), entry["link"]), ("python", entry, seen.name)
            assert (seen.mode, seen.uid, seen.gid) == (entry["mode"], entry["uid"], entry["gid"]), ("python", entry)
            seconds, nanos = entry["mtime"]
            assert abs(seen.mtime - (seconds + nanos / 1e9)) < 1e-6, ("python", entry, seen.mtime)
            if entry["kind"] == "file":
                assert archive.extractfile(seen).read() == entry["content"], ("python", entry)
    tools = {
        "GNU tar": (["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", path], True),
        "bsdtar": (["bsdtar", "--xattrs", "--numeric-owner", "-xpf", path], True),
        "bsdtar in the C locale": (["env", "LC_ALL=C", "bsdtar", "--xattrs", "--numeric-owner", "-xpf", path], True),
        "busybox": (["busybox", "tar", "-xpf", path], False),
    }
    for tool, (command, exact) in tools.items():
        if not shutil.which(command[0]):
            print(tool, "is not here")
            continue
        with tempfile.TemporaryDirectory() as root:
            done = subprocess.run(command, cwd=root, stderr=subprocess.PIPE, env={"LC_ALL": "C.UTF-8", **os.environ})
            print(f"{tool}: exit {done.returncode} {done.stderr.decode(errors='replace').strip()}")
            for entry in ALL:
                look(tool, os.path.join(root.encode(), entry["path"]), entry, root.encode(), exact)


def look(tool, path, entry, root, exact):
    try:
        seen = os.lstat(path)
    except FileNotFoundError:
        print(f"  {tool}: {entry['path']} is missing")
        return
    if entry["kind"] == "hard_link":
        assert os.path.samefile(path, os.path.join(root, entry["link"])), (tool, entry)
        return
    seconds, nanos = entry["mtime"]
    wanted = dict(uid=entry["uid"], gid=entry["gid"], mtime=seconds * 10**9 + nanos)
    found = dict(uid=seen.st_uid, gid=seen.st_gid, mtime=seen.st_mtime_ns)
    if entry["kind"] != "symlink":
        wanted["mode"], found["mode"] = entry["mode"], seen.st_mode & 0o7777
    if entry["kind"] == "symlink":
        wanted["link"], found["link"] = entry["link"], os.readlink(path)
    if entry["kind"] == "file":
        with open(path, "rb") as file:
            wanted["content"], found["content"] = entry["content"], file.read()
        if exact:
            wanted["xattrs"] = entry["xattrs"]
            found["xattrs"] = {os.fsencode(name): os.getxattr(path, name) for name in os.listxattr(path)}
    if entry["kind"] in ("char", "block"):
        wanted["device"], found["device"] = entry["device"], (os.major(seen.st_rdev), os.minor(seen.st_rdev))
    for field in wanted:
        if wanted[field] != found[field]:
            print(f"  {tool}: {entry['path']}: {field} {found[field]}, not {wanted[field]}")


if __name__ == "__main__":
    check() if sys.argv[1:] == ["check"] else make()
