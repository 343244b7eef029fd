"""The driver of the client machine, without I/O of its own.

`Driver.run` is a generator whose only blocking step is "next event": it yields how long to wait at most and is sent what
happened. `Exchange.steps` is what one HTTP exchange does, as a generator too. A host runs both: `wharfie` with a thread for
each exchange and a queue, `wharfie.aio` with tasks and a queue. Neither knows a rule of the protocol; the machine does.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import httpx

from . import _wharfie
from ._http import failure_of
from .errors import WharfieError, _of_json, _of_value
from .progress import Answered, Progress, Resolved, Transfer, event_of

T = TypeVar("T")

#: What happened: it is called on the driver's thread.
Happened = Callable[[], None]

#: The machine is told of stored bytes at least this often.
REPORT_BYTES = 512 << 10
REPORT_SECONDS = 0.1
#: And that a body is alive whose bytes are only skipped.
SKIP_SECONDS = 1.0
#: How often progress is told.
TICK_SECONDS = 0.1
#: What has happened that is taken in before the clock is looked at.
MOST_AT_ONCE = 256
#: How often a blob is looked for that another process fetches.
OTHERS_SECONDS = 0.2
#: Blobs that may be under way at once, each with its file open and locked. The machine fetches fewer.
OPEN_BLOBS = 32
#: A body that nobody wants is read to its end, to keep the connection, if it is no longer than this.
DRAIN_BYTES = 64 << 10
#: What that may take.
DRAIN_SECONDS = 1.0


class Host(Protocol):
    """What a driver runs on."""

    def post(self, happened: Happened) -> None:
        """Something happened. From any thread."""

    def start(self, exchange: Exchange) -> None:
        """Begins an exchange."""

    def abort(self, exchange: Exchange) -> None:
        """Stops an exchange that nobody wants any longer."""

    def call(self, work: Callable[[], T], then: Callable[[T | BaseException], None]) -> None:
        """Does blocking work elsewhere, and posts what came of it."""

    def later(self, seconds: float, happened: Happened) -> None:
        """Posts it when so much time has gone by."""

    def ask(self, question: Question, then: Callable[[str | BaseException | None], None]) -> None:
        """Looks for credentials, and posts them as JSON."""


@dataclass(frozen=True)
class Question:
    """Which credentials are asked for."""

    registry: str
    repository: str | None
    #: The registry that this one stands for: what the user gave for that one is not for this one.
    stands_for: str | None


# What an exchange wants of its host.


@dataclass(frozen=True)
class Send:
    """Send the request: the status and the header fields of the response are wanted."""

    request: httpx.Request
    verify: bool


@dataclass(frozen=True)
class Ask:
    """Have this answered on the driver's thread."""

    question: Callable[[], Any]


@dataclass(frozen=True)
class Work:
    """Do this, which takes a while, where nobody waits for it."""

    work: Callable[[], Any]


@dataclass(frozen=True)
class Next:
    """The next chunk of the body is wanted, as it comes; nothing at its end."""


Step = Send | Ask | Work | Next


class Stopped(Exception):
    """Nobody wants the exchange any longer."""


