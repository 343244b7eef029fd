"""The same, to be awaited.

>>> import asyncio
>>> from wharfie import aio
>>> async def main():
...     async with aio.Image.open("sample:") as image:
...         return [file.path async for file in image.files("/etc/os-*")], await image.read_bytes("/etc/os-release")
>>> asyncio.run(main())[0]
['/etc/os-release']
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Sequence
from functools import cached_property
from typing import IO, Any, BinaryIO, Protocol, cast, overload

import httpx

from . import _wharfie, progress as _progress
from ._async import Host, in_thread
from ._image import (
    ROWS,
    Base,
    Entry,
    ExportReport,
    LayerBase,
    Source,
    UnpackReport,
    content_file,
    depth,
    encoded,
    on_registry,
    open_here,
    rows,
    top_of,
)
from ._options import AskLogin, AskLoginAsync, Login, Network, option_error, root_options, store_dir

#: Who is told of progress. It is called on the loop's thread for what comes over the network, on another for the rest.
Tell = Callable[[_progress.Progress], None]
Path = str | bytes | os.PathLike[str]


class Writable(Protocol):
    """What can be written to, awaited or not."""

    def write(self, data: bytes, /) -> object:
        """Takes bytes."""


class Opening:
    """An image that is being opened: await it, or open it for a block by `async with`."""

    def __init__(self, open: Callable[[], Awaitable[Image]]) -> None:
        self._open = open
        self._image: Image | None = None

    def __await__(self) -> Generator[Any, Any, Image]:
        return self._open().__await__()

    async def __aenter__(self) -> Image:
        self._image = await self._open()
        return self._image

    async def __aexit__(self, *_: object) -> None:
        if self._image is not None:
            await self._image.close()


class _OpenImage(Protocol):
    def __call__(
        self,
        source: Source,
        *,
        platform: str | None = None,
        credentials: Login | AskLogin | AskLoginAsync | None = None,
        client: httpx.AsyncClient | None = None,
        store: str | os.PathLike[str] | None = None,
        progress: Tell | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        retries: int = 5,
        jobs: int = 6,
    ) -> Opening:
        """Opens an image."""


class _OpenFile(Protocol):
    def __call__(self, path: Path) -> Awaitable[BinaryIO]:
        """Opens a file of the image."""


class _Open:
    """`Image.open` opens an image, `image.open` a file in it."""

    @overload
    def __get__(self, image: None, kind: type[Image]) -> _OpenImage: ...
    @overload
    def __get__(self, image: Image, kind: type[Image]) -> _OpenFile: ...
    def __get__(self, image: Image | None, kind: type[Image]) -> Any:
        return kind._open_image if image is None else image._open_file


class Stream:
    """Bytes as they are made: iterate over them, or read. The end is only reached if all of it is right."""

    def __init__(self, stream: _wharfie.Stream) -> None:
        self._stream = stream
        self._left = b""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._left:
            piece, self._left = self._left, b""
            return piece
        def keep(cancel: _wharfie.Cancel) -> bytes | None:
            piece = self._stream.next_piece(cancel)
            # Who is cancelled while it is made finds it the next time.
            self._left = piece or b""
            return piece

        found = await in_thread(keep)
        self._left = b""
        if found is None:
            raise StopAsyncIteration
        return found

    async def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end alone; all that are left if `size` is negative."""
        gathered = bytearray()
        while size < 0 or len(gathered) < size:
            piece = await anext(self, b"")
            if not piece:
                break
            gathered += piece
        if size >= 0:
            self._left = bytes(gathered[size:])
            del gathered[size:]
        return bytes(gathered)

    async def close(self) -> None:
        """Stops it."""
        self._stream.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Layer(LayerBase["Image"]):
    """One layer of an image."""

    async def open(self) -> Stream:
        """Its tar, decoded, as it comes. See `wharfie.Layer.open`."""
        image = self._image
        await image._fetch_layer(self.position)
        return Stream(await in_thread(lambda _: image._native.layer(self.position)))


class File(Entry["Image"]):
    """One path of an image's merged tree."""

    __slots__ = ()

    async def read_bytes(self) -> bytes:
        """Its content; a symlink is followed."""
        return await self._image.read_bytes(self.raw_path)

    async def open(self) -> BinaryIO:
        """Its content, as a file; a symlink is followed."""
        return await self._image.open(self.raw_path)


