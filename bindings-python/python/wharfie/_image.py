"""What both kinds of images have in common: what is known without asking anybody."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, Any, BinaryIO, Generic, TypeAlias, TypeVar

from . import _wharfie
from .errors import _of_json

#: What can be opened: a name (`alpine`, `oci:dir:tag`, `docker-archive:file`, a path), or a binary file.
Source: TypeAlias = "str | os.PathLike[str] | BinaryIO | IO[bytes]"

#: Rows of a table that cross into Python at a time.
ROWS = 4096
#: Bytes that go to a file object, or come from it, at a time.
PIECE = 256 << 10


class Document(Mapping[str, Any]):
    """A manifest, an index or a config: what is in it by name, and its bytes, over which its digest is."""

    def __init__(self, raw: bytes, digest: str | None) -> None:
        #: As it came.
        self.raw = raw
        #: Its digest; nothing where that is not said.
        self.digest = digest

    @cached_property
    def _data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.raw)
        return data

    def __getitem__(self, name: str) -> Any:
        return self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"<Document {self.digest or ''} {self._data!r}>"


@dataclass(frozen=True)
class Step:
    """One step of an image's history."""

    created: str | None
    created_by: str | None
    author: str | None
    comment: str | None
    #: Whether it made no layer.
    empty_layer: bool
    #: The layer that it made, counted from 0 at the bottom.
    layer: int | None


@dataclass(frozen=True)
class ExportReport:
    """What an export came to."""

    #: Entries in the tar.
    entries: int
    #: Bytes of the tar, before compression.
    tar_bytes: int
    #: Bytes written.
    bytes: int
    seconds: float
    #: What was odd about the layers.
    warnings: list[str] = field(default_factory=list)

    @staticmethod
    def _of(text: str) -> ExportReport:
        said = json.loads(text)
        return ExportReport(
            said["entries"], said["tarBytes"], said["bytes"], said["seconds"], said["warnings"]
        )


@dataclass(frozen=True)
class UnpackReport:
    """What an unpacking came to."""

    #: Paths in the tree, the root among them.
    entries: int
    #: Bytes of content, each file counted once.
    bytes: int
    seconds: float
    #: Owners that were recorded in extended attributes, since they could not be set.
    recorded_owners: int
    #: What was odd about the layers.
    warnings: list[str] = field(default_factory=list)

    @staticmethod
    def _of(text: str) -> UnpackReport:
        said = json.loads(text)
        return UnpackReport(
            said["entries"], said["bytes"], said["seconds"], said["recordedOwners"], said["warnings"]
        )


I = TypeVar("I")
_ROW = struct.Struct("<IIIHBBIIIIqQIIII")
_HEAD = struct.Struct("<IIII")
_NONE = 0xFFFF_FFFF
_KINDS = ("file", "directory", "symlink", "char", "block", "fifo")