@dataclass
class Exchange:
    """One request and its response."""

    driver: Driver
    start: dict[str, Any]
    body: bytes | None
    #: Nobody wants it any longer: no chunk is taken from here on.
    stopped: bool = False
    #: At its sink, and so not reading.
    busy: bool = False
    paused: bool = False
    #: What hashes and writes the blob that comes. The machine waits for its hasher, whatever ends the exchange.
    writer: _wharfie.Writer | None = None
    #: The host's own.
    handle: Any = None

    @property
    def id(self) -> int:
        """Its number."""
        return int(self.start["id"])

    def steps(self) -> Generator[Step, Any, None]:
        """What it does from its beginning to its end."""
        driver, session, number = self.driver, self.driver.session, self.id
        if not _wharfie.reach_allows(self.start["reach"], self.start["url"]):
            detail = "the address is on this machine or link"
            driver.post(lambda: session.handle_failure(driver.now(), number, "forbidden", detail))
            return
        try:
            yield from self._converse()
        except Stopped:
            pass
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            failure, detail = failure_of(error, self.start["url"])
            driver.post(lambda: session.handle_failure(driver.now(), number, failure, detail))
        except Exception as error:
            # A client that was closed, one of another loop: that is the caller's to know, and no weather.
            driver.post(partial(driver._failed, error))
        finally:
            driver.post(partial(driver._ended, self))

    def _converse(self) -> Generator[Step, Any, None]:
        driver, session, number = self.driver, self.driver.session, self.id
        request = httpx.Request(
            self.start["method"],
            self.start["url"],
            headers=[(name, value) for name, value in self.start["headers"]],
            content=self.body,
            extensions={"timeout": driver.timeout.as_dict()},
        )
        # Where there are no certificates there is nothing to accept, and the caller's client will do.
        verify = self.start["tls"] == "verify" or request.url.scheme == "http"
        status, fields = yield Send(request, verify)
        plan, blob = yield Ask(lambda: driver._head(self, status, fields))
        if plan == "discard":
            if _length(fields) <= DRAIN_BYTES:
                until = time.monotonic() + DRAIN_SECONDS
                while time.monotonic() < until and (yield Next()) is not None:
                    pass
        elif plan == "feed":
            while (chunk := (yield Next())) is not None:
                go_on = yield Ask(partial(session.handle_body, driver.now(), number, chunk))
                if not go_on:
                    return
            driver.post(lambda: session.handle_end(driver.now(), number))
        elif blob is not None and self.writer is not None:
            yield from self._store(blob, self.writer)

    def _store(self, blob: int, writer: _wharfie.Writer) -> Generator[Step, Any, None]:
        driver, session, number = self.driver, self.driver.session, self.id
        pending, reported = 0, time.monotonic()

        def report(len: int) -> None:
            driver.post(lambda: driver._stored(number, len))

        try:
            if (yield Work(writer.begin)):
                driver.post(lambda: session.handle_reading(driver.now(), number, False))
                while (yield Work(writer.replay)):
                    pass
                driver.post(lambda: session.handle_reading(driver.now(), number, True))
            while (chunk := (yield Next())) is not None:
                self.busy = True
                kept, too_long = yield Work(partial(writer.keep, chunk))
                self.busy = False
                pending += kept
                since = time.monotonic() - reported
                if too_long:
                    # The machine knows what to do about it.
                    raise Stopped
                if pending >= REPORT_BYTES or since >= (REPORT_SECONDS if kept else SKIP_SECONDS):
                    report(pending)
                    pending, reported = 0, time.monotonic()
        except _wharfie.SinkRefused as refused:
            kind, needed, detail = refused.args
            if kind == "superseded":
                end = partial(session.handle_failure, driver.now(), number, "broken", detail)
            else:
                end = partial(session.handle_sink_failure, driver.now(), blob, kind, needed, detail)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            failure, detail = failure_of(error, self.start["url"])
            end = partial(session.handle_failure, driver.now(), number, failure, detail)
        else:
            end = partial(session.handle_end, driver.now(), number)
        finally:
            # In this order, and also where it was stopped.
            if pending:
                report(pending)
            driver.post(partial(driver._hashed, self))
        driver.post(end)


def _length(fields: list[tuple[str, bytes]]) -> float:
    for name, value in fields:
        if name.lower() == "content-length" and value.isdigit():
            return int(value)
    return float("inf")


@dataclass
class Blob:
    """A blob that is under way."""

    descriptor: dict[str, Any]
    intake: _wharfie.Intake | None = None
    state: str = "waiting"
    told: tuple[str, int] | None = None
    verified: bool = False

    @property
    def digest(self) -> str:
        """Its digest."""
        return str(self.descriptor["digest"])

    @property
    def size(self) -> int:
        """What its descriptor says; 0 if it says nothing."""
        return int(self.descriptor["size"])


