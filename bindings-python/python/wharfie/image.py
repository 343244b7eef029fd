"""Images, for programs that wait."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import IO, Any, BinaryIO, Protocol, overload

import httpx

from . import _wharfie, progress as _progress
from ._image import (
    PIECE,
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
    stream_file,
    top_of,
)
from ._options import AskLogin, Login, Network, option_error, root_options, store_dir
from ._sync import Host

#: Who is told of progress.
Tell = Callable[[_progress.Progress], None]
Path = str | bytes | os.PathLike[str]


class _OpenImage(Protocol):
    def __call__(
        self,
        source: Source,
        *,
        platform: str | None = None,
        credentials: Login | AskLogin | None = None,
        client: httpx.Client | None = None,
        store: str | os.PathLike[str] | None = None,
        progress: Tell | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        retries: int = 5,
        jobs: int = 6,
    ) -> Image:
        """Opens an image."""


class _OpenFile(Protocol):
    def __call__(self, path: Path) -> BinaryIO:
        """Opens a file of the image."""


class _Open:
    """`Image.open` opens an image, `image.open` a file in it."""

    @overload
    def __get__(self, image: None, kind: type[Image]) -> _OpenImage: ...
    @overload
    def __get__(self, image: Image, kind: type[Image]) -> _OpenFile: ...
    def __get__(self, image: Image | None, kind: type[Image]) -> Any:
        return kind._open_image if image is None else image._open_file


class Layer(LayerBase["Image"]):
    """One layer of an image."""

    def open(self) -> BinaryIO:
        """Its tar, decoded, as it comes. The end is only reached if all of it was what it should be.

        >>> import tarfile, wharfie
        >>> with wharfie.Image.open("sample:") as image, image.layers[0].open() as layer:
        ...     first = tarfile.open(fileobj=layer, mode="r|").next()
        >>> first is not None
        True

        Raises:
            DigestMismatchError, DiffIdMismatchError, CorruptStreamError: while it is read.
        """
        image = self._image
        image._fetch_layer(self.position)
        return stream_file(image._native.layer(self.position))


class File(Entry["Image"]):
    """One path of an image's merged tree."""

    __slots__ = ()

    def read_bytes(self) -> bytes:
        """Its content; a symlink is followed."""
        return self._image.read_bytes(self.raw_path)

    def open(self) -> BinaryIO:
        """Its content, as a file; a symlink is followed."""
        return self._image.open(self.raw_path)


