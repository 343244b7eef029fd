"""A program of somebody else's, for the type checker."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import wharfie
from wharfie import aio
from wharfie.progress import Progress, Transfer


def told(event: Progress) -> None:
    if isinstance(event, Transfer):
        print(event.digest, event.position, event.size, event.state)


def login(registry: str, repository: str | None) -> tuple[str, str] | None:
    return None


def look(name: str) -> list[str]:
    with wharfie.Image.open(name, platform="linux/arm64", credentials=login, progress=told) as image:
        reference: str | None = image.reference
        layers: Sequence[wharfie.Layer] = image.layers
        tar: BinaryIO = layers[0].open()
        tar.close()
        file: BinaryIO = image.open("/etc/passwd")
        text: str = image.read_text("/etc/os-release")
        report: wharfie.ExportReport = image.export(io.BytesIO(), format="tar.gz")
        image.export(Path("x.tar"), include=["/etc"])
        image.unpack("root", rootless=True)
        print(reference, file, text, report.bytes, image.manifest.digest, image.config and image.config.raw)
        return [file.path for file in image.files("/etc/**") if file.is_file and file.mode & 0o4000]


def careful(name: str) -> bytes:
    try:
        return wharfie.Image.open(Path(name)).read_bytes("/etc/passwd")
    except wharfie.RateLimitedError as error:
        wait: float | None = error.retry_after
        raise SystemExit(wait) from error
    except wharfie.DigestMismatchError as error:
        expected: str = error.expected
        raise SystemExit(expected) from error
    except FileNotFoundError:
        return b""


async def ask(registry: str, repository: str | None) -> tuple[str, str] | None:
    return "user", "password"


async def later(name: str) -> list[str]:
    async with aio.Image.open(name, credentials=ask) as image:
        data: bytes = await image.read_bytes("/etc/passwd")
        file: BinaryIO = await image.open("/etc/passwd")
        stream: aio.Stream = await image.layers[0].open()
        async for chunk in stream:
            print(len(chunk), len(data), file.name)
        await image.export("x.tar")
        names: list[str] = [file.path async for file in image.files()]
    other: aio.Image = await aio.Image.open(name)
    await other.close()
    return names + await aio.tags(name)


if __name__ == "__main__":
    print(look("sample:"), careful("x"), wharfie.tags("alpine"), asyncio.run(later("sample:")))
