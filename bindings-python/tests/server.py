"""A registry of our own that does what real ones do on bad days."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from images import MANIFEST, Made

#: What a fault does to a response: it is given the request's handler and answers whether it has answered.
Fault = Callable[["Handler"], bool]


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Answers as the server says."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.world.seen.append(Seen(self.command, self.path, headers))
        try:
            self.server.world.answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def give(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, length: int | None = None
    ) -> None:
        """A whole response."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def cut(self) -> None:
        """Breaks the connection off."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()


class Server(ThreadingHTTPServer):
    """The sockets of one world."""

    daemon_threads = True
    world: World

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@dataclass
class World:
    """A registry with one repository, `app`, whose tag `1` is an image."""

    made: Made
    #: Tokens that are good: nothing if none are asked for.
    tokens: set[str] | None = None
    #: Users with passwords; anybody if there are none.
    users: dict[str, str] = field(default_factory=dict)
    #: Faults by what the path contains, tried in order.
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    issued: int = 0

    def __enter__(self) -> World:
        self.http = Server(("127.0.0.1", 0), Handler)
        self.http.world = self
        self.host = f"127.0.0.1:{self.http.server_address[1]}"
        self.name = f"{self.host}/app:1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()

    def fault(self, path: str, fault: Fault, times: int = 1) -> None:
        """Has so many requests for paths that contain this go wrong."""
        left = [times]

        def limited(handler: Handler) -> bool:
            if left[0] == 0 or handler.command != "GET":
                return False
            left[0] -= 1
            return fault(handler)

        self.faults.append((path, limited))

    def asked(self, path: str) -> list[Seen]:
        """The GET requests for what contains this."""
        return [seen for seen in self.seen if path in seen.path and seen.method == "GET"]

    def answer(self, handler: Handler) -> None:
        """Answers a request."""
        path = handler.path.partition("?")[0]
        if path == "/token":
            return self.token(handler)
        if path.startswith("/v2/") and self.tokens is not None:
            given = handler.headers.get("Authorization", "").removeprefix("Bearer ")
            if given not in self.tokens:
                challenge = f'Bearer realm="http://{self.host}/token",service="test"'
                return handler.give(401, b"{}", {"WWW-Authenticate": challenge})
        for wanted, fault in self.faults:
            if wanted in path and fault(handler):
                return None
        if path in ("/v2/", "/v2"):
            return handler.give(200, b"{}")
        if path == "/v2/app/tags/list":
            return handler.give(200, json.dumps({"name": "app", "tags": ["1", "2"]}).encode())
        if found := re.fullmatch(r"/v2/app/manifests/(.+)", path):
            if found[1] in ("1", self.made.digest):
                headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": self.made.digest}
                return handler.give(200, self.made.manifest, headers)
            error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return handler.give(404, json.dumps(error).encode(), {"Content-Type": "application/json"})
        if found := re.fullmatch(r"(?:/v2/app/blobs|/cdn)/(.+)", path):
            blob = self.made.blobs.get(found[1])
            if blob is not None:
                return self.blob(handler, blob)
        return handler.give(404, b"{}")

    def token(self, handler: Handler) -> None:
        """Gives a token to who may have one."""
        if self.users:
            import base64

            said = handler.headers.get("Authorization", "").removeprefix("Basic ")
            user, _, password = base64.b64decode(said or b"").decode().partition(":")
            if self.users.get(user) != password:
                return handler.give(401, b"{}")
        self.issued += 1
        token = f"token-{self.issued}"
        assert self.tokens is not None
        self.tokens.add(token)
        return handler.give(200, json.dumps({"token": token, "expires_in": 300}).encode())

    def blob(self, handler: Handler, blob: bytes) -> None:
        """A blob, or a range of it."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        if wanted is None:
            return handler.give(200, blob)
        first = int(wanted[1])
        last = int(wanted[2]) if wanted[2] else len(blob) - 1
        part = blob[first : last + 1]
        return handler.give(206, part, {"Content-Range": f"bytes {first}-{last}/{len(blob)}"})


# Faults.


def cut_after(size: int, blob: bytes) -> Fault:
    """Promises all of a blob, gives so many bytes of what was asked for, and breaks off."""

    def fault(handler: Handler) -> bool:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        headers = {"Content-Range": f"bytes {first}-{len(blob) - 1}/{len(blob)}"} if wanted else {}
        part = blob[first : first + size]
        handler.give(206 if wanted else 200, part, headers, length=len(blob) - first)
        handler.cut()
        return True

    return fault


def instead(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Fault:
    """Gives something else."""

    def fault(handler: Handler) -> bool:
        handler.give(status, body, headers)
        return True

    return fault


def redirect(to: Callable[[Handler], str]) -> Fault:
    """Sends elsewhere."""

    def fault(handler: Handler) -> bool:
        handler.give(307, b"", {"Location": to(handler)})
        return True

    return fault


def hang_after(size: int, blob: bytes, reached: threading.Event, go_on: threading.Event) -> Fault:
    """Gives so many bytes, says so, and waits."""

    def fault(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(blob)))
        handler.end_headers()
        handler.wfile.write(blob[:size])
        handler.wfile.flush()
        reached.set()
        go_on.wait(30)
        handler.cut()
        return True

    return fault
