"""Images of this machine, in every shape."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import TESTDATA, command
from images import LAYER, MANIFEST, Made, digest, image

import wharfie
from wharfie.progress import Decoded, Written

ARCHIVES = tomllib.loads((TESTDATA / "archives.toml").read_text())["archive"]
SAMPLE = TESTDATA / "sample" / "sample.oci.tar"


def layout(made: Made, folder: Path) -> Path:
    """An OCI layout of one image."""
    import json

    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    entry = {"mediaType": MANIFEST, "digest": made.digest, "size": len(made.manifest)}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    for name, blob in [*made.blobs.items(), (made.digest, made.manifest)]:
        (blobs / name.removeprefix("sha256:")).write_bytes(blob)
    return folder


@pytest.mark.parametrize("case", ARCHIVES, ids=[case["file"] for case in ARCHIVES])
@pytest.mark.parametrize("shape", ["plain", "gzip", "zstd", "file", "stream"])
def test_archives_of_every_tool(case: dict[str, Any], shape: str, tmp_path: Path) -> None:
    path = TESTDATA / "archives" / case["file"]
    source: Any = str(path)
    if shape == "gzip":
        source = tmp_path / "archive.tar.gz"
        source.write_bytes(gzip.compress(path.read_bytes()))
    elif shape == "zstd":
        if shutil.which("zstd") is None:
            pytest.skip("zstd is not installed")
        source = str(tmp_path / "archive.tar.zst")
        subprocess.run(["zstd", "-q", path, "-o", source], check=True)
    elif shape == "file":
        source = open(path, "rb")
    elif shape == "stream":
        source = io.BytesIO(path.read_bytes())
    with wharfie.Image.open(source) as opened:
        assert opened.reference is None
        assert opened.config is not None
        assert opened.config.digest == case["config"] == digest(opened.config.raw)
        assert [layer.diff_id for layer in opened.layers] == case["layers"]
        if "manifest" in case:
            assert opened.manifest.digest == case["manifest"]
        names = [file.path for file in opened.files("/etc/*")]
        assert names == ["/etc/one", "/etc/two"]
        for layer, diff_id in zip(opened.layers, case["layers"], strict=True):
            with layer.open() as tar:
                assert digest(tar.read()) == diff_id
    if shape == "file":
        source.close()


def test_a_layout_by_every_name(tmp_path: Path) -> None:
    folder = layout(image({"a": b"1"}, {"b": b"2"}), tmp_path / "layout")
    for source in (f"oci:{folder}", folder, str(folder)):
        with wharfie.Image.open(source) as opened:
            assert opened.read_bytes("a") == b"1"
            assert opened.read_text(b"/b") == "2"
            assert opened.platforms() == []
            assert opened.index is None
            assert opened.platform == "linux/amd64"
            assert opened.layers[0].media_type == LAYER
            assert opened.manifest["schemaVersion"] == 2
            assert dict(opened.config or {})["config"] == {"Env": ["A=b"]}
            assert opened.summary["config"]["Env"] == ["A=b"]


def test_what_the_sample_says() -> None:
    with wharfie.Image.open("sample:", platform="linux/arm64") as opened:
        assert opened.platform == "linux/arm64"
        assert "linux/arm64" in opened.platforms()
        assert opened.index is not None
        assert opened.digest == digest(opened.index.raw)
        assert opened.manifest.digest == digest(opened.manifest.raw)
        assert opened.size == sum(layer.size for layer in opened.layers)
        assert len(opened.history) >= len(opened.layers)
        made = [step.layer for step in opened.history if step.layer is not None]
        assert made == list(range(len(opened.layers)))
    with pytest.raises(wharfie.PlatformNotFoundError) as caught:
        wharfie.Image.open("sample:", platform="windows/amd64")
    assert "linux/amd64" in caught.value.available
    assert caught.value.hint is not None


def test_files_are_those_of_the_command_line() -> None:
    listed = command("ls", "--recursive", "sample:").stdout.decode().splitlines()
    with wharfie.Image.open("sample:") as opened:
        files = list(opened.files())
        assert [file.path for file in files] == listed
        by_path = {file.path: file for file in files}
        root, passwd, sh = by_path["/"], by_path["/etc/passwd"], by_path["/bin/sh"]
        assert root.is_dir and root.type == "directory" and root.name == ""
        assert passwd.is_file and passwd.mode == 0o644 and passwd.size == len(passwd.read_bytes())
        assert sh.is_symlink and sh.target is not None
        assert passwd.name == "passwd" and passwd.uid == passwd.gid == 0
        assert passwd.mtime == passwd.mtime_ns / 1e9 > 0
        assert repr(passwd) == "<file /etc/passwd>"
        with passwd.open() as content:
            assert content.read() == opened.read_bytes("/etc/passwd")
        assert [file.path for file in opened.files("**/passwd")] == ["/etc/passwd"]
        with pytest.raises(wharfie.InvalidPatternError):
            list(opened.files("/etc/["))


def test_many_files_come_in_several_tables(tmp_path: Path) -> None:
    files = {f"d/{number:05}": b"" for number in range(10_000)}
    with wharfie.Image.open(layout(image(files), tmp_path / "l")) as opened:
        assert [file.path for file in opened.files("/d/*")] == [f"/{name}" for name in files]


def test_a_file_can_be_read_at_any_place(tmp_path: Path) -> None:
    content = bytes(range(256)) * 100_000
    with wharfie.Image.open(layout(image({"big": content}), tmp_path / "l")) as opened:
        with opened.open("/big") as file:
            assert file.read(5) == content[:5]
            file.seek(-3, os.SEEK_END)
            assert file.read() == content[-3:]
            file.seek(1_000_000)
            assert file.read(1 << 20) == content[1_000_000 : 1_000_000 + (1 << 20)]
        assert opened.read_bytes("/big") == content
        with pytest.raises(wharfie.NotAFileError):
            opened.read_bytes("/")


@pytest.mark.parametrize("end", ["tar", "tar.gz", "tar.zst"])
def test_exports_are_the_bytes_of_the_command_line(end: str, tmp_path: Path) -> None:
    command("export", "sample:", "-o", tmp_path / f"native.{end}")
    native = (tmp_path / f"native.{end}").read_bytes()
    with wharfie.Image.open("sample:") as opened:
        report = opened.export(tmp_path / f"ours.{end}")
        assert (tmp_path / f"ours.{end}").read_bytes() == native
        assert report.bytes == len(native)
        stream = io.BytesIO()
        assert opened.export(stream, format=end).entries == report.entries
        assert stream.getvalue() == native
        assert b"".join(opened.export_chunks(format=end)) == native


def test_what_is_asked_of_an_export(tmp_path: Path) -> None:
    with wharfie.Image.open("sample:") as opened:
        stream = io.BytesIO()
        opened.export(stream, include=["/etc"], exclude=["/etc/motd"])
        stream.seek(0)
        names = tarfile.open(fileobj=stream).getnames()
        assert "etc/passwd" in names and "etc/motd" not in names and "bin" not in names
        with pytest.raises(wharfie.InvalidOptionError):
            opened.export(tmp_path / "x", format="zip")
        with pytest.raises(wharfie.InvalidOptionError):
            opened.export(object())  # type: ignore[arg-type]
        with pytest.raises(wharfie.LocalIoError):
            opened.export(tmp_path / "no" / "such" / "folder.tar")

        class Full(io.RawIOBase):
            def writable(self) -> bool:
                return True

            def write(self, data: Any) -> int:
                raise OSError(28, "No space left on device")

        with pytest.raises(OSError):
            opened.export(Full())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="unpacks on Linux only")
def test_unpacking(tmp_path: Path) -> None:
    with wharfie.Image.open("sample:") as opened:
        report = opened.unpack(tmp_path / "root", rootless=True)
        assert report.entries == len(list(opened.files()))
        assert (tmp_path / "root/etc/os-release").read_bytes() == opened.read_bytes("/etc/os-release")
        with pytest.raises(wharfie.AlreadyExistsError):
            opened.unpack(tmp_path / "root", rootless=True)
        if os.geteuid() == 0:
            opened.unpack(tmp_path / "owned")
            assert (tmp_path / "owned/etc/passwd").stat().st_uid == 0
        else:
            with pytest.raises(PermissionError):
                opened.unpack(tmp_path / "owned")


def test_layers_are_tars_that_are_verified_at_their_end(tmp_path: Path) -> None:
    made = image({"a": b"1" * 1_000_000})
    folder = layout(made, tmp_path / "l")
    with wharfie.Image.open(folder) as opened, opened.layers[0].open() as layer:
        with tarfile.open(fileobj=layer, mode="r|") as tar:
            assert tar.getnames() == ["a"]
    name = made.layers[0].removeprefix("sha256:")
    wrong = gzip.compress(gzip.decompress(made.blobs[made.layers[0]]).replace(b"1" * 10, b"2" * 10), 1, mtime=0)
    blob = bytearray(wrong[: len(made.blobs[made.layers[0]])])
    blob += bytes(len(made.blobs[made.layers[0]]) - len(blob))
    (folder / "blobs/sha256" / name).write_bytes(blob)
    with wharfie.Image.open(folder) as opened:
        for act in (
            lambda: opened.layers[0].open().read(),
            lambda: opened.read_bytes("/a"),
            lambda: list(opened.files()),
            lambda: opened.export(tmp_path / "out.tar"),
            lambda: opened.export(io.BytesIO()),
        ):
            with pytest.raises(wharfie.DigestMismatchError) as caught:
                act()
            assert caught.value.expected == made.layers[0]
            assert caught.value.place["layer"] == 0
        assert sorted(os.listdir(tmp_path)) == ["l"], "nothing is left under any name"


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[object] = []
    with wharfie.Image.open(layout(image({"a": os.urandom(3_000_000)}), tmp_path / "l"), progress=told.append) as it:
        it.export(tmp_path / "x.tar")
    sizes = [event.size for event in told if isinstance(event, Decoded)]
    assert sizes and any(isinstance(event, Written) for event in told)
    last = [event for event in told if isinstance(event, Decoded)][-1]
    assert last.position == last.size


def test_what_a_progress_function_raises_stops_the_work(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def progress(_: object) -> None:
        raise Enough

    with wharfie.Image.open(layout(image({"a": b"x"}), tmp_path / "l"), progress=progress) as opened:
        with pytest.raises(Enough):
            opened.export(tmp_path / "x.tar")


def test_nothing_that_is_there() -> None:
    with pytest.raises(FileNotFoundError):
        wharfie.Image.open("/no/such/file.tar")
    with pytest.raises(FileNotFoundError):
        wharfie.Image.open(Path("nothing"))
    with pytest.raises(wharfie.WharfieError):
        wharfie.Image.open(io.BytesIO(b"this is no archive" * 100))


def test_an_export_hashes_as_it_says() -> None:
    with wharfie.Image.open(str(SAMPLE)) as one, wharfie.Image.open(f"oci-archive:{SAMPLE}") as other:
        hashes = [hashlib.sha256(b"".join(opened.export_chunks())).hexdigest() for opened in (one, other)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, wharfie.NoSpaceError),
        (errno.EACCES, wharfie.PermissionDeniedError),
        (errno.EIO, wharfie.LocalIoError),
    ],
)
def test_a_source_that_cannot_be_read(number: int, kind: type[wharfie.WharfieError]) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(number, os.strerror(number))

    with pytest.raises(kind):
        wharfie.Image.open(Broken())
