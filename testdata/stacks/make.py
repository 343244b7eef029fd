#!/usr/bin/env python3
"""Makes the compressed layers in blobs/, with gzip, zstd and this Python.

    make.py            writes them anew
    make.py check      says which of them would change: other versions of the tools compress otherwise

What they hold is said here, what must come of them in the cases.
"""
import bz2, json, lzma, os, struct, subprocess, sys, tarfile, zlib

BLOBS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "blobs")


def entries(*files):
    """Each entry's bytes: header, content and padding."""
    made = []
    for name, content in files:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = len(content), 1000, 0o644
        made.append(info.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-len(content) % 512))
    return made


def tar(*files):
    return b"".join(entries(*files)) + b"\0" * 1024


def member(content, level=9, flags=0, fields=b"", crc=None, size=None):
    packed = zlib.compressobj(level, zlib.DEFLATED, -15)
    body = packed.compress(content) + packed.flush()
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\x02\xff" + fields
    if flags & 2:
        head += struct.pack("<H", zlib.crc32(head) & 0xffff)
    crc = zlib.crc32(content) if crc is None else crc
    return head + body + struct.pack("<II", crc, len(content) if size is None else size)


def frame(content, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=content, stdout=subprocess.PIPE, check=True).stdout


def skippable(content, number=0):
    return struct.pack("<II", 0x184D2A50 + number, len(content)) + content


def blobs():
    two = [("a", b"1" * 600), ("d/b", b"2")]
    plain = tar(*two)
    extra = b"\x04\0AB\0\0"
    yield "fields.tar.gz", member(plain, flags=31, fields=struct.pack("<H", len(extra)) + extra + b"name\0comment\0")
    yield "members.tar.gz", member(plain[:700]) + member(b"") + member(plain[700:])
    yield "padded.tar.gz", member(plain) + b"\0" * 700
    yield "trailing.tar.gz", member(plain) + b"trailing"
    yield "crc.tar.gz", member(plain, crc=1)
    yield "length.tar.gz", member(plain, size=len(plain) + 1)
    yield "cut.tar.gz", member(plain)[:-5]
    yield "no-end.tar.gz", member(b"".join(entries(*two)))
    checked = ("-19", "--check")
    yield "frames.tar.zst", (skippable(b"before") + frame(plain[:700], *checked) + skippable(b"", 15)
                             + frame(plain[700:], "-1", "--no-check") + skippable(b"behind", 3))
    broken = bytearray(frame(plain, *checked))
    broken[-1] ^= 1
    yield "checksum.tar.zst", bytes(broken)
    yield "cut.tar.zst", frame(plain, *checked)[:-5]
    yield "trailing.tar.zst", frame(plain, *checked) + b"\0\0"
    yield "tar.bz2", bz2.compress(plain)
    yield "tar.xz", lzma.compress(plain)
    yield "empty.gz", member(b"")
    # 36 KiB of zstd that are a file of more than a gibibyte of zeros.
    info = tarfile.TarInfo("zeros")
    info.size, info.mtime = (1 << 30) + (64 << 20), 1000
    bomb = subprocess.Popen(["zstd", "-q", "-c", "-3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    bomb.stdin.write(info.tobuf(tarfile.USTAR_FORMAT))
    pid = os.fork()
    if pid == 0:
        for _ in range(info.size >> 20):
            bomb.stdin.write(b"\0" * (1 << 20))
        bomb.stdin.write(b"\0" * 1024)
        bomb.stdin.close()
        os._exit(0)
    bomb.stdin.close()
    yield "bomb.tar.zst", bomb.stdout.read()
    os.waitpid(pid, 0)
    bomb.wait()

    # eStargz (stargz-snapshotter, docs/estargz.md): a member for each entry, a table of contents as the last entry, and
    # a member of no bytes whose extra field says where that table begins.
    landmark = (".no.prefetch.landmark", b"\x0f")
    parts = entries(landmark, ("bin/tool", b"#!/bin/sh\n"), ("etc/conf", b"conf\n"))
    packed = b"".join(member(part) for part in parts)
    toc = json.dumps({"version": 1, "entries": [
        {"name": ".no.prefetch.landmark", "type": "reg", "size": 1, "offset": 0},
        {"name": "bin/tool", "type": "reg", "size": 10, "offset": len(member(parts[0]))},
    ]}, indent=0).encode()
    table = member(b"".join(entries(("stargz.index.json", toc))) + b"\0" * 1024)
    subfield = b"SG" + struct.pack("<H", 22) + b"%016xSTARGZ" % len(packed)
    footer = member(b"", level=0, flags=4, fields=struct.pack("<H", len(subfield)) + subfield)
    yield "estargz.tar.gz", packed + table + footer

    # zstd:chunked (containers/storage, pkg/chunked): a frame for each entry, then the manifest of chunks and a footer in
    # skippable frames.
    parts = entries(("bin/tool", b"#!/bin/sh\n"), ("etc/conf", b"conf\n"))
    packed = b"".join(frame(part) for part in parts) + frame(b"\0" * 1024)
    manifest = frame(b'{"version":1,"entries":[]}')
    footer = struct.pack("<QQQQ", len(packed) + 8, len(manifest), 26, 1) + b"\0" * 24 + b"GNUlInUx"
    yield "zstd-chunked.tar.zst", packed + skippable(manifest) + skippable(footer)


if __name__ == "__main__":
    check = sys.argv[1:] == ["check"]
    os.makedirs(BLOBS, exist_ok=True)
    for name, content in blobs():
        path = os.path.join(BLOBS, name)
        if check:
            same = os.path.exists(path) and open(path, "rb").read() == content
            print(name, "as it was" if same else "would change")
        else:
            with open(path, "wb") as file:
                file.write(content)
            print(name, len(content))