class Image(Base):
    """A container image, to be awaited. See `wharfie.Image`."""

    #: On the class: opens an image, as `wharfie.Image.open` does. On an image: opens a file in it.
    open = _Open()

    def __init__(
        self,
        native: _wharfie.Image,
        reference: str | None,
        *,
        remote: tuple[Host, _wharfie.Store, str, str] | None = None,
        progress: Tell | None = None,
    ) -> None:
        super().__init__(native, reference)
        self._remote = remote
        self._told = None if progress is None else _progress.native(progress)
        self._tree: _wharfie.Tree | None = None
        self._tree_lock = asyncio.Lock()

    @classmethod
    def _open_image(
        cls,
        source: Source,
        *,
        platform: str | None = None,
        credentials: Login | AskLogin | AskLoginAsync | None = None,
        client: httpx.AsyncClient | None = None,
        store: str | os.PathLike[str] | None = None,
        progress: Tell | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        retries: int = 5,
        jobs: int = 6,
    ) -> Opening:
        """Opens an image: `await` what it gives, or use it in `async with`. The arguments are `wharfie.Image.open`'s; the
        function for credentials may be a coroutine's.
        """

        async def open() -> Image:
            dir, remote = store_dir(store), on_registry(source)
            if remote is None:
                native = await in_thread(lambda cancel: open_here(source, platform, dir, cancel))
                return cls(native, None, progress=progress)
            reference, repository = remote
            network = Network(credentials, client, insecure, timeout, retries, jobs)
            blobs = await in_thread(lambda _: _wharfie.Store(dir))
            host = Host(network, blobs, progress)
            try:
                options = depth(platform)
                outcome = await host.run(lambda session, now: session.pull(now, reference, options))
                top = top_of(outcome.ok["pulled"])
                native = await in_thread(lambda _: _wharfie.Image.in_store(reference, blobs, top, platform))
                return cls(native, reference, remote=(host, blobs, repository, top), progress=progress)
            except BaseException:
                await host.close()
                raise

        return Opening(open)

    async def __aenter__(self) -> Image:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes connections, and lets go of the store and of files. What its documents say can still be read."""
        self._open_native = None
        remote, self._remote = self._remote, None
        if remote is not None:
            await remote[0].close()

    @cached_property
    def layers(self) -> Sequence[Layer]:
        """Its layers, from the bottom."""
        return [Layer(self, position, said) for position, said in enumerate(self._said["layers"])]

    async def files(self, pattern: Path | None = None) -> AsyncIterator[File]:
        """The paths of the merged tree. See `wharfie.Image.files`."""
        wanted = None if pattern is None else encoded(pattern)
        tree = await self._view()
        following: int | None = 0
        while following is not None:
            start = following
            table = await in_thread(lambda _, start=start: tree.table(start, ROWS, wanted))  # type: ignore[misc]
            places, following = rows(table)
            for at in places:
                yield File(self, table, at)

    async def _view(self) -> _wharfie.Tree:
        async with self._tree_lock:
            if self._tree is None:
                await self._fetch_layers()
                self._tree = await in_thread(lambda cancel: self._native.view(cancel, self._told))
            return self._tree

    async def read_bytes(self, path: Path) -> bytes:
        """The content of a file; symlinks are followed. Only the layers that decide it are fetched."""
        content = await self._content(path)
        return await in_thread(lambda _: content.read_at(0, content.len))

    async def read_text(self, path: Path, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The same as text."""
        return (await self.read_bytes(path)).decode(encoding, errors)

    async def _open_file(self, path: Path) -> BinaryIO:
        """The content of a file, to be read at any place, without waiting: it is in memory or in a temporary file."""
        return content_file(await self._content(path), os.fsdecode(path))

    async def _content(self, path: Path) -> _wharfie.Content:
        wanted = encoded(path)
        asked: set[int] = set()
        while True:
            found = await in_thread(lambda cancel: self._native.read(wanted, cancel, self._told))
            if not isinstance(found, int):
                return found
            if found in asked:
                # It came, and is not what the manifest says: fetching all of the image tells what is wrong with it.
                await self._fetch_layers()
            asked.add(found)
            await self._fetch_layer(found)

    async def export(
        self,
        target: str | os.PathLike[str] | Writable | BinaryIO | IO[bytes],
        *,
        format: str | None = None,
        level: int | None = None,
        include: Iterable[Path] = (),
        exclude: Iterable[Path] = (),
        order: str = "stream",
        keep_directory_symlink: bool = False,
        uid_map: Iterable[str] = (),
        gid_map: Iterable[str] = (),
    ) -> ExportReport:
        """Writes the flattened root as a tar. See `wharfie.Image.export`; `write` of the target may be a coroutine's, and is else
        called in a thread."""
        options = root_options(
            include,
            exclude,
            format=format,
            level=level,
            order=order,
            keepDirectorySymlink=keep_directory_symlink,
            uidMap=list(uid_map),
            gidMap=list(gid_map),
        )
        if isinstance(target, str | os.PathLike):
            await self._fetch_layers()
            path = os.fspath(target)
            return ExportReport._of(
                await in_thread(
                    lambda cancel: self._native.export(path, options, cancel, self._told)
                )
            )
        if not hasattr(target, "write"):
            raise option_error("the target is neither a path nor a binary file")
        await self._fetch_layers()
        write = cast("Callable[[Any], Any]", target.write)
        stream = self._native.export_stream(options, _wharfie.Cancel())
        try:
            while (piece := await in_thread(stream.next_piece)) is not None:
                if inspect.iscoroutinefunction(write):
                    await write(piece)
                    continue
                left = memoryview(piece)
                while left:
                    taken = await in_thread(lambda _, left=left: write(left))  # type: ignore[misc]
                    if inspect.isawaitable(taken):
                        taken = await taken
                    # A raw file may take less.
                    left = left[taken if isinstance(taken, int) and taken else len(left) :]
            return ExportReport._of(stream.report() or "{}")
        finally:
            stream.close()

    async def export_chunks(
        self,
        *,
        format: str | None = None,
        level: int | None = None,
        include: Iterable[Path] = (),
        exclude: Iterable[Path] = (),
        order: str = "stream",
        keep_directory_symlink: bool = False,
        uid_map: Iterable[str] = (),
        gid_map: Iterable[str] = (),
    ) -> AsyncIterator[bytes]:
        """The same, chunk by chunk. The end is only reached if all of it is right."""
        options = root_options(
            include,
            exclude,
            format=format,
            level=level,
            order=order,
            keepDirectorySymlink=keep_directory_symlink,
            uidMap=list(uid_map),
            gidMap=list(gid_map),
        )
        await self._fetch_layers()
        stream = self._native.export_stream(options, _wharfie.Cancel())
        try:
            while (piece := await in_thread(stream.next_piece)) is not None:
                yield piece
        finally:
            stream.close()

    async def unpack(
        self,
        directory: str | os.PathLike[str],
        *,
        rootless: bool = False,
        include: Iterable[Path] = (),
        exclude: Iterable[Path] = (),
        keep_directory_symlink: bool = False,
        uid_map: Iterable[str] = (),
        gid_map: Iterable[str] = (),
    ) -> UnpackReport:
        """Writes the merged root to a directory. See `wharfie.Image.unpack`."""
        options = root_options(
            include,
            exclude,
            rootless=rootless,
            keepDirectorySymlink=keep_directory_symlink,
            uidMap=list(uid_map),
            gidMap=list(gid_map),
        )
        self._native.check_unpack(options)
        await self._fetch_layers()
        path = os.fspath(directory)
        return UnpackReport._of(
            await in_thread(
                lambda cancel: self._native.unpack(path, options, cancel, self._told)
            )
        )

    async def _fetch_layers(self) -> None:
        """Has all layers here."""
        if self._remote is None or not await in_thread(lambda _: self._native.missing()):
            return
        host, store, repository, top = self._remote
        image = f"{repository}@{self._said['manifestDigest']}"
        await host.run(lambda session, now: session.pull(now, image, '{"depth":"layers"}'))
        if self._reference is not None:
            reference = self._reference
            await in_thread(lambda _: store.tag(reference, top))

    async def _fetch_layer(self, position: int) -> None:
        """Has one layer here."""
        source = self._native.layer_source(position)
        if self._remote is None or source is None or position not in self._native.missing():
            return
        digest, is_plain = source
        if not is_plain:
            # Those that come from elsewhere, or within the manifest, are a matter for a pull.
            await self._fetch_layers()
            return
        host, _, repository, _ = self._remote
        await host.run(lambda session, now: session.pull_blob(now, f"{repository}@{digest}"))


async def tags(
    repository: str,
    *,
    most: int | None = None,
    credentials: Login | AskLogin | AskLoginAsync | None = None,
    client: httpx.AsyncClient | None = None,
    insecure: bool = False,
    timeout: float = 30.0,
    retries: int = 5,
) -> list[str]:
    """The tags of a repository, in the registry's order. See `wharfie.tags`."""
    host = Host(Network(credentials, client, insecure, timeout, retries), None, None)
    options = "{}" if most is None else f'{{"most":{int(most)}}}'
    try:
        return (await host.run(lambda session, now: session.tags(now, repository, options))).names
    finally:
        await host.close()


__all__ = ["File", "Image", "Layer", "Opening", "Stream", "tags"]
