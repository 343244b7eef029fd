"""What `httpx` says, in the machine's words."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx

#: Chunks of a body are handed on as they come from the socket, at most 64 KiB each.
UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}


def client_options(timeout: float) -> dict[str, object]:
    """How our own clients are made: no limit of connections, since the machine has its own."""
    return {
        "follow_redirects": False,
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=16),
        "timeout": request_timeout(timeout),
    }


def loopback_mounts(transport: Callable[..., Any], verify: bool) -> dict[str, Any]:
    """What goes to this machine goes through no proxy, whatever the environment says: its credentials are nobody else's."""
    own = transport(verify=verify, limits=httpx.Limits(max_connections=None, max_keepalive_connections=16))
    return {f"all://{name}": own for name in ("localhost", "*.localhost", "127.0.0.1", "[::1]")}


def request_timeout(seconds: float) -> httpx.Timeout:
    """The machine has the clock for answers and stalls. The transport's is a little later, and wakes who nobody waits for."""
    return httpx.Timeout(seconds + 5.0, connect=seconds, pool=None)


def fields_of(response: httpx.Response) -> list[tuple[str, bytes]]:
    """The header fields as they came."""
    return [(name.decode("latin-1"), value) for name, value in response.headers.raw]


def _causes(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner, seen)
        if error.__context__ is not error.__cause__:
            yield from _causes(error.__context__, seen)
        error = error.__cause__


def failure_of(error: BaseException, url: str) -> tuple[str, str]:
    """Why the transport gave up: the machine's word for it, and the transport's own."""
    connecting = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    # The URL may hold a signature, and these words are shown.
    detail = str(error).replace(url, "the URL") or type(error).__name__
    for cause in _causes(error, set()):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "certificate", detail
        if isinstance(cause, ssl.SSLError):
            return "tls", detail
        if isinstance(cause, socket.gaierror):
            return "dns", detail
        if isinstance(cause, ConnectionRefusedError):
            return "refused", detail
        if isinstance(cause, OSError) and cause.errno in UNREACHABLE:
            return "unreachable", detail
        if connecting and isinstance(cause, EOFError | ConnectionResetError) and url.startswith("https:"):
            # Who knows no TLS takes its greeting for nonsense, and hangs up.
            return "tls", detail
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return "unknown", detail
    return "unreachable" if connecting else "broken", detail