class Entry(Generic[I]):
    """One path of the merged tree. Made of a packed row when it is asked for something."""

    __slots__ = ("_at", "_image", "_row", "_table")

    def __init__(self, image: I, table: bytes, at: int) -> None:
        self._image = image
        self._table = table
        self._at = at
        self._row: tuple[int, ...] | None = None

    def _fields(self) -> tuple[int, ...]:
        if self._row is None:
            self._row = _ROW.unpack_from(self._table, self._at)
        return self._row

    def _text(self, field: int) -> bytes:
        row = self._fields()
        start = _HEAD.unpack_from(self._table)[3] + row[field]
        return self._table[start : start + row[field + 1]]

    @property
    def raw_path(self) -> bytes:
        """Its path below the root as the bytes that it is, with a slash in front."""
        return b"/" + self._text(12)

    @property
    def path(self) -> str:
        """Its path, with a slash in front. Bytes that are no UTF-8 are escaped as `os.fsdecode` does."""
        return self.raw_path.decode("utf-8", "surrogateescape")

    @property
    def name(self) -> str:
        """The last part of its path; empty for the root."""
        return self.path.rpartition("/")[2]

    @property
    def type(self) -> str:
        """``file``, ``directory``, ``symlink``, ``char``, ``block`` or ``fifo``."""
        return _KINDS[self._fields()[4]]

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self._fields()[4] == 0

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self._fields()[4] == 1

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self._fields()[4] == 2

    @property
    def mode(self) -> int:
        """Its permissions, without the kind: at most 0o7777."""
        return self._fields()[6]

    @property
    def uid(self) -> int:
        """Its owner."""
        return self._fields()[7]

    @property
    def gid(self) -> int:
        """Its group."""
        return self._fields()[8]

    @property
    def mtime_ns(self) -> int:
        """When its content was last changed, in nanoseconds since 1970."""
        row = self._fields()
        return row[10] * 1_000_000_000 + row[9]

    @property
    def mtime(self) -> float:
        """The same in seconds."""
        return self.mtime_ns / 1e9

    @property
    def size(self) -> int:
        """Bytes of content; 0 for what has none."""
        row = self._fields()
        return 0 if row[4] in (3, 4) else row[11]

    @property
    def device(self) -> tuple[int, int] | None:
        """Of a device its major and minor numbers."""
        row = self._fields()
        return (row[11] >> 32, row[11] & _NONE) if row[4] in (3, 4) else None

    @property
    def target(self) -> str | None:
        """The text of a symlink."""
        return self._text(14).decode("utf-8", "surrogateescape") if self.is_symlink else None

    @property
    def layer(self) -> int | None:
        """The layer that its content is of, counted from 0 at the bottom; nothing for a directory that none has an entry for."""
        found = self._fields()[3]
        return None if found == 0xFFFF else found

    @property
    def inode(self) -> int | None:
        """Equal for two paths that are names of one file."""
        found = self._fields()[2]
        return None if found == _NONE else found

    @property
    def has_xattrs(self) -> bool:
        """Whether it has extended attributes."""
        return bool(self._fields()[5] & 1)

    def __repr__(self) -> str:
        return f"<{self.type} {self.path}>"


def rows(table: bytes) -> tuple[range, int | None]:
    """Where the rows of a table are, and the cursor for the next one."""
    count, following, row_bytes, _ = _HEAD.unpack_from(table)
    first = _HEAD.size
    return range(first, first + count * row_bytes, row_bytes), None if following == _NONE else following


class _ContentIO(io.RawIOBase):
    """The content of one file, to be read at any place."""

    def __init__(self, content: _wharfie.Content, name: str) -> None:
        self._content = content
        self._at = 0
        self.name = name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._content.len}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        piece = self._content.read_at(self._at, len(buffer))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def content_file(content: _wharfie.Content, name: str) -> BinaryIO:
    """A file to read it by."""
    return io.BufferedReader(_ContentIO(content, name), PIECE)


class _StreamIO(io.RawIOBase):
    """A stream, to be read once. Its end is only reached if all of it was right."""

    def __init__(self, stream: _wharfie.Stream) -> None:
        self._stream = stream
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = self._stream.next_piece(_wharfie.Cancel())
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def stream_file(stream: _wharfie.Stream) -> BinaryIO:
    """A file to read it by."""
    return io.BufferedReader(_StreamIO(stream), PIECE)


