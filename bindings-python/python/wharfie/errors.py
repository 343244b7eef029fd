"""What can go wrong, with a class for each code of the core.

Every error has the same four attributes in all hosts of Wharfie: ``code``, ``facts``, ``place`` and ``hint``. Where Python
has a word for it already, the class is one of Python's too: a `NotFoundError` is a `FileNotFoundError`.

>>> import wharfie
>>> with wharfie.Image.open("sample:") as image:
...     try:
...         image.read_bytes("/etc/nothing")
...     except FileNotFoundError as error:
...         print(error.code, error.facts)
path_not_found {'path': '/etc/nothing', 'nearest': '/etc'}
"""

from __future__ import annotations

import errno
import json
from typing import Any, ClassVar

from . import _wharfie


_ERRNO = {
    "not_found": errno.ENOENT,
    "path_not_found": errno.ENOENT,
    "no_space": errno.ENOSPC,
    "permission_denied": errno.EACCES,
    "already_exists": errno.EEXIST,
    "not_a_file": errno.EISDIR,
    "timed_out": errno.ETIMEDOUT,
}


def _fill(error: OSError, number: int | None, message: str, filename: str | None) -> None:
    """What programs look at that know Python's own errors."""
    error.errno = number
    error.strerror = message
    error.filename = filename


