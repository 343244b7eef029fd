"""Container images without a container engine.

>>> import wharfie
>>> with wharfie.Image.open("sample:") as image:
...     print(image.read_text("/etc/os-release").splitlines()[0])
NAME="Wharfie sample"

`Image.open` takes the name of an image on a registry, what is on this machine, or a binary file. `wharfie.aio` has the same
to be awaited. What goes wrong is a `WharfieError`; what is under way is told in the words of `wharfie.progress`.
"""

from . import errors, progress
from ._image import Document, ExportReport, Step, UnpackReport
from ._wharfie import VERSION as __version__
from .errors import *  # noqa: F403
from .errors import WharfieError
from .image import File, Image, Layer, tags

__all__ = [
    "Document",
    "ExportReport",
    "File",
    "Image",
    "Layer",
    "Step",
    "UnpackReport",
    "WharfieError",
    "__version__",
    "errors",
    "progress",
    "tags",
    *errors.__all__,
]
