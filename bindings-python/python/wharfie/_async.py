"""The driver's host with a task for each exchange and a queue."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from . import _wharfie
from ._driver import Ask, Driver, Exchange, Happened, Next, Outcome, Question, Send, Stopped, Work
from ._http import client_options, fields_of, loopback_mounts
from ._options import Network, found_credentials, given_credentials
from .progress import Progress

T = TypeVar("T")


async def in_thread(work: Callable[[_wharfie.Cancel], T]) -> T:
    """Does native work in a thread. If the task is cancelled, so is the work, and its end is waited for."""
    cancel = _wharfie.Cancel()
    future = asyncio.get_running_loop().run_in_executor(None, work, cancel)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancel.cancel()
        await asyncio.wait([future])
        # What it came to does not matter any more.
        future.exception()
        raise


class Host:
    """Tasks and a queue."""

    def __init__(
        self, network: Network, store: _wharfie.Store | None, tell: Callable[[Progress], None] | None
    ) -> None:
        self._network = network
        self._client = network.client if isinstance(network.client, httpx.AsyncClient) else None
        self._own: dict[bool, httpx.AsyncClient] = {}
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Happened] = asyncio.Queue()
        # Jobs of one driver run one after another.
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._driver = Driver(_wharfie.Session(network.session()), store, self, network.transport(), tell)

    async def run(self, begin: Callable[[_wharfie.Session, int], int]) -> Outcome:
        """Runs a job to its end. Cancelling the task stops it at once."""
        async with self._turn:
            steps = self._driver.run(lambda now: begin(self._driver.session, now))
            try:
                patience = next(steps)
                while True:
                    happened: Happened | None = None
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(patience):
                            happened = await self._queue.get()
                    patience = steps.send(happened)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                return outcome
            finally:
                steps.close()

    async def close(self) -> None:
        """Ends tasks, and closes connections of our own."""
        self._driver.store = None
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for client in self._own.values():
            await client.aclose()

    def _http(self, verify: bool) -> httpx.AsyncClient:
        if verify and self._client is not None:
            return self._client
        if verify not in self._own:
            options: dict[str, Any] = client_options(self._network.timeout)
            options["mounts"] = loopback_mounts(httpx.AsyncHTTPTransport, verify)
            self._own[verify] = httpx.AsyncClient(verify=verify, **options)
        return self._own[verify]

    def _begin(self, work: Any) -> asyncio.Future[Any]:
        task: asyncio.Future[Any] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # What the driver wants.

    def post(self, happened: Happened) -> None:
        self._queue.put_nowait(happened)

    def start(self, exchange: Exchange) -> None:
        exchange.handle = self._begin(self._converse(exchange))

    def abort(self, exchange: Exchange) -> None:
        if exchange.handle is not None:
            exchange.handle.cancel()

    def call(self, work: Callable[[], T], then: Callable[[T | BaseException], None]) -> None:
        async def do() -> None:
            came_to: T | BaseException
            try:
                came_to = await asyncio.to_thread(work)
            except Exception as error:
                came_to = error
            self.post(lambda: then(came_to))

        self._begin(do())

    def later(self, seconds: float, happened: Happened) -> None:
        self._loop.call_later(seconds, self.post, happened)

    def ask(self, question: Question, then: Callable[[str | BaseException | None], None]) -> None:
        async def find() -> None:
            found: str | BaseException | None
            try:
                given = self._network.credentials
                if callable(given) and question.stands_for is None:
                    said = given(question.registry, question.repository)
                    found = given_credentials(await said if inspect.isawaitable(said) else said)
                else:
                    # Helpers are programs that may ask people.
                    found = await asyncio.to_thread(found_credentials, self._network, question)
            except Exception as error:
                found = error
            self.post(lambda: then(found))

        self._begin(find())

    # An exchange's task.

    async def _converse(self, exchange: Exchange) -> None:
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
                        response = await client.send(
                            step.request, stream=True, auth=None, follow_redirects=False
                        )
                        chunks = response.aiter_raw()
                        answer = response.status_code, fields_of(response)
                    elif isinstance(step, Next):
                        answer = await anext(chunks, None)
                    elif isinstance(step, Work):
                        answer = await asyncio.to_thread(step.work)
                    elif isinstance(step, Ask):
                        answer = await self._answered(step)
                except Exception as error:
                    trouble = error
        except (StopIteration, Stopped):
            pass
        except asyncio.CancelledError:
            # It was aborted: what it has to give back it gives back.
            steps.close()
        finally:
            if response is not None:
                with contextlib.suppress(Exception):
                    await response.aclose()

    async def _answered(self, ask: Ask) -> Any:
        reply: asyncio.Future[Any] = self._loop.create_future()

        def answer() -> None:
            try:
                answered = ask.question()
            except Exception:
                if not reply.done():
                    reply.set_exception(Stopped())
                raise
            if not reply.done():
                reply.set_result(answered)

        self.post(answer)
        return await reply
