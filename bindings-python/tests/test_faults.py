"""Bad days: always the same code, whichever way it is driven."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import free_port
from images import Made, image, noise
from modes import MODES, paths, pull, read, tags
from server import Handler, World, cut_after, instead, redirect

import wharfie
from wharfie.progress import Progress, Resolved, Retrying, Rewound, Transfer, Verified

pytestmark = pytest.mark.parametrize("mode", MODES)

MADE = image({"base": b"b", "etc/name": b"low"}, {"big": noise(2_000_000)}, {"etc/name": b"high"})


@pytest.fixture
def world() -> Iterator[World]:
    with World(MADE) as made:
        yield made


def leftovers(folder: Path) -> list[str]:
    """What the store holds under final names."""
    return sorted(path.name for path in (folder / "store" / "blobs" / "sha256").iterdir())


def names(made: Made) -> list[str]:
    return sorted(digest.removeprefix("sha256:") for digest in [*made.blobs, made.digest])


def test_a_quiet_day(mode: str, world: World, tmp_path: Path) -> None:
    told: list[Progress] = []
    first = pull(mode, world.name, progress=told.append)
    assert paths(mode, world.name) == ["/", "/base", "/big", "/etc", "/etc/name"]
    assert leftovers(tmp_path) == names(MADE)
    assert [event.digest for event in told if isinstance(event, Resolved)] == [MADE.digest]
    assert {event.digest for event in told if isinstance(event, Verified)} >= set(MADE.layers)
    assert any(isinstance(event, Transfer) and event.state == "done" for event in told)
    # What is there is not fetched again.
    before = len(world.asked("/blobs/"))
    assert pull(mode, world.name) == first
    assert len(world.asked("/blobs/")) == before
    for seen in world.seen:
        assert seen.headers.get("accept-encoding", "identity") == "identity"
        assert seen.headers["user-agent"].startswith("wharfie-python/")
    assert tags(mode, f"{world.host}/app") == ["1", "2"]
    assert tags(mode, f"{world.host}/app", most=1) == ["1"]


def test_opening_fetches_documents_and_reading_the_layers_that_decide(mode: str, world: World) -> None:
    assert read(mode, world.name, "/etc/name") == b"high"
    asked = [seen.path.rpartition("/")[2] for seen in world.asked("/blobs/sha256:")]
    assert MADE.layers[2] in asked
    assert MADE.layers[0] not in asked and MADE.layers[1] not in asked
    assert read(mode, world.name, "/base") == b"b"
    asked = [seen.path.rpartition("/")[2] for seen in world.asked("/blobs/sha256:")]
    assert asked.count(MADE.layers[2]) == 1
    with pytest.raises(wharfie.PathNotFoundError):
        read(mode, world.name, "/nothing")


def test_connections_that_are_cut_go_on_from_there(mode: str, world: World) -> None:
    big = MADE.blobs[MADE.layers[1]]
    world.fault("/blobs/" + MADE.layers[1], cut_after(700_000, big), times=2)
    told: list[Progress] = []
    with_faults = pull(mode, world.name, progress=told.append)
    ranges = [seen.headers.get("range") for seen in world.asked("/blobs/" + MADE.layers[1])]
    assert ranges == [None, f"bytes=700000-{len(big) - 1}", f"bytes=1400000-{len(big) - 1}"]
    assert any(isinstance(event, Retrying) for event in told)
    assert with_faults == pull(mode, world.name)


def test_connections_that_are_always_cut(mode: str, world: World, tmp_path: Path) -> None:
    world.fault("/blobs/" + MADE.layers[1], cut_after(0, MADE.blobs[MADE.layers[1]]), times=99)
    with pytest.raises(wharfie.ConnectionFailedError) as caught:
        pull(mode, world.name, retries=1)
    assert caught.value.hint is not None and caught.value.place["blob"] == MADE.layers[1]
    assert MADE.layers[1].removeprefix("sha256:") not in leftovers(tmp_path)


def test_a_new_process_goes_on_from_the_partial_file(mode: str, world: World, tmp_path: Path) -> None:
    big = MADE.blobs[MADE.layers[1]]
    partial = tmp_path / "store" / "ingest" / f"sha256-{MADE.layers[1].removeprefix('sha256:')}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(big[:500_000])
    pull(mode, world.name)
    ranges = [seen.headers.get("range") for seen in world.asked("/blobs/" + MADE.layers[1])]
    assert ranges == [f"bytes=500000-{len(big) - 1}"]
    assert hashlib.sha256(
        (tmp_path / "store/blobs/sha256" / MADE.layers[1].removeprefix("sha256:")).read_bytes()
    ).hexdigest() == MADE.layers[1].removeprefix("sha256:")


def test_a_partial_file_of_something_else_begins_anew(mode: str, world: World, tmp_path: Path) -> None:
    partial = tmp_path / "store" / "ingest" / f"sha256-{MADE.layers[1].removeprefix('sha256:')}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * 500_000)
    told: list[Progress] = []
    pull(mode, world.name, progress=told.append)
    rewound = [event for event in told if isinstance(event, Rewound)]
    assert [event.to for event in rewound] == [0]
    assert isinstance(rewound[0].reason, wharfie.DigestMismatchError)


def test_wrong_bytes(mode: str, world: World, tmp_path: Path) -> None:
    big = MADE.blobs[MADE.layers[1]]
    world.fault("/blobs/" + MADE.layers[1], instead(b"x" * len(big)), times=9)
    with pytest.raises(wharfie.DigestMismatchError) as caught:
        pull(mode, world.name)
    assert caught.value.expected == MADE.layers[1]
    assert caught.value.actual != MADE.layers[1]
    assert MADE.layers[1].removeprefix("sha256:") not in leftovers(tmp_path)


def test_more_bytes_than_were_promised(mode: str, world: World) -> None:
    big = MADE.blobs[MADE.layers[1]]
    world.fault("/blobs/" + MADE.layers[1], instead(big + b"more"), times=9)
    with pytest.raises(wharfie.SizeMismatchError):
        pull(mode, world.name)


def test_a_manifest_that_is_another(mode: str, world: World) -> None:
    wrong = "sha256:" + "0" * 64
    other = {"Content-Type": "application/vnd.oci.image.manifest.v1+json", "Docker-Content-Digest": wrong}
    world.fault("/manifests/", instead(MADE.manifest, 200, other), times=9)
    with pytest.raises(wharfie.DigestMismatchError):
        pull(mode, f"{world.host}/app@{wrong}")


def test_nothing_of_this_name(mode: str, world: World) -> None:
    with pytest.raises(wharfie.NotFoundError) as caught:
        pull(mode, f"{world.host}/app:none")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.place["url"].endswith("/v2/app/manifests/none")


def test_tokens_that_expire(mode: str, world: World) -> None:
    world.tokens = set()

    def expire(handler: Handler) -> bool:
        # What was given out is good no more; the request itself goes through.
        assert world.tokens is not None
        world.tokens.clear()
        return False

    world.fault("/manifests/", expire)
    whole = pull(mode, world.name)
    assert world.issued == 2
    assert whole == pull(mode, world.name)


def test_credentials(mode: str, world: World, tmp_path: Path) -> None:
    world.tokens, world.users = set(), {"me": "secret"}
    with pytest.raises(wharfie.UnauthorizedError) as caught:
        pull(mode, world.name)
    assert not caught.value.with_credentials
    with pytest.raises(wharfie.UnauthorizedError) as caught:
        pull(mode, world.name, credentials=("me", "wrong"))
    assert caught.value.with_credentials
    assert "wrong" not in str(caught.value)
    assert pull(mode, world.name, credentials=("me", "secret"))
    asked = []

    def find(registry: str, repository: str | None) -> tuple[str, str]:
        asked.append((registry, repository))
        return "me", "secret"

    assert pull(mode, world.name, credentials=find)
    assert asked == [(world.host, "app")]

    async def find_later(registry: str, repository: str | None) -> tuple[str, str]:
        return find(registry, repository)

    if mode == "async":
        assert pull(mode, world.name, credentials=find_later)
    # What `docker login` left.
    (tmp_path / "docker").mkdir()
    auths = {world.host: {"auth": "bWU6c2VjcmV0"}}
    (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": auths}))
    assert pull(mode, world.name)


def test_what_the_credentials_function_raises_is_raised(mode: str, world: World) -> None:
    world.tokens = set()
    world.users = {"me": "secret"}

    def broken(registry: str, repository: str | None) -> tuple[str, str]:
        raise KeyError("vault")

    with pytest.raises(KeyError):
        pull(mode, world.name, credentials=broken)


def test_redirects_lose_the_token(mode: str, world: World) -> None:
    world.tokens = set()
    with World(MADE) as cdn:
        for layer in MADE.layers:
            world.fault(f"/blobs/{layer}", redirect(lambda handler: f"http://{cdn.host}/cdn/{handler.path.rpartition('/')[2]}"))
        assert pull(mode, world.name)
        assert {seen.path for seen in cdn.seen} == {f"/cdn/{layer}" for layer in MADE.layers}
        assert all("authorization" not in seen.headers for seen in cdn.seen)
    assert any("authorization" in seen.headers for seen in world.seen)


def test_redirects_without_end(mode: str, world: World) -> None:
    world.fault("/blobs/", redirect(lambda handler: f"http://{world.host}{handler.path}"), times=999)
    with pytest.raises(wharfie.WharfieError) as caught:
        pull(mode, world.name, retries=0)
    assert caught.value.code in ("too_many_redirects", "redirect_loop", "invalid_redirect"), caught.value.code


def test_a_limit_that_is_reached(mode: str, world: World) -> None:
    world.fault("/manifests/", instead(b"{}", 429, {"Retry-After": "86400"}), times=99)
    world.faults = [("/manifests/", lambda handler: (handler.give(429, b"{}", {"Retry-After": "86400"}), True)[1])]
    with pytest.raises(wharfie.RateLimitedError) as caught:
        pull(mode, world.name)
    assert caught.value.retry_after == 86400
    assert caught.value.hint is not None


def test_a_server_that_is_ill_for_a_while(mode: str, world: World) -> None:
    world.fault("/blobs/" + MADE.layers[0], instead(b"", 503), times=2)
    assert pull(mode, world.name)


def test_nobody_answers(mode: str) -> None:
    with pytest.raises(wharfie.ConnectionFailedError) as caught:
        pull(mode, f"127.0.0.1:{free_port()}/app:1", retries=0)
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.reason == "refused"


def test_a_server_that_says_nothing(mode: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(TimeoutError) as caught:
            pull(mode, f"127.0.0.1:{silent.getsockname()[1]}/app:1", retries=0, timeout=0.5)
        assert isinstance(caught.value, wharfie.TimedOutError)


def test_a_client_of_ones_own(mode: str, world: World) -> None:
    seen = []

    def note(request: httpx.Request) -> None:
        seen.append(request.url.path)

    async def note_later(request: httpx.Request) -> None:
        note(request)

    if mode == "sync":
        with httpx.Client(event_hooks={"request": [note]}, follow_redirects=True) as client:
            pull(mode, world.name, client=client)
            assert not client.is_closed
    else:
        import asyncio

        from wharfie import aio

        async def run() -> None:
            async with httpx.AsyncClient(event_hooks={"request": [note_later]}) as client:
                async with aio.Image.open(world.name, client=client) as opened:
                    await opened.read_bytes("/base")
                assert not client.is_closed

        asyncio.run(run())
    assert f"/v2/app/blobs/{MADE.layers[0]}" in seen


def test_a_disk_that_refuses(mode: str, world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no store")
    with pytest.raises(wharfie.WharfieError) as caught:
        pull(mode, world.name, store=tmp_path / "file")
    assert caught.value.code in ("invalid_option", "local_io")


def test_another_process_that_fetches_is_waited_for(mode: str, world: World, tmp_path: Path) -> None:
    import threading

    from wharfie import _wharfie

    store = _wharfie.Store(str(tmp_path / "store"))
    big = MADE.blobs[MADE.layers[1]]
    intake = store.claim(MADE.layers[1], len(big))
    assert isinstance(intake, _wharfie.Intake)
    threading.Timer(0.5, intake.release).start()
    told: list[Progress] = []
    assert pull(mode, world.name, progress=told.append)
    assert any(isinstance(event, Transfer) and event.state == "waiting" for event in told)


def test_tls_that_is_not_trusted(mode: str, tmp_path: Path, world: World) -> None:
    import subprocess

    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k", "-out", tmp_path / "c"]
        + ["-days", "2", "-subj", "/CN=wharfie.test", "-addext", "subjectAltName=DNS:wharfie.test"],
        capture_output=True,
    )
    if made.returncode != 0:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")
    world.http.socket = context.wrap_socket(world.http.socket, server_side=True)
    port = world.host.rpartition(":")[2]
    # A name that is not the loopback's: certificates are checked.
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **named: Any) -> Any:
        is_it = host in ("wharfie.test", b"wharfie.test")
        return real("127.0.0.1" if is_it else host, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(wharfie.UntrustedCertificateError) as caught:
            pull(mode, f"wharfie.test:{port}/app:1")
        assert caught.value.hint is not None
        assert pull(mode, f"wharfie.test:{port}/app:1", insecure=True)
    # And on this machine nobody is asked for one.
    assert pull(mode, world.name)


