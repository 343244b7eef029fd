"""The cases of `testdata/stacks` (its README has their form), and the bytes of their layers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from conftest import TESTDATA

FOLDER = TESTDATA / "stacks"
KINDS = {None: 0o644, "dir": 0o755, "symlink": 0o777, "link": 0o644, "char": 0o644, "block": 0o644, "fifo": 0o644}
FLAGS = {None: "0", "link": "1", "symlink": "2", "char": "3", "block": "4", "dir": "5", "fifo": "6"}


def raw(text: str) -> bytes:
    r"""`\xNN` to a byte, `\\` to a backslash."""

    def one(found: re.Match[bytes]) -> bytes:
        return b"\\" if found[0] == b"\\\\" else bytes([int(found[1], 16)])

    return re.sub(rb"\\x(..)|\\\\", one, text.encode())


def cases() -> list[tuple[str, dict[str, Any]]]:
    """All of them, each with the file that it is of."""
    found = []
    for file in sorted(FOLDER.glob("*.toml")):
        found += [(file.stem, case) for case in tomllib.loads(file.read_text())["case"]]
    return found


def content(entry: dict[str, Any]) -> bytes:
    """What a file holds."""
    data = bytearray(raw(entry.get("data", "")) * entry.get("repeat", 1))
    data += b"".join(map(written, entry.get("holds", [])))
    if "size" in entry:
        data += bytes(entry["size"] - len(data))
    for at, text, repeat in entry.get("data_at", []):
        piece = raw(text) * repeat
        data[at : at + len(piece)] = piece
    return bytes(data)


def link(entry: dict[str, Any]) -> bytes:
    """The text of a symlink, or the target of a hard link."""
    return raw(entry.get("link", "")) * entry.get("repeat", 1)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def _header(flag: bytes, name: bytes, size: int, fields: dict[int, bytes], total: int | None = None) -> bytes:
    block = bytearray(512)

    def put(at: int, field: bytes) -> None:
        block[at : at + len(field)] = field

    put(0, name)
    put(100, b"0000644\0")
    put(124, b"%011o\0" % size)
    put(257, b"ustar\x0000")
    put(156, flag)
    for at, field in fields.items():
        put(at, field)
    if total is None:
        put(148, b" " * 8)
        total = sum(block)
    put(148, b"%06o\0 " % total)
    return bytes(block)


def _record(text: bytes) -> bytes:
    rest = len(text) + 2
    length = next(n for n in range(rest, rest + 9) if rest + len(str(n)) == n)
    return b"%d %s\n" % (length, text)


def _extension(flag: bytes, name: bytes, data: bytes) -> bytes:
    fields = {257: b"ustar  \0"} if flag in b"LK" else {}
    return _header(flag, name, len(data), fields) + _padded(data)


PLAIN = ("pax", "global", "long_name", "long_link", "flag", "magic", "stated", "sum", "put", "bytes", "zeros")


def written(entry: dict[str, Any]) -> bytes:
    """An entry's bytes in a tar, without its end."""
    if any(key in entry for key in PLAIN):
        return _told(entry)
    # Any writer will do, so here everything that does not fit is said in a PAX header.
    path, target = raw(entry["path"]), link(entry)
    kind = entry.get("type")
    data = content(entry) if kind is None else b""
    records = [b"hdrcharset=BINARY"]
    if len(path) > 100:
        records.append(b"path=" + path)
    if len(target) > 100:
        records.append(b"linkpath=" + target)
    seconds, nanos = entry.get("mtime", 1000), entry.get("nanos", 0)
    if nanos or not 0 <= seconds < 1 << 33:
        # A fraction counts down from a time before 1970.
        tenths = seconds * 10**9 + nanos
        records.append(b"mtime=%s%d.%09d" % (b"-" if tenths < 0 else b"", abs(tenths) // 10**9, abs(tenths) % 10**9))
        seconds = 0
    fields = {
        100: b"%07o\0" % entry.get("mode", KINDS[kind]),
        136: b"%011o\0" % seconds,
        157: target[:100],
    }
    for at, key in ((108, "uid"), (116, "gid")):
        number = entry.get(key, 0)
        if number < 1 << 21:
            fields[at] = b"%07o\0" % number
        else:
            records.append(f"{key}={number}".encode())
            fields[at] = b"0000000\0"
    for key, value in entry.get("xattrs", {}).items():
        records.append(b"SCHILY.xattr." + raw(key) + b"=" + raw(value))
    if kind in ("char", "block"):
        fields[329] = b"%07o\0" % entry.get("major", 0)
        fields[337] = b"%07o\0" % entry.get("minor", 0)
    out = b""
    if len(records) > 1:
        out = _extension(b"x", b"PaxHeaders/x", b"".join(map(_record, records)))
    return out + _header(FLAGS[kind].encode(), path[:100], len(data), fields) + _padded(data)


def _told(entry: dict[str, Any]) -> bytes:
    """One that is written as it says."""
    out = b""
    for flag, key in ((b"x", "pax"), (b"g", "global")):
        if key in entry:
            out += _extension(flag, b"PaxHeaders/x", b"".join(_record(raw(text)) for text in entry[key]))
    for flag, key in ((b"L", "long_name"), (b"K", "long_link")):
        if key in entry:
            out += _extension(flag, b"././@LongLink", raw(entry[key]) + b"\0")
    if entry.get("path") or "flag" in entry:
        kind, data = entry.get("type"), content(entry)
        fields = {
            100: b"%07o\0" % entry.get("mode", KINDS[kind]),
            108: b"%07o\0" % entry.get("uid", 0),
            116: b"%07o\0" % entry.get("gid", 0),
            136: b"%011o\0" % entry.get("mtime", 1000),
            157: link(entry),
            257: {None: b"ustar\x0000", "gnu": b"ustar  \0", "v7": bytes(8)}[entry.get("magic")],
        }
        if kind in ("char", "block"):
            fields[329] = b"%07o\0" % entry.get("major", 0)
            fields[337] = b"%07o\0" % entry.get("minor", 0)
        fields |= {at: raw(text) for at, text in entry.get("put", [])}
        flag = raw(entry["flag"]) if "flag" in entry else FLAGS[kind].encode()
        size = entry.get("stated", len(data))
        out += _header(flag, raw(entry.get("path", "")), size, fields, entry.get("sum")) + _padded(data)
    return out + raw(entry.get("bytes", "")) + bytes(entry.get("zeros", 0))


def blob(layer: Any) -> bytes:
    """A layer's blob."""
    if isinstance(layer, str):
        return Path(FOLDER / layer).read_bytes()
    if isinstance(layer, list):
        layer = {"entries": layer}
    if "blob" in layer:
        data = Path(FOLDER / layer["blob"]).read_bytes()
    else:
        data = b"".join(map(written, layer.get("entries", []))) + bytes(layer.get("end", 1024))
    return data[: len(data) - layer.get("cut", 0)]