class Base:
    """An image: what its documents say."""

    def __init__(self, native: _wharfie.Image, reference: str | None) -> None:
        self._open_native: _wharfie.Image | None = native
        self._reference = reference
        self._said: dict[str, Any] = json.loads(native.describe())
        config, index = native.config(), native.index()
        #: The manifest of the image that was chosen.
        self.manifest = Document(native.manifest(), str(self._said["manifestDigest"]))
        #: Its config; nothing for an image of schema 1, which has none of its own.
        self.config = None if config is None else Document(config, self._said.get("configDigest"))
        #: The index that the name stands for, if it is one.
        self.index = None if index is None else Document(index, str(self._said["digest"]))

    @property
    def _native(self) -> _wharfie.Image:
        if self._open_native is None:
            raise ValueError("the image is closed")
        return self._open_native

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {self.name} {self.digest}>"

    @property
    def name(self) -> str:
        """As it was asked for, with what was implied."""
        return str(self._said["name"])

    @property
    def reference(self) -> str | None:
        """Its full name on a registry, as `docker.io/library/alpine:latest`; nothing for an image of this machine."""
        return self._reference

    @property
    def digest(self) -> str:
        """The digest of what the name stands for: an index, if it is one, else a manifest."""
        return str(self._said["digest"])

    @property
    def media_type(self) -> str:
        """The media type of what the name stands for."""
        return str(self._said["mediaType"])

    @property
    def platform(self) -> str | None:
        """The platform of the image that was chosen, as `linux/amd64`."""
        found: str | None = self._said.get("platform")
        return found

    def platforms(self) -> list[str]:
        """The platforms of the index that the name stands for; none if it is no index."""
        return list(self._said.get("platforms", []))

    @property
    def size(self) -> int:
        """Bytes of all layers, as they are kept."""
        return int(self._said["size"])

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of the manifest."""
        return dict(self._said.get("annotations", {}))

    @property
    def summary(self) -> dict[str, Any]:
        """The config in readable form: user, environment, entrypoint, command, …; empty for an artifact."""
        return dict(self._said.get("summary", {}))

    @property
    def history(self) -> list[Step]:
        """How it was made, step by step."""
        return [
            Step(
                step.get("created"),
                step.get("createdBy"),
                step.get("author"),
                step.get("comment"),
                step["emptyLayer"],
                step.get("layer"),
            )
            for step in self._said["history"]
        ]


class LayerBase(Generic[I]):
    """One layer of an image."""

    def __init__(self, image: I, position: int, said: dict[str, Any]) -> None:
        self._image = image
        #: Counted from 0 at the bottom.
        self.position = position
        #: Of its blob.
        self.digest: str = said["digest"]
        #: Bytes of its blob; 0 where that is not said (schema 1).
        self.size: int = said["size"]
        self.media_type: str = said["mediaType"]
        #: The digest of its tar, as the config has it.
        self.diff_id: str | None = said.get("diffId")
        #: The command that made it.
        self.created_by: str | None = said.get("createdBy")
        self.created: str | None = said.get("created")
        self.comment: str | None = said.get("comment")

    def __repr__(self) -> str:
        return f"<layer {self.position} {self.digest}>"


def on_registry(source: Source) -> tuple[str, str] | None:
    """The full reference of an image on a registry, and its name without tag and digest; nothing for other sources."""
    return _wharfie.source(source) if isinstance(source, str) else None


def open_here(
    source: Source, platform: str | None, store: str | None, cancel: _wharfie.Cancel
) -> _wharfie.Image:
    """Opens an image of this machine."""
    if isinstance(source, str):
        return _wharfie.Image.open_local(source, platform, store, cancel)
    if isinstance(source, os.PathLike):
        path = os.path.abspath(os.fsdecode(source))
        return _wharfie.Image.open_local(path, platform, store, cancel)
    return _open_file(source, platform, cancel)


def _open_file(
    source: BinaryIO | IO[bytes], platform: str | None, cancel: _wharfie.Cancel
) -> _wharfie.Image:
    name = getattr(source, "name", None)
    shown = name if isinstance(name, str) else "a file object"
    # One that has a name, and nothing was read of: it is read where it is.
    with contextlib.suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):
        # What has a name and decodes what is there (`lzma.open`) is none of them.
        raw = getattr(source, "raw", source)
        if isinstance(raw, io.FileIO) and isinstance(name, str) and source.tell() == 0:
            ours, there = os.fstat(source.fileno()), os.stat(name)
            if os.path.isfile(name) and (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino):
                return _wharfie.Image.open_file(name, shown, None, platform, cancel)
    handle, path = tempfile.mkstemp(prefix="wharfie-")
    try:
        try:
            with open(handle, "wb") as spool:
                shutil.copyfileobj(source, spool, PIECE)
        except OSError as error:
            said = _wharfie.make_local_io("opening the image", error.errno, str(error))
            raise _of_json(said) from error
        return _wharfie.Image.open_file(path, shown, None, platform, cancel)
    finally:
        # Who has it open reads on.
        with contextlib.suppress(OSError):
            os.unlink(path)


def top_of(pulled: dict[str, Any]) -> str:
    """The descriptor that a name stands for, as the native part takes it."""
    top = pulled["top"]
    return json.dumps({"mediaType": top["mediaType"], "digest": top["digest"], "size": top["size"]})


def depth(platform: str | None) -> str:
    """The options of a pull that fetches the documents alone."""
    return json.dumps({"platform": platform or "native", "depth": "config"})


def encoded(path: str | bytes | os.PathLike[str]) -> bytes:
    """A path in an image, as bytes."""
    return path if isinstance(path, bytes) else os.fspath(path).encode("utf-8", "surrogateescape")
