"""One way to say what is done, for both kinds of images."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import wharfie
from wharfie import aio

MODES = ["sync", "async"]


def pull(mode: str, name: Any, **options: Any) -> bytes:
    """Opens an image and exports it."""
    target = io.BytesIO()
    if mode == "sync":
        with wharfie.Image.open(name, **options) as image:
            image.export(target)
    else:

        async def run() -> None:
            async with aio.Image.open(name, **options) as image:
                await image.export(target)

        asyncio.run(run())
    return target.getvalue()


def read(mode: str, name: Any, path: str, **options: Any) -> bytes:
    """Opens an image and reads one file."""
    if mode == "sync":
        with wharfie.Image.open(name, **options) as image:
            return image.read_bytes(path)

    async def run() -> bytes:
        async with aio.Image.open(name, **options) as image:
            return await image.read_bytes(path)

    return asyncio.run(run())


def files(mode: str, name: Any, **options: Any) -> list[Any]:
    """Opens an image and lists it."""
    if mode == "sync":
        with wharfie.Image.open(name, **options) as image:
            return list(image.files())

    async def run() -> list[Any]:
        async with aio.Image.open(name, **options) as image:
            return [file async for file in image.files()]

    return asyncio.run(run())


def paths(mode: str, name: Any, **options: Any) -> list[str]:
    """Opens an image and lists its paths."""
    return [file.path for file in files(mode, name, **options)]


def tags(mode: str, name: str, **options: Any) -> list[str]:
    """The tags of a repository."""
    if mode == "sync":
        return wharfie.tags(name, **options)
    return asyncio.run(aio.tags(name, **options))
