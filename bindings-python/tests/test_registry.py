"""A real registry: Debian's docker-registry."""

from __future__ import annotations

import asyncio
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, command
from modes import MODES, files, paths, pull, read, tags

import wharfie
from wharfie import aio


@pytest.mark.parametrize("mode", MODES)
def test_an_image_is_what_the_command_line_has(mode: str, registry: str, tmp_path: Path) -> None:
    name = f"{registry}/sample:1"
    listed = command("ls", "--recursive", name).stdout.decode().splitlines()
    assert paths(mode, name, store=tmp_path / "ours") == listed
    command("export", name, "-o", tmp_path / "native.tar")
    native = (tmp_path / "native.tar").read_bytes()
    assert pull(mode, name, store=tmp_path / "other") == native
    assert read(mode, name, "/etc/os-release") == command("cat", name, "/etc/os-release").stdout
    assert tags(mode, f"{registry}/sample") == ["1"]


def test_what_is_said_of_it(registry: str) -> None:
    with wharfie.Image.open(f"{registry}/sample:1", platform="linux/arm64") as image:
        assert image.reference == f"{registry}/sample:1"
        assert image.name == image.reference
        assert image.platform == "linux/arm64"
        assert set(image.platforms()) == {"linux/amd64", "linux/arm64"}
        by_digest = f"{registry}/sample@{image.digest}"
        with wharfie.Image.open(by_digest) as same:
            assert same.index is not None and same.index.raw == (image.index and image.index.raw)
    with wharfie.Image.open("sample:", platform="linux/arm64") as local:
        assert local.manifest.raw == image.manifest.raw
        assert local.config is not None and image.config is not None
        assert local.config.raw == image.config.raw


def test_the_store_is_the_command_lines(registry: str) -> None:
    name = f"{registry}/sample:1"
    with wharfie.Image.open(name) as image:
        image.export(io.BytesIO())
    assert name in command("store", "ls").stdout.decode()
    assert command("--quiet", "cat", "--offline", name, "/etc/os-release").stdout
    command("store", "prune", "--all")
    with wharfie.Image.open(name) as image:
        assert image.read_bytes("/etc/os-release")


def test_many_at_once(registry: str, tmp_path: Path) -> None:
    name = f"{registry}/sample:1"

    async def run() -> list[bytes]:
        async def one() -> bytes:
            async with aio.Image.open(name, store=tmp_path / "one") as image:
                target = io.BytesIO()
                await image.export(target)
                return target.getvalue()

        return await asyncio.gather(*(one() for _ in range(8)))

    assert len(set(asyncio.run(run()))) == 1


def test_several_readers_of_one_image(registry: str) -> None:
    async def run() -> list[bytes]:
        async with aio.Image.open(f"{registry}/sample:1") as image:
            reads = (image.read_bytes(path) for path in ["/etc/os-release", "/etc/passwd", "/etc/group"] * 5)
            return await asyncio.gather(*reads)

    read_all = asyncio.run(run())
    with wharfie.Image.open("sample:") as local:
        assert read_all[:3] == [local.read_bytes(path) for path in ["/etc/os-release", "/etc/passwd", "/etc/group"]]


def test_layers_as_streams(registry: str) -> None:
    with wharfie.Image.open("sample:") as local:
        wanted = [layer.open().read() for layer in local.layers]
    with wharfie.Image.open(f"{registry}/sample:1") as image:
        assert [layer.open().read() for layer in image.layers] == wanted

    async def run() -> list[bytes]:
        async with aio.Image.open(f"{registry}/sample:1") as image:
            gathered = []
            for layer in image.layers:
                async with await layer.open() as stream:
                    gathered.append(await stream.read(10) + b"".join([piece async for piece in stream]))
            return gathered

    assert asyncio.run(run()) == wanted


def test_what_is_not_there(registry: str) -> None:
    with pytest.raises(FileNotFoundError):
        wharfie.Image.open(f"{registry}/sample:none")
    with pytest.raises(FileNotFoundError):
        wharfie.tags(f"{registry}/nothing")


def said_of(file: wharfie.File) -> tuple[object, ...]:
    """What is known of an entry."""
    mtime = datetime.fromtimestamp(file.mtime_ns // 1_000_000_000, UTC)
    return (file.path, file.type, file.mode, file.uid, file.gid, file.size, mtime, file.layer, file.target, file.device)


def said_by_the_command(one: dict[str, Any]) -> tuple[object, ...]:
    """The same of an entry that `ls --json` lists."""
    mtime = datetime.fromisoformat(one["mtime"]).replace(microsecond=0)
    device = one.get("device")
    return (
        *("/" + one["path"], one["type"], int(one["mode"], 8), one["uid"], one["gid"], one["size"], mtime),
        *(one.get("layer"), one.get("link"), device and (device["major"], device["minor"])),
    )


@pytest.mark.parametrize("mode", MODES)
def test_debian(mode: str, registry: str, tmp_path: Path) -> None:
    fixtures = Path(os.environ.get("WHARFIE_FIXTURES", ROOT / "target" / "fixtures"))
    layout = fixtures / "debian-1" / "layout"
    if not layout.is_dir():
        pytest.skip("`cargo xtask fixtures` makes the Debian image")
    name = f"{registry}/debian:1"
    command("copy", f"oci:{layout}:bookworm", f"docker://{name}")
    command("export", name, "-o", tmp_path / "native.tar")
    # Of a store of its own: what it exports came over the network.
    ours = tmp_path / "ours"
    assert pull(mode, name, store=ours) == (tmp_path / "native.tar").read_bytes()
    listed = [json.loads(line) for line in command("ls", "--recursive", "--json", name).stdout.splitlines()]
    assert [said_of(file) for file in files(mode, name, store=ours)] == [said_by_the_command(one) for one in listed]
    assert b"bookworm" in read(mode, name, "/etc/os-release", store=tmp_path / "other")
