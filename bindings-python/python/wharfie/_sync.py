"""The driver's host with a thread for each exchange and a queue."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from . import _wharfie
from ._driver import Ask, Exchange, Happened, Next, Outcome, Question, Send, Stopped, Work
from ._driver import Driver
from ._http import client_options, fields_of, loopback_mounts
from ._options import Network, found_credentials, given_credentials
from .progress import Progress

T = TypeVar("T")


class Host:
    """Threads and a queue."""

    def __init__(
        self, network: Network, store: _wharfie.Store | None, tell: Callable[[Progress], None] | None
    ) -> None:
        self._network = network
        self._client = network.client if isinstance(network.client, httpx.Client) else None
        self._own: dict[bool, httpx.Client] = {}
        self._own_lock = threading.Lock()
        self._queue: queue.SimpleQueue[Happened] = queue.SimpleQueue()
        # Jobs of one driver run one after another.
        self._turn = threading.Lock()
        self._driver = Driver(_wharfie.Session(network.session()), store, self, network.transport(), tell)

    def run(self, begin: Callable[[_wharfie.Session, int], int]) -> Outcome:
        """Runs a job to its end. Ctrl-C stops it at once."""
        with self._turn:
            steps = self._driver.run(lambda now: begin(self._driver.session, now))
            try:
                patience = next(steps)
                while True:
                    happened: Happened | None = None
                    with contextlib.suppress(queue.Empty):
                        happened = self._queue.get(timeout=patience)
                    patience = steps.send(happened)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                return outcome
            finally:
                steps.close()

    def close(self) -> None:
        """Closes connections of our own."""
        self._driver.store = None
        for client in self._own.values():
            client.close()

    def _http(self, verify: bool) -> httpx.Client:
        if verify and self._client is not None:
            return self._client
        with self._own_lock:
            if verify not in self._own:
                options: dict[str, Any] = client_options(self._network.timeout)
                options["mounts"] = loopback_mounts(httpx.HTTPTransport, verify)
                self._own[verify] = httpx.Client(verify=verify, **options)
            return self._own[verify]

    # What the driver wants.

    def post(self, happened: Happened) -> None:
        self._queue.put(happened)

    def start(self, exchange: Exchange) -> None:
        name = f"wharfie-exchange-{exchange.id}"
        threading.Thread(target=self._converse, args=(exchange,), name=name, daemon=True).start()

    def abort(self, exchange: Exchange) -> None:
        # Wakes a thread that waits for bytes.
        if isinstance(exchange.handle, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(exchange.handle, socket.SHUT_RDWR)

    def call(self, work: Callable[[], T], then: Callable[[T | BaseException], None]) -> None:
        def do() -> None:
            came_to: T | BaseException
            try:
                came_to = work()
            except Exception as error:
                came_to = error
            self.post(lambda: then(came_to))

        # Writing a blob down can take as long as the disk likes.
        threading.Thread(target=do, name="wharfie-disk", daemon=True).start()

    def later(self, seconds: float, happened: Happened) -> None:
        timer = threading.Timer(seconds, self.post, (happened,))
        timer.daemon = True
        timer.start()

    def ask(self, question: Question, then: Callable[[str | BaseException | None], None]) -> None:
        def find() -> None:
            found: str | BaseException | None
            try:
                given = self._network.credentials
                if callable(given) and question.stands_for is None:
                    found = given_credentials(given(question.registry, question.repository))
                else:
                    found = found_credentials(self._network, question)
            except Exception as error:
                found = error
            self.post(lambda: then(found))

        # Helpers are programs that may ask people.
        threading.Thread(target=find, name="wharfie-credentials", daemon=True).start()

    # An exchange's thread.

    def _converse(self, exchange: Exchange) -> None:
        steps = exchange.steps()
        response: httpx.Response | None = None
        chunks: Any = None
        try:
            answer: Any = None
            trouble: Exception | None = None
            while True:
                if exchange.stopped and trouble is None:
                    trouble = Stopped()
                step = steps.throw(trouble) if trouble is not None else steps.send(answer)
                answer, trouble = None, None
                try:
                    if isinstance(step, Send):
                        client = self._http(step.verify)
                        response = client.send(step.request, stream=True, auth=None, follow_redirects=False)
                        exchange.handle = _socket_of(response)
                        chunks = response.iter_raw()
                        answer = response.status_code, fields_of(response)
                    elif isinstance(step, Next):
                        answer = next(chunks, None)
                    elif isinstance(step, Work):
                        answer = step.work()
                    elif isinstance(step, Ask):
                        answer = self._answered(step)
                except Exception as error:
                    trouble = error
        except StopIteration:
            pass
        except Stopped:
            pass
        finally:
            exchange.handle = None
            if response is not None:
                with contextlib.suppress(Exception):
                    response.close()

    def _answered(self, ask: Ask) -> Any:
        replies: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def answer() -> None:
            try:
                replies.put((ask.question(), None))
            except Exception as error:
                replies.put((None, error))
                raise

        self.post(answer)
        answered, failed = replies.get()
        if failed is not None:
            raise Stopped from failed
        return answered


def _socket_of(response: httpx.Response) -> socket.socket | None:
    """The connection's socket, where that carries this exchange alone."""
    if response.http_version.startswith("HTTP/2"):
        return None
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info("socket") if stream is not None else None
    return found if isinstance(found, socket.socket) else None
