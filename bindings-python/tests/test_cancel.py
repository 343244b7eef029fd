"""Stopping: seen at the next chunk, and nothing half written under a final name."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images import image, noise
from server import World, hang_after
from test_local import layout

import wharfie
from wharfie import aio

BIG = image({"a": b"a"}, {"big": noise(3_000_000)})
LAYER = BIG.layers[1]


@pytest.fixture
def hanging() -> Iterator[tuple[World, threading.Event]]:
    """A registry whose big layer stops in its middle."""
    reached, go_on = threading.Event(), threading.Event()
    with World(BIG) as world:
        world.fault("/blobs/" + LAYER, hang_after(1_000_000, BIG.blobs[LAYER], reached, go_on))
        yield world, reached
        go_on.set()


def interrupt_when(reached: threading.Event) -> list[float]:
    """Sends Ctrl-C to this process, and notes when."""
    sent: list[float] = []

    def run() -> None:
        assert reached.wait(30)
        time.sleep(0.2)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=run, daemon=True).start()
    return sent


def check_left(tmp_path: Path) -> None:
    """The big layer is there in part, and under no final name."""
    hex = LAYER.removeprefix("sha256:")
    assert not (tmp_path / "store" / "blobs" / "sha256" / hex).exists()
    partial = tmp_path / "store" / "ingest" / f"sha256-{hex}.partial"
    # The last chunk may still be on its way through a thread.
    assert partial.stat().st_size >= 900_000
    known = {"store", "home", "docker", "config"}
    assert {path.name for path in tmp_path.iterdir()} <= known


def test_ctrl_c_in_the_middle_of_a_blob(hanging: tuple[World, threading.Event], tmp_path: Path) -> None:
    world, reached = hanging
    with wharfie.Image.open(world.name) as opened:
        sent = interrupt_when(reached)
        with pytest.raises(KeyboardInterrupt):
            opened.export(tmp_path / "out.tar")
        assert time.monotonic() - sent[0] < 0.5
        check_left(tmp_path)
        # The same image goes on from there.
        report = opened.export(tmp_path / "out.tar")
        assert report.bytes == (tmp_path / "out.tar").stat().st_size
    ranges = [seen.headers.get("range") for seen in world.asked("/blobs/" + LAYER)]
    assert ranges[0] is None and ranges[1] is not None


def test_a_task_that_is_cancelled_in_the_middle_of_a_blob(
    hanging: tuple[World, threading.Event], tmp_path: Path
) -> None:
    world, reached = hanging

    async def run() -> None:
        async with aio.Image.open(world.name) as opened:
            task = asyncio.create_task(opened.export(tmp_path / "out.tar"))
            assert await asyncio.to_thread(reached.wait, 30)
            await asyncio.sleep(0.2)
            begun = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - begun < 0.5
            check_left(tmp_path)
            report = await opened.export(tmp_path / "out.tar")
            assert report.bytes == (tmp_path / "out.tar").stat().st_size

    asyncio.run(run())


def test_a_task_with_a_deadline(hanging: tuple[World, threading.Event], tmp_path: Path) -> None:
    world, _ = hanging

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0), aio.Image.open(world.name) as opened:
                await opened.export(tmp_path / "out.tar")

    asyncio.run(run())
    check_left(tmp_path)


class Slow(io.RawIOBase):
    """A target that takes its time."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        time.sleep(0.05)
        return len(data)


def test_ctrl_c_while_an_image_is_written(tmp_path: Path) -> None:
    folder = layout(image({"big": noise(30_000_000)}), tmp_path / "layout")
    started = threading.Event()

    def progress(_: object) -> None:
        started.set()

    with wharfie.Image.open(folder, progress=progress) as opened:
        sent = interrupt_when(started)
        started.set()
        with pytest.raises(KeyboardInterrupt):
            for _ in range(1000):
                opened.export(tmp_path / "out.tar.zst", level=19)
        assert time.monotonic() - sent[0] < 1.0
        # One that was whole before may be there; a temporary one is not.
        assert {path.name for path in tmp_path.iterdir()} <= {"layout", "home", "store", "out.tar.zst"}
        sent = interrupt_when(started)
        with pytest.raises(KeyboardInterrupt):
            opened.export(Slow())
        assert time.monotonic() - sent[0] < 1.0


def test_a_task_that_is_cancelled_while_an_image_is_written(tmp_path: Path) -> None:
    folder = layout(image({"big": noise(60_000_000)}), tmp_path / "layout")

    async def run() -> None:
        async with aio.Image.open(folder) as opened:
            task = asyncio.create_task(opened.export(tmp_path / "out.tar.zst", level=19))
            await asyncio.sleep(0.3)
            begun = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - begun < 1.0
            assert {path.name for path in tmp_path.iterdir()} <= {"layout", "home", "store"}

    asyncio.run(run())


def test_a_stream_that_nobody_reads_on(tmp_path: Path) -> None:
    before = threading.active_count()
    folder = layout(image({"big": noise(20_000_000)}), tmp_path / "layout")
    with wharfie.Image.open(folder) as opened:
        chunks = opened.export_chunks()
        next(chunks)
        chunks.close()
        with opened.layers[0].open() as layer:
            layer.read(10)
    assert threading.active_count() <= before


def test_the_loop_is_free_while_an_image_is_read(tmp_path: Path) -> None:
    folder = layout(image({"big": noise(30_000_000)}), tmp_path / "layout")

    async def run() -> float:
        longest = 0.0
        async with aio.Image.open(folder) as opened:
            task = asyncio.create_task(opened.export(io.BytesIO(), format="tar.gz", level=6))
            while not task.done():
                before = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - before - 0.01)
        return longest

    # Other builds may run on this machine: it is far from the seconds that the work takes.
    assert asyncio.run(run()) < 0.3


def endless(path: Path) -> Path:
    """A packed archive of four gigabytes, of one piece again and again: opening it unpacks them."""
    piece = b"".join(os.urandom(1 << 10).ljust(64 << 10, b"\0") for _ in range(1 << 10))
    info = tarfile.TarInfo("layer.tar")
    info.size = 64 * len(piece)
    packed = gzip.compress(piece, 1)
    with path.open("wb") as archive:
        archive.write(gzip.compress(info.tobuf(tarfile.USTAR_FORMAT)))
        for _ in range(64):
            archive.write(packed)
    return path


def test_opening_is_stopped_by_a_signal(tmp_path: Path) -> None:
    path = endless(tmp_path / "endless.tar.gz")
    script = f"import wharfie; wharfie.Image.open({str(path)!r})"
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    time.sleep(0.7)
    assert process.poll() is None, process.communicate()[1]
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - began < 1.5, "it went on to the end"
    assert b"KeyboardInterrupt" in said, said


def test_opening_is_stopped_with_its_task(tmp_path: Path) -> None:
    async def main() -> None:
        path = endless(tmp_path / "endless.tar.gz")

        async def opening() -> None:
            await aio.Image.open(path)

        task = asyncio.create_task(opening())
        await asyncio.sleep(0.3)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 1.5, "it went on to the end"

    asyncio.run(main())
