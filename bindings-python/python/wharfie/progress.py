"""What is told while something is done.

A progress function gets one of these at a time, some ten times a second at most for each blob. `Resolved` to `Warned` are
events of the client machine, `Transfer` tells how blobs come, and `Decoded` and `Written` how an image is read and written.

>>> import wharfie
>>> told = []
>>> with wharfie.Image.open("sample:", progress=told.append) as image:
...     names = [file.path for file in image.files("/etc/*")]
>>> {type(event).__name__ for event in told} <= {"Decoded", "Written"}
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import WharfieError, _of_value


@dataclass(frozen=True)
class Resolved:
    """It is known what the name stands for."""

    digest: str
    media_type: str
    #: In bytes.
    size: int


@dataclass(frozen=True)
class Answered:
    """A registry or mirror has answered first."""

    endpoint: str


@dataclass(frozen=True)
class Chosen:
    """One manifest of an index was chosen."""

    wanted: str
    taken: str | None
    digest: str
    #: Others that would have fitted.
    others: tuple[str, ...]


@dataclass(frozen=True)
class Rewound:
    """A blob begins anew from this byte, since what came of it was wrong."""

    to: int
    reason: WharfieError


@dataclass(frozen=True)
class Verified:
    """All bytes of a blob are there, and right."""

    digest: str
    #: In bytes.
    size: int


@dataclass(frozen=True)
class Retrying:
    """Something failed and is tried again."""

    host: str
    #: Tries that have failed in a row.
    attempt: int
    #: Seconds until the next one.
    delay: float
    reason: WharfieError


@dataclass(frozen=True)
class Warned:
    """Something is odd."""

    kind: str
    message: str


@dataclass(frozen=True)
class Transfer:
    """A blob on its way."""

    digest: str
    #: Bytes that are there.
    position: int
    #: Bytes in all, where that is known.
    size: int | None
    #: ``present``, ``waiting`` (another process fetches it), ``fetching``, ``verifying``, ``done`` or ``stopped``.
    state: str


@dataclass(frozen=True)
class Decoded:
    """A layer is being read."""

    #: Counted from 0 at the bottom.
    layer: int
    #: Bytes of its blob; all of them, and verified, when it is `size`.
    position: int
    size: int


@dataclass(frozen=True)
class Written:
    """An output is being written."""

    #: Bytes of the tar, before compression.
    position: int
    size: int


Progress = (
    Resolved | Answered | Chosen | Rewound | Verified | Retrying | Warned | Transfer | Decoded | Written
)


def event_of(event: dict[str, Any]) -> Progress | None:
    """An event of the client machine; nothing for those that are the driver's own."""
    match event["event"]:
        case "resolved":
            found = event["descriptor"]
            return Resolved(found["digest"], found["mediaType"], found["size"])
        case "answered":
            return Answered(event["endpoint"])
        case "chosen":
            others = tuple(event["others"])
            return Chosen(event["wanted"], event.get("taken"), event["descriptor"]["digest"], others)
        case "blob_rewound":
            return Rewound(event["to"], _of_value(event["reason"]))
        case "blob_verified":
            return Verified(event["digest"], event["size"])
        case "retrying":
            reason = _of_value(event["reason"])
            return Retrying(event["host"], event["attempt"], event["delay"], reason)
        case "warning":
            return Warned(event["warning"]["kind"], event["warning"]["message"])
    return None


def native(tell: Callable[[Progress], None]) -> Callable[[str, int | None, int, int], None]:
    """Takes what the native part tells."""

    def told(kind: str, layer: int | None, position: int, size: int) -> None:
        tell(Decoded(layer or 0, position, size) if kind == "decoded" else Written(position, size))

    return told