class WharfieError(Exception):
    """Any failure that Wharfie tells of. The text says what happened and where."""

    #: The stable name of what went wrong, the same in every host.
    code: ClassVar[str] = ""

    #: What is known of it, by name: sizes in bytes, spans in seconds.
    facts: dict[str, Any]
    #: Where it happened: any of ``image``, ``blob``, ``layer``, ``entry``, ``byte``, ``url``, ``path``.
    place: dict[str, Any]
    #: What can be done about it, if there is something. It is a note of the exception too.
    hint: str | None

    _json: str

    def __init__(
        self,
        message: str = "",
        *,
        facts: dict[str, Any] | None = None,
        place: dict[str, Any] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.facts = facts or {}
        self.place = place or {}
        self.hint = hint
        self._json = json.dumps(
            {"code": self.code, "message": message, "facts": self.facts, "place": self.place, "hint": hint}
        )
        if hint:
            self.add_note(f"hint: {hint}")
        if isinstance(self, OSError):
            _fill(self, _ERRNO.get(self.code), message, self.place.get("path") or self.facts.get("path"))

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> Any:
        return _of_json, (self._json,)


def _class_of(code: str) -> type[WharfieError]:
    """The class of a code; one that has none yet gets one."""
    found = _CLASSES.get(code)
    if found is None:
        name = "".join(word.capitalize() for word in code.split("_"))
        name = name if name.endswith("Error") else name + "Error"
        found = type(name, (WharfieError,), {"code": code, "__module__": __name__})
        _CLASSES[code] = found
        globals()[name] = found
    return found


def _of_value(value: dict[str, Any]) -> WharfieError:
    """The exception of an error as the core says it."""
    kind = _class_of(value["code"])
    return kind(
        value["message"],
        facts=value.get("facts") or {},
        place=value.get("place") or {},
        hint=value.get("hint"),
    )


def _of_json(text: str) -> WharfieError:
    value: dict[str, Any] = json.loads(text)
    return _of_value(value)


_CLASSES: dict[str, type[WharfieError]] = {}


def _collect() -> None:
    for kind in WharfieError.__subclasses__():
        _CLASSES[kind.code] = kind
    for code in _wharfie.error_codes():
        _class_of(code)


# --- made by make_errors.py from core/src/error.rs ---


class InvalidReferenceError(WharfieError, ValueError):
    """A reference that cannot be read."""

    code = "invalid_reference"

    @property
    def input(self) -> str:
        """What was given."""
        found: str = self.facts["input"]
        return found

    @property
    def part(self) -> str:
        """Which part is wrong: `host`, `repository`, `tag`, `digest`."""
        found: str = self.facts["part"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        found: str = self.facts["reason"]
        return found


class InvalidDigestError(WharfieError, ValueError):
    """A digest that cannot be read."""

    code = "invalid_digest"

    @property
    def input(self) -> str:
        """What was given."""
        found: str = self.facts["input"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        found: str = self.facts["reason"]
        return found


class UnsupportedDigestError(WharfieError):
    """A well-formed digest of an algorithm that nobody here can compute."""

    code = "unsupported_digest"

    @property
    def algorithm(self) -> str:
        """Its name."""
        found: str = self.facts["algorithm"]
        return found


class InvalidUrlError(WharfieError, ValueError):
    """A URL that cannot be read, or that clients would read differently."""

    code = "invalid_url"

    @property
    def input(self) -> str:
        """What was given, without its query and user information."""
        found: str = self.facts["input"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        found: str = self.facts["reason"]
        return found


class InvalidPlatformError(WharfieError, ValueError):
    """A platform that cannot be read."""

    code = "invalid_platform"

    @property
    def input(self) -> str:
        """What was given."""
        found: str = self.facts["input"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        found: str = self.facts["reason"]
        return found


class PlatformNotFoundError(WharfieError):
    """No manifest of the index fits."""

    code = "platform_not_found"

    @property
    def wanted(self) -> str:
        """The platform asked for."""
        found: str = self.facts["wanted"]
        return found

    @property
    def available(self) -> str:
        """Those on offer, comma-separated."""
        found: str = self.facts["available"]
        return found


class InvalidDocumentError(WharfieError):
    """A manifest, index or config that cannot be read."""

    code = "invalid_document"

    @property
    def document(self) -> str:
        """`manifest`, `index`, `config`, `token response`, …"""
        found: str = self.facts["document"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        found: str = self.facts["reason"]
        return found


class UnsupportedMediaTypeError(WharfieError):
    """A media type that this operation has no use for."""

    code = "unsupported_media_type"

    @property
    def media_type(self) -> str:
        """It."""
        found: str = self.facts["media_type"]
        return found

    @property
    def reason(self) -> str:
        """Why."""
        found: str = self.facts["reason"]
        return found


class NotAnImageError(WharfieError):
    """An artifact where an image is needed."""

    code = "not_an_image"

    @property
    def reason(self) -> str:
        """How that is known."""
        found: str = self.facts["reason"]
        return found


class DigestMismatchError(WharfieError):
    """Bytes that are not what their digest promised."""

    code = "digest_mismatch"

    @property
    def expected(self) -> str:
        """What the descriptor or reference says."""
        found: str = self.facts["expected"]
        return found

    @property
    def actual(self) -> str:
        """What the bytes give."""
        found: str = self.facts["actual"]
        return found


class DiffIdMismatchError(WharfieError):
    """A layer whose blob is right and whose content is not what the config promises (L23)."""

    code = "diff_id_mismatch"

    @property
    def expected(self) -> str:
        """What the config says."""
        found: str = self.facts["expected"]
        return found

    @property
    def actual(self) -> str:
        """What the uncompressed bytes give."""
        found: str = self.facts["actual"]
        return found


class SizeMismatchError(WharfieError):
    """More or fewer bytes than the descriptor promised."""

    code = "size_mismatch"

    @property
    def expected(self) -> int:
        """What the descriptor says."""
        found: int = self.facts["expected"]
        return found

    @property
    def actual(self) -> int:
        """What came."""
        found: int = self.facts["actual"]
        return found


class LimitExceededError(WharfieError):
    """A cap of `Limits` was reached."""

    code = "limit_exceeded"

    @property
    def limit(self) -> str:
        """The field of `Limits`."""
        found: str = self.facts["limit"]
        return found

    @property
    def value(self) -> int:
        """Its setting."""
        found: int = self.facts["value"]
        return found


class NotFoundError(WharfieError, FileNotFoundError):
    """No such repository, tag, manifest or blob."""

    code = "not_found"

    @property
    def what(self) -> str:
        """What was looked for."""
        found: str = self.facts["what"]
        return found

    @property
    def detail(self) -> str | None:
        """What the registry said."""
        found: str | None = self.facts.get("detail")
        return found


class UnauthorizedError(WharfieError):
    """The registry wants credentials, or refuses those that it got."""

    code = "unauthorized"

    @property
    def reason(self) -> str:
        """Why; what registries hide behind 401 is said in the hint."""
        found: str = self.facts["reason"]
        return found

    @property
    def detail(self) -> str | None:
        """What the registry said."""
        found: str | None = self.facts.get("detail")
        return found

    @property
    def with_credentials(self) -> bool:
        """Whether credentials were sent."""
        return bool(self.facts["with_credentials"] == "true")


class DeniedError(WharfieError):
    """Known, and not allowed."""

    code = "denied"

    @property
    def reason(self) -> str:
        """Why."""
        found: str = self.facts["reason"]
        return found

    @property
    def detail(self) -> str | None:
        """What the registry said."""
        found: str | None = self.facts.get("detail")
        return found

    @property
    def with_credentials(self) -> bool:
        """Whether credentials were sent."""
        return bool(self.facts["with_credentials"] == "true")


class RateLimitedError(WharfieError):
    """Too many requests, and no retries left."""

    code = "rate_limited"

    @property
    def host(self) -> str:
        """Who."""
        found: str = self.facts["host"]
        return found

    @property
    def retry_after(self) -> float | None:
        """When it may be tried again. In seconds."""
        found: float | None = self.facts.get("retry_after")
        return found

    @property
    def limit(self) -> str | None:
        """The limit as the registry states it (`ratelimit-limit`)."""
        found: str | None = self.facts.get("limit")
        return found

    @property
    def remaining(self) -> str | None:
        """What is left of it."""
        found: str | None = self.facts.get("remaining")
        return found


class ServerError(WharfieError):
    """The server failed, and no retries are left."""

    code = "server_error"

    @property
    def host(self) -> str:
        """Who."""
        found: str = self.facts["host"]
        return found

    @property
    def status(self) -> int:
        """The HTTP status."""
        found: int = self.facts["status"]
        return found

    @property
    def detail(self) -> str | None:
        """What it said."""
        found: str | None = self.facts.get("detail")
        return found


class RequestRefusedError(WharfieError):
    """The server refuses a request, for none of the reasons that have a kind of their own."""

    code = "request_refused"

    @property
    def host(self) -> str:
        """Who."""
        found: str = self.facts["host"]
        return found

    @property
    def status(self) -> int:
        """The HTTP status."""
        found: int = self.facts["status"]
        return found

    @property
    def detail(self) -> str | None:
        """What it said."""
        found: str | None = self.facts.get("detail")
        return found


class UnsupportedOperationError(WharfieError):
    """The registry has no such operation, or does not offer it."""

    code = "unsupported_operation"

    @property
    def host(self) -> str:
        """Who."""
        found: str = self.facts["host"]
        return found

    @property
    def what(self) -> str:
        """What it was asked for."""
        found: str = self.facts["what"]
        return found

    @property
    def detail(self) -> str | None:
        """What it said."""
        found: str | None = self.facts.get("detail")
        return found


class ProtocolViolationError(WharfieError):
    """A response that the protocol does not allow."""

    code = "protocol_violation"

    @property
    def host(self) -> str:
        """Who."""
        found: str = self.facts["host"]
        return found

    @property
    def reason(self) -> str:
        """What it did."""
        found: str = self.facts["reason"]
        return found


class UnsupportedChallengeError(WharfieError):
    """A challenge with no scheme that we can answer."""

    code = "unsupported_challenge"

    @property
    def host(self) -> str:
        """Who."""
        found: str = self.facts["host"]
        return found

    @property
    def offered(self) -> str:
        """The schemes."""
        found: str = self.facts["offered"]
        return found


class ForbiddenTargetError(WharfieError):
    """A redirect, realm or upload location that we refuse to follow."""

    code = "forbidden_target"

    @property
    def target(self) -> str:
        """Its origin."""
        found: str = self.facts["target"]
        return found

    @property
    def reason(self) -> str:
        """Why."""
        found: str = self.facts["reason"]
        return found


class RedirectLoopError(WharfieError):
    """Too many redirects, or a loop."""

    code = "redirect_loop"

    @property
    def host(self) -> str:
        """Who began it."""
        found: str = self.facts["host"]
        return found


class ConnectionFailedError(WharfieError, ConnectionError):
    """No connection could be made, or it broke too often."""

    code = "connection_failed"

    @property
    def host(self) -> str:
        """Who."""
        found: str = self.facts["host"]
        return found

    @property
    def reason(self) -> str:
        """`dns`, `refused`, `tls`, `reset`, `ended`, `http2`, `unknown`, …"""
        found: str = self.facts["reason"]
        return found

    @property
    def detail(self) -> str | None:
        """The transport's own words."""
        found: str | None = self.facts.get("detail")
        return found


class TimedOutError(WharfieError, TimeoutError):
    """Nothing came for too long, too often."""

    code = "timed_out"

    @property
    def host(self) -> str:
        """Who."""
        found: str = self.facts["host"]
        return found

    @property
    def what(self) -> str:
        """What was waited for."""
        found: str = self.facts["what"]
        return found


class UntrustedCertificateError(WharfieError):
    """The certificate is not trusted."""

    code = "untrusted_certificate"

    @property
    def host(self) -> str:
        """Who."""
        found: str = self.facts["host"]
        return found

    @property
    def detail(self) -> str | None:
        """The transport's own words."""
        found: str | None = self.facts.get("detail")
        return found


class CancelledError(WharfieError):
    """The caller stopped it."""

    code = "cancelled"


class NoSpaceError(WharfieError, OSError):
    """The disk is full."""

    code = "no_space"

    @property
    def needed(self) -> int:
        """What it would take, or 0 where that is not known."""
        found: int = self.facts["needed"]
        return found

    @property
    def available(self) -> int | None:
        """What there is, where that is known."""
        found: int | None = self.facts.get("available")
        return found


class LocalIoError(WharfieError, OSError):
    """Reading or writing locally failed."""

    code = "local_io"

    @property
    def operation(self) -> str:
        """What was tried."""
        found: str = self.facts["operation"]
        return found

    @property
    def reason(self) -> str:
        """The system's own words."""
        found: str = self.facts["reason"]
        return found


class PermissionDeniedError(WharfieError, PermissionError):
    """Not allowed by the local system."""

    code = "permission_denied"

    @property
    def operation(self) -> str:
        """What was tried."""
        found: str = self.facts["operation"]
        return found

    @property
    def reason(self) -> str:
        """The system's own words."""
        found: str = self.facts["reason"]
        return found


class AlreadyExistsError(WharfieError, FileExistsError):
    """Something is there already, and must not be overwritten."""

    code = "already_exists"

    @property
    def what(self) -> str:
        """It."""
        found: str = self.facts["what"]
        return found


class BusyError(WharfieError):
    """Another process uses it."""

    code = "busy"

    @property
    def what(self) -> str:
        """It."""
        found: str = self.facts["what"]
        return found


class OfflineError(WharfieError):
    """Offline, and not in the store."""

    code = "offline"

    @property
    def what(self) -> str:
        """It."""
        found: str = self.facts["what"]
        return found


class CorruptStreamError(WharfieError):
    """A compressed stream that cannot be decoded."""

    code = "corrupt_stream"

    @property
    def format(self) -> str:
        """`gzip`, `zstd`, …"""
        found: str = self.facts["format"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong."""
        found: str = self.facts["reason"]
        return found


class UnsupportedCompressionError(WharfieError):
    """A compression that nobody here can decode."""

    code = "unsupported_compression"

    @property
    def format(self) -> str:
        """It."""
        found: str = self.facts["format"]
        return found


class InvalidTarError(WharfieError):
    """A tar that cannot be read, or only in more than one way (L1, L11, L18, L21, L22)."""

    code = "invalid_tar"

    @property
    def reason(self) -> str:
        """What is wrong."""
        found: str = self.facts["reason"]
        return found


class InvalidPathError(WharfieError):
    """A name or link that climbs above the root (L1), or loops (L3)."""

    code = "invalid_path"

    @property
    def path(self) -> str:
        """It, escaped."""
        found: str = self.facts["path"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong."""
        found: str = self.facts["reason"]
        return found


class InvalidHardLinkError(WharfieError):
    """A hard link to nothing, to itself or to a directory (L12)."""

    code = "invalid_hard_link"

    @property
    def target(self) -> str:
        """Its target, escaped."""
        found: str = self.facts["target"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong."""
        found: str = self.facts["reason"]
        return found


class LayerCountMismatchError(WharfieError):
    """The config and the layers do not agree (L23)."""

    code = "layer_count_mismatch"

    @property
    def diff_ids(self) -> int:
        """Of the config."""
        found: int = self.facts["diff_ids"]
        return found

    @property
    def layers(self) -> int:
        """Of the manifest."""
        found: int = self.facts["layers"]
        return found


class UnsupportedByTargetError(WharfieError):
    """The file system that a tree is to be written to cannot hold it (L28)."""

    code = "unsupported_by_target"

    @property
    def what(self) -> str:
        """What of it, with the first paths of each kind."""
        found: str = self.facts["what"]
        return found


class PathNotFoundError(WharfieError, FileNotFoundError):
    """A path that an image does not have."""

    code = "path_not_found"

    @property
    def path(self) -> str:
        """What was asked for, escaped."""
        found: str = self.facts["path"]
        return found

    @property
    def nearest(self) -> str:
        """The directory that its way led to, escaped."""
        found: str = self.facts["nearest"]
        return found

    @property
    def similar(self) -> str | None:
        """A path that is there and looks alike, escaped."""
        found: str | None = self.facts.get("similar")
        return found


class NotAFileError(WharfieError):
    """A path of an image that is no regular file, where one is needed."""

    code = "not_a_file"

    @property
    def path(self) -> str:
        """It, escaped."""
        found: str = self.facts["path"]
        return found

    @property
    def what(self) -> str:
        """`a directory`, `a device`, `a FIFO`."""
        found: str = self.facts["what"]
        return found


class InvalidOptionError(WharfieError, ValueError):
    """An option or a combination of options that makes no sense."""

    code = "invalid_option"

    @property
    def reason(self) -> str:
        """Why."""
        found: str = self.facts["reason"]
        return found


class InvalidSettingsError(WharfieError):
    """A file of settings that cannot be read, or says what makes no sense. The place has its path."""

    code = "invalid_settings"

    @property
    def reason(self) -> str:
        """What is wrong."""
        found: str = self.facts["reason"]
        return found


class RegistryBlockedError(WharfieError):
    """The user's settings forbid this registry or repository (`blocked` in registries.conf)."""

    code = "registry_blocked"

    @property
    def name(self) -> str:
        """What was to be asked, `host/repository`."""
        found: str = self.facts["name"]
        return found

    @property
    def prefix(self) -> str:
        """The prefix of the rule that forbids it."""
        found: str = self.facts["prefix"]
        return found

    @property
    def file(self) -> str:
        """The file that has the rule."""
        found: str = self.facts["file"]
        return found


class AmbiguousNameError(WharfieError):
    """A short name that may stand for several images."""

    code = "ambiguous_name"

    @property
    def name(self) -> str:
        """As it was given."""
        found: str = self.facts["name"]
        return found

    @property
    def candidates(self) -> str:
        """What it may be, comma-separated."""
        found: str = self.facts["candidates"]
        return found

    @property
    def file(self) -> str:
        """The file that says so."""
        found: str = self.facts["file"]
        return found


class InvalidPatternError(WharfieError, ValueError):
    """A pattern for paths that cannot be read."""

    code = "invalid_pattern"

    @property
    def pattern(self) -> str:
        """What was given, escaped; its beginning if it is long."""
        found: str = self.facts["pattern"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        found: str = self.facts["reason"]
        return found

    @property
    def at(self) -> int:
        """Where, counted from 0."""
        found: int = self.facts["at"]
        return found


class InvalidIdMapError(WharfieError, ValueError):
    """A map of owners that cannot be read, or makes no sense."""

    code = "invalid_id_map"

    @property
    def input(self) -> str:
        """The range that is wrong."""
        found: str = self.facts["input"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        found: str = self.facts["reason"]
        return found


class UnmappedIdError(WharfieError):
    """An owner or a group that the map of owners does not cover."""

    code = "unmapped_id"

    @property
    def what(self) -> str:
        """`uid` or `gid`."""
        found: str = self.facts["what"]
        return found

    @property
    def id(self) -> int:
        """The number in the image."""
        found: int = self.facts["id"]
        return found


class NameConflictError(WharfieError):
    """Two images that come to one name where they are imported."""

    code = "name_conflict"

    @property
    def name(self) -> str:
        """The name."""
        found: str = self.facts["name"]
        return found

    @property
    def first(self) -> str:
        """The file or directory of one."""
        found: str = self.facts["first"]
        return found

    @property
    def second(self) -> str:
        """That of the other, which may be the same."""
        found: str = self.facts["second"]
        return found


class UnusableNameError(WharfieError):
    """A name that nothing could be listed under."""

    code = "unusable_name"

    @property
    def name(self) -> str:
        """It, escaped."""
        found: str = self.facts["name"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong with it."""
        found: str = self.facts["reason"]
        return found


class UnsupportedTransportError(WharfieError):
    """A name of a transport that is known and not supported."""

    code = "unsupported_transport"

    @property
    def transport(self) -> str:
        """It."""
        found: str = self.facts["transport"]
        return found

    @property
    def reason(self) -> str:
        """Why."""
        found: str = self.facts["reason"]
        return found


class CredentialSourceError(WharfieError):
    """A credential helper, credential file or the like that does not work."""

    code = "credential_source"

    @property
    def source_name(self) -> str:
        """Which."""
        found: str = self.facts["source_name"]
        return found

    @property
    def reason(self) -> str:
        """What is wrong."""
        found: str = self.facts["reason"]
        return found


class InternalError(WharfieError):
    """An invariant of ours that did not hold. Please report it."""

    code = "internal"

    @property
    def reason(self) -> str:
        """What."""
        found: str = self.facts["reason"]
        return found


__all__ = [
    "AlreadyExistsError",
    "AmbiguousNameError",
    "BusyError",
    "CancelledError",
    "ConnectionFailedError",
    "CorruptStreamError",
    "CredentialSourceError",
    "DeniedError",
    "DiffIdMismatchError",
    "DigestMismatchError",
    "ForbiddenTargetError",
    "InternalError",
    "InvalidDigestError",
    "InvalidDocumentError",
    "InvalidHardLinkError",
    "InvalidIdMapError",
    "InvalidOptionError",
    "InvalidPathError",
    "InvalidPatternError",
    "InvalidPlatformError",
    "InvalidReferenceError",
    "InvalidSettingsError",
    "InvalidTarError",
    "InvalidUrlError",
    "LayerCountMismatchError",
    "LimitExceededError",
    "LocalIoError",
    "NameConflictError",
    "NoSpaceError",
    "NotAFileError",
    "NotAnImageError",
    "NotFoundError",
    "OfflineError",
    "PathNotFoundError",
    "PermissionDeniedError",
    "PlatformNotFoundError",
    "ProtocolViolationError",
    "RateLimitedError",
    "RedirectLoopError",
    "RegistryBlockedError",
    "RequestRefusedError",
    "ServerError",
    "SizeMismatchError",
    "TimedOutError",
    "UnauthorizedError",
    "UnmappedIdError",
    "UnsupportedByTargetError",
    "UnsupportedChallengeError",
    "UnsupportedCompressionError",
    "UnsupportedDigestError",
    "UnsupportedMediaTypeError",
    "UnsupportedOperationError",
    "UnsupportedTransportError",
    "UntrustedCertificateError",
    "UnusableNameError",
    "WharfieError",
]

_collect()