class Image(Base):
    """A container image.

    `Image.open` fetches documents alone; layers come when something needs them, and stay in the store.

    >>> import wharfie
    >>> with wharfie.Image.open("sample:") as image:
    ...     print(image.platform, len(image.layers) > 0)
    linux/amd64 True
    """

    #: On the class: opens an image. `Image.open(source, *, platform=None, …)`, see `open_image`. On an image: opens a file in it.
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

    @classmethod
    def _open_image(
        cls,
        source: Source,
        *,
        platform: str | None = None,
        credentials: Login | AskLogin | None = None,
        client: httpx.Client | None = None,
        store: str | os.PathLike[str] | None = None,
        progress: Tell | None = None,
        insecure: bool = False,
        timeout: float = 30.0,
        retries: int = 5,
        jobs: int = 6,
    ) -> Image:
        """Opens an image.

        Args:
            source: A name on a registry (`alpine`, `ghcr.io/o/i:tag@sha256:…`), a place on this machine (`oci:DIR[:REF]`,
                `oci-archive:FILE[:REF]`, `docker-archive:FILE[:REF]`, `dir:DIR`, or a path, which as text begins with `/` or
                `./` or ends in `.tar` and the like), a `pathlib.Path`, or a binary file that holds an archive.
            platform: `os/arch[/variant]`; Linux on this machine's architecture if it is not given.
            credentials: User and password, or a function that is asked for them with registry and repository when that
                wants some. If not given, docker's and podman's files and helpers are asked.
            client: Sends the requests. It is not closed. Redirects are not its business, whatever it says.
            store: The directory that blobs are kept in, shared with the command line's if it is not given.
            progress: Is called with what is in `wharfie.progress`, on the thread that waits.
            insecure: Whether certificates are not checked, and plain HTTP is spoken where there is no TLS.
            timeout: Seconds without an answer, or between two chunks, before something is tried again.
            retries: Failures in a row without progress before it is given up.
            jobs: Blobs that are fetched at once.

        Raises:
            WharfieError: whatever the registry, the network or the disk come to.
        """
        dir, remote = store_dir(store), on_registry(source)
        if remote is None:
            return cls(open_here(source, platform, dir, _wharfie.Cancel()), None, progress=progress)
        reference, repository = remote
        network = Network(credentials, client, insecure, timeout, retries, jobs)
        blobs = _wharfie.Store(dir)
        host = Host(network, blobs, progress)
        try:
            options = depth(platform)
            outcome = host.run(lambda session, now: session.pull(now, reference, options))
            top = top_of(outcome.ok["pulled"])
            native = _wharfie.Image.in_store(reference, blobs, top, platform)
            return cls(native, reference, remote=(host, blobs, repository, top), progress=progress)
        except BaseException:
            host.close()
            raise

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes connections, and lets go of the store and of files. What its documents say can still be read."""
        self._open_native = None
        remote, self._remote = self._remote, None
        if remote is not None:
            remote[0].close()

    @cached_property
    def layers(self) -> Sequence[Layer]:
        """Its layers, from the bottom."""
        return [Layer(self, position, said) for position, said in enumerate(self._said["layers"])]

    def files(self, pattern: Path | None = None) -> Iterator[File]:
        """The paths of the merged tree, the root first, each directory before what lies in it.

        >>> import wharfie
        >>> with wharfie.Image.open("sample:") as image:
        ...     print([file.path for file in image.files("/etc/os-*")])
        ['/etc/os-release']

        Args:
            pattern: Those that match alone: `*` and `?` within a name, `**` for any directories.
        """
        wanted = None if pattern is None else encoded(pattern)
        tree = self._tree
        following: int | None = 0
        while following is not None:
            table = tree.table(following, ROWS, wanted)
            places, following = rows(table)
            for at in places:
                yield File(self, table, at)

    @cached_property
    def _tree(self) -> _wharfie.Tree:
        self._fetch_layers()
        return self._native.view(_wharfie.Cancel(), self._told)

    def read_bytes(self, path: Path) -> bytes:
        """The content of a file; symlinks are followed. Only the layers that decide it are fetched.

        >>> import wharfie
        >>> with wharfie.Image.open("sample:") as image:
        ...     image.read_bytes("/etc/os-release")[:3]
        b'NAM'

        Raises:
            PathNotFoundError, NotAFileError: if there is no such file.
        """
        content = self._content(path)
        return content.read_at(0, content.len)

    def read_text(self, path: Path, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The same as text."""
        return self.read_bytes(path).decode(encoding, errors)

    def _open_file(self, path: Path) -> BinaryIO:
        """The content of a file, to be read at any place; large ones are in a temporary file. See `read_bytes`."""
        return content_file(self._content(path), os.fsdecode(path))

    def _content(self, path: Path) -> _wharfie.Content:
        wanted = encoded(path)
        asked: set[int] = set()
        while True:
            found = self._native.read(wanted, _wharfie.Cancel(), self._told)
            if not isinstance(found, int):
                return found
            if found in asked:
                # It came, and is not what the manifest says: fetching all of the image tells what is wrong with it.
                self._fetch_layers()
            asked.add(found)
            self._fetch_layer(found)

    def export(
        self,
        target: str | os.PathLike[str] | BinaryIO | IO[bytes],
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
        """Writes the flattened root as a tar: the same bytes as `wharfie export`.

        >>> import io, tarfile, wharfie
        >>> tar = io.BytesIO()
        >>> with wharfie.Image.open("sample:") as image:
        ...     report = image.export(tar)
        >>> report.bytes == len(tar.getvalue())
        True

        Args:
            target: The path of a file, which appears whole or not at all, or a binary file. That ends inside a block if
                something fails, so that no reader takes it for whole.
            format: `tar`, `tar.gz` or `tar.zst`; if it is not given, what the path ends in, else `tar`.
            level: Of compression.
            include: Patterns of what is wanted; everything if there are none.
            exclude: Patterns of what is not.
            order: `stream`, in which the layers can be read once from the top, or `canonical`, sorted by name.
            keep_directory_symlink: Whether a directory in an upper layer leaves a lower symlink to a directory be.
            uid_map: Owners, as `CONTAINER:HOST:SIZE`.
            gid_map: Groups, as the same.

        Raises:
            WharfieError: if a layer is not what it should be, or the target cannot be written.
        """
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
        cancel = _wharfie.Cancel()
        if isinstance(target, str | os.PathLike):
            self._fetch_layers()
            path = os.fspath(target)
            said = self._native.export(path, options, cancel, self._told)
            return ExportReport._of(said)
        if not hasattr(target, "write"):
            raise option_error("the target is neither a path nor a binary file")
        self._fetch_layers()
        stream = self._native.export_stream(options, cancel)
        try:
            while (piece := stream.next_piece(cancel)) is not None:
                left = memoryview(piece)
                while left:
                    taken = target.write(left)
                    if taken is None and isinstance(target, io.RawIOBase):
                        raise BlockingIOError("the target takes nothing now, and an export does not wait for it")
                    # A raw file may take less.
                    left = left[len(left) if taken is None else taken :]
            return ExportReport._of(stream.report() or "{}")
        finally:
            stream.close()

    def export_chunks(
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
    ) -> Iterator[bytes]:
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
        self._fetch_layers()
        cancel = _wharfie.Cancel()
        stream = self._native.export_stream(options, cancel)
        try:
            while (piece := stream.next_piece(cancel)) is not None:
                yield piece
        finally:
            stream.close()

    def unpack(
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
        """Writes the merged root to a directory, which is absent or empty before and whole, or as it was, afterwards. Linux only.

        Args:
            directory: Where to.
            rootless: For everybody who is not root: owners are left to the user and recorded in extended attributes.
            include: Patterns of what is wanted; everything if there are none.
            exclude: Patterns of what is not.
            keep_directory_symlink: Whether a directory in an upper layer leaves a lower symlink to a directory be.
            uid_map: Owners, as `CONTAINER:HOST:SIZE`.
            gid_map: Groups, as the same.

        Raises:
            PermissionDeniedError: without `rootless` if this user is not root.
            AlreadyExistsError: if there is something.
            UnsupportedByTargetError: if the file system there cannot hold it.
        """
        options = root_options(
            include,
            exclude,
            rootless=rootless,
            keepDirectorySymlink=keep_directory_symlink,
            uidMap=list(uid_map),
            gidMap=list(gid_map),
        )
        self._native.check_unpack(options)
        self._fetch_layers()
        cancel = _wharfie.Cancel()
        path = os.fspath(directory)
        said = self._native.unpack(path, options, cancel, self._told)
        return UnpackReport._of(said)

    def _fetch_layers(self) -> None:
        """Has all layers here."""
        if self._remote is None or not self._native.missing():
            return
        host, store, repository, top = self._remote
        image = f"{repository}@{self._said['manifestDigest']}"
        host.run(lambda session, now: session.pull(now, image, '{"depth":"layers"}'))
        if self._reference is not None:
            store.tag(self._reference, top)

    def _fetch_layer(self, position: int) -> None:
        """Has one layer here."""
        source = self._native.layer_source(position)
        if self._remote is None or source is None or position not in self._native.missing():
            return
        digest, is_plain = source
        if not is_plain:
            # Those that come from elsewhere, or within the manifest, are a matter for a pull.
            self._fetch_layers()
            return
        host, _, repository, _ = self._remote
        host.run(lambda session, now: session.pull_blob(now, f"{repository}@{digest}"))


def tags(
    repository: str,
    *,
    most: int | None = None,
    credentials: Login | AskLogin | None = None,
    client: httpx.Client | None = None,
    insecure: bool = False,
    timeout: float = 30.0,
    retries: int = 5,
) -> list[str]:
    """The tags of a repository, in the registry's order.

    Args:
        repository: As `alpine` or `ghcr.io/o/i`.
        most: How many at most.
        credentials: See `Image.open`, as the rest.
        client: Sends the requests.
        insecure: Whether certificates are not checked.
        timeout: Seconds without an answer.
        retries: Failures in a row before it is given up.
    """
    host = Host(Network(credentials, client, insecure, timeout, retries), None, None)
    options = "{}" if most is None else f'{{"most":{int(most)}}}'
    try:
        return host.run(lambda session, now: session.tags(now, repository, options)).names
    finally:
        host.close()


__all__ = ["PIECE", "File", "Image", "Layer", "tags"]