@dataclass
class Outcome:
    """What a job came to."""

    ok: dict[str, Any]
    names: list[str] = field(default_factory=list)


class Driver:
    """One machine, and what it works with. One job at a time."""

    def __init__(
        self,
        session: _wharfie.Session,
        store: _wharfie.Store | None,
        host: Host,
        timeout: httpx.Timeout,
        tell: Callable[[Progress], None] | None,
    ) -> None:
        self.session = session
        self.store = store
        self.host = host
        self.post = host.post
        self.timeout = timeout
        self.tell = tell
        self._origin = time.monotonic()
        self._until: int | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._blobs: dict[int, Blob] = {}
        self._asked: list[tuple[int, dict[str, Any]]] = []
        self._queue: deque[tuple[int, dict[str, Any]]] = deque()
        self._writing = 0
        self._run = 0
        self._names: list[str] = []
        self._finished: dict[int, dict[str, Any]] = {}
        self._trouble: BaseException | None = None
        self._known: set[Resolved | Answered] = set()

    def now(self) -> int:
        """Milliseconds since it was made."""
        return int((time.monotonic() - self._origin) * 1000)

    def run(self, begin: Callable[[int], int]) -> Generator[float | None, Happened | None, Outcome]:
        """Runs a job to its end. Yields how many seconds to wait at most, and is sent what happened, or nothing.

        Closing it, or an exception thrown into it, cancels the job.
        """
        self._names, self._trouble, self._writing = [], None, 0
        self._run += 1
        job = begin(self.now())
        tick = time.monotonic()
        try:
            self._settle()
            while self._trouble is None and (job not in self._finished or self._writing):
                happened = yield self._patience(tick)
                # All that has arrived is taken in before the clock is looked at: who was held up has stalled nobody.
                taken = 0
                while happened is not None:
                    happened()
                    taken += 1
                    happened = (yield 0.0) if taken < MOST_AT_ONCE else None
                now = self.now()
                if self._until is not None and self._until <= now:
                    self._pause()
                    self.session.handle_timeout(now)
                if time.monotonic() - tick >= TICK_SECONDS:
                    tick = time.monotonic()
                    self._pause()
                    self._tell_transfers()
                self._settle()
            if self._trouble is not None:
                raise self._trouble
            self._tell_transfers()
        except BaseException:
            # Nothing of it goes on, and partial files are free. Nobody is told: it may be the telling that failed.
            tell, self.tell = self.tell, None
            try:
                self.session.cancel(self.now(), job)
                self._settle()
            finally:
                self.tell = tell
            for exchange in list(self._exchanges.values()):
                self._stop(exchange)
            for blob in self._blobs.values():
                if blob.intake is not None:
                    blob.intake.release()
            self._blobs.clear()
            self._queue.clear()
            raise
        finished = self._finished.pop(job)
        if "error" in finished:
            raise _of_value(finished["error"])
        return Outcome(finished["ok"], self._names)

    def _patience(self, tick: float) -> float | None:
        waits = []
        if self._until is not None:
            waits.append((self._until - self.now()) / 1000)
        if self._blobs:
            # Whether somebody reads is looked at then, and the stall clock with it.
            waits.append(tick + TICK_SECONDS - time.monotonic())
        return max(0.0, min(waits)) if waits else None

    # What the machine says.

    def _settle(self) -> None:
        """Drains the machine, and answers what it asks until it asks nothing more."""
        while True:
            for output in json.loads(self.session.poll()):
                self._output(output)
            if not (self._take_up() | self._serve()):
                break
        self._forget()

    def _output(self, output: dict[str, Any]) -> None:
        kind = output["output"]
        if kind == "wait":
            self._until = output.get("until")
        elif kind == "start":
            body = self.session.body(output["id"]) if output.get("body") else None
            exchange = Exchange(self, output, body)
            self._exchanges[exchange.id] = exchange
            self.host.start(exchange)
        elif kind == "abort":
            aborted = self._exchanges.get(output["id"])
            if aborted is not None:
                self._stop(aborted)
        else:
            self._event(output)

    def _stop(self, exchange: Exchange) -> None:
        exchange.stopped = True
        self._exchanges.pop(exchange.id, None)
        self.host.abort(exchange)

    def _event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "need":
            if event["document"]:
                self._need_document(event["blob"], event["descriptor"]["digest"])
            else:
                self._asked.append((event["blob"], event["descriptor"]))
            return
        if kind == "need_credentials":
            question = Question(event["registry"], event.get("repository"), event.get("standsFor"))
            self.host.ask(question, partial(self._credentials, event["id"]))
            return
        if kind == "document":
            raw = self.session.document(event["document"])
            if self.store is not None and raw is not None:
                self._write(partial(self.store.put_document, event["descriptor"]["digest"], raw), None)
        elif kind == "blob_verified":
            blob = self._blobs.get(event["blob"])
            if blob is not None and blob.intake is not None:
                blob.verified, blob.state = True, "verifying"
                self._write(partial(blob.intake.commit, event["size"]), event["blob"])
        elif kind == "listed":
            self._names += event["names"]
        elif kind == "finished":
            self._finished[event["job"]] = event
        said = event_of(event)
        if said is None or (isinstance(said, Resolved | Answered) and said in self._known):
            # Layers that come later are another job, which finds the same again.
            return
        if isinstance(said, Resolved | Answered):
            self._known.add(said)
        self._say(said)

    def _credentials(self, number: int, found: str | BaseException | None) -> None:
        if isinstance(found, BaseException):
            self._trouble = found
            found = None
        self.session.credentials(self.now(), number, found)

    def _need_document(self, blob: int, digest: str) -> None:
        if self.store is None:
            self.session.fetch(self.now(), blob, 0)
            return

        def then(found: bytes | BaseException | None) -> None:
            if isinstance(found, bytes):
                self.session.supply(self.now(), blob, found)
            else:
                self.session.fetch(self.now(), blob, 0)

        self.host.call(partial(self.store.read_document, digest), then)

    # Blobs.

    def _take_up(self) -> bool:
        """Looks at the blobs that were asked for: what is there is there, and the rest must find room."""
        asked, self._asked = self._asked, []
        if not asked:
            return False
        store, missing = self._here(), []
        for blob, descriptor in asked:
            size = store.has(descriptor["digest"])
            if size is not None and descriptor["size"] in (0, size):
                self._say(Transfer(descriptor["digest"], size, size, "present"))
                self.session.skip(self.now(), blob)
            else:
                missing.append((blob, descriptor))
        lacking = [self._lacks(descriptor) for _, descriptor in [*missing, *self._queue]]
        under_way = [max(0, blob.size - blob.intake.position) for blob in self._blobs.values() if blob.intake]
        needed, available = sum(lacking) + sum(under_way), store.available()
        if missing and available is not None and needed > available:
            for blob, _ in missing:
                self.session.refuse_for_space(self.now(), blob, needed, available, str(store.root))
        else:
            self._queue.extend(missing)
        return True

    def _here(self) -> _wharfie.Store:
        if self.store is None:
            raise RuntimeError("a blob came to a driver without a store")
        return self.store

    def _lacks(self, descriptor: dict[str, Any]) -> int:
        there = self._here().partial_len(descriptor["digest"]) or 0
        return max(0, int(descriptor["size"]) - there)

    def _serve(self) -> bool:
        """Claims blobs in their turn."""
        told = False
        while self._queue and sum(not blob.verified for blob in self._blobs.values()) < OPEN_BLOBS:
            number, descriptor = self._queue.popleft()
            # Whoever wanted it may be gone.
            if self.session.progress(number) is None:
                continue
            self._blobs[number] = Blob(descriptor)
            self._claim(number)
            told = True
        return told

    def _claim(self, number: int) -> None:
        blob = self._blobs.get(number)
        if blob is None or blob.intake is not None:
            return
        try:
            claim = self._here().claim(blob.digest, blob.size)
        except WharfieError as error:
            self._trouble = error
            return
        if claim is None:
            # Another process fetches it.
            self.host.later(OTHERS_SECONDS, partial(self._claim, number))
        elif isinstance(claim, int):
            del self._blobs[number]
            self._say(Transfer(blob.digest, claim, claim, "present"))
            self.session.skip(self.now(), number)
        else:
            blob.intake, blob.state = claim, "fetching"
            self.session.fetch(self.now(), number, claim.position)

    def _write(self, work: Callable[[], None], number: int | None) -> None:
        """Writes something down; the job is not over before that is done."""
        self._writing += 1
        run = self._run

        def then(failed: BaseException | None) -> None:
            if run != self._run:
                # The job that it was for was stopped.
                return
            self._writing -= 1
            if failed is not None:
                self._trouble = self._trouble or failed
            blob = self._blobs.pop(number, None) if number is not None else None
            if blob is not None:
                self._say(Transfer(blob.digest, blob.size, blob.size, "stopped" if failed else "done"))

        self.host.call(work, then)

    def _forget(self) -> None:
        """Lets go of blobs that nobody wants any longer. Their partial files stay for the next run."""
        for number, blob in list(self._blobs.items()):
            if not blob.verified and self.session.progress(number) is None:
                del self._blobs[number]
                if blob.intake is not None:
                    self._say(Transfer(blob.digest, blob.intake.position, blob.size or None, "stopped"))
                    blob.intake.release()

    def _tell_transfers(self) -> None:
        if self.tell is None:
            return
        for blob in self._blobs.values():
            now = (blob.state, blob.intake.position if blob.intake else 0)
            if blob.told != now:
                blob.told = now
                self._say(Transfer(blob.digest, now[1], blob.size or None, blob.state))

    def _say(self, said: Progress) -> None:
        if self.tell is not None:
            self.tell(said)

    # What exchanges ask.

    def _head(self, exchange: Exchange, status: int, fields: list[tuple[str, bytes]]) -> tuple[str, int | None]:
        number = exchange.id
        plan = json.loads(self.session.handle_head(self.now(), number, status, fields))
        if plan["plan"] != "store":
            return plan["plan"], None
        blob = self._blobs.get(plan["blob"])
        if blob is None or blob.intake is None:
            return "stopped", None
        exchange.writer = self.session.write_by(number, blob.intake)
        return "store", plan["blob"]

    def _stored(self, number: int, len: int) -> None:
        if not self.session.handle_stored(self.now(), number, len):
            exchange = self._exchanges.get(number)
            if exchange is not None:
                self._stop(exchange)

    def _failed(self, error: Exception) -> None:
        self._trouble = self._trouble or error

    def _hashed(self, exchange: Exchange) -> None:
        """The hasher is the machine's again."""
        writer, exchange.writer = exchange.writer, None
        if writer is not None:
            self.session.handle_hashed(self.now(), writer)

    def _ended(self, exchange: Exchange) -> None:
        # It may have been stopped before it had written anything.
        self._hashed(exchange)
        self._exchanges.pop(exchange.id, None)

    def _pause(self) -> None:
        """The stall clock runs only while somebody reads: not while an exchange is at its sink."""
        for exchange in self._exchanges.values():
            if exchange.busy != exchange.paused:
                exchange.paused = exchange.busy
                self.session.handle_reading(self.now(), exchange.id, not exchange.busy)


def cancelled() -> WharfieError:
    """What ends work that was stopped."""
    return _of_json(_wharfie.make_cancelled())
