"""Whose query runs next: so many at once, the others in line, one client after another.

Every client has a line of its own, and the lines take turns: who asks a hundred questions at once waits for them
one by one, and who asks a single one waits for at most one of each other client. Where there is no more room to
wait, the longest line loses its end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from traceback import clear_frames
from typing import Any, TypeVar

from dsl.errors import QueryError
from server.engine.asked import Asked
from server.errors import RequestError
from storage.errors import IndexPanic, StoreError
from storage.stop import out_of_time, panics_named

log = logging.getLogger(__name__)

QUICK_S = 0.05  # most answers are there by then; only who waits longer is watched for hanging up
GRACE_S = 0.25  # beyond its time, for a query to notice by itself that it is over
UNREAD_POLL_S = 0.1  # until a query is read nobody knows how long it may take
CLIENT_CHARACTERS_MAX = 100  # of a client's name, which is kept while it waits

Result = TypeVar("Result")
Gone = Callable[[], Awaitable[None]]


class Turns:
    """Runs queries in threads. Lives on one event loop.

    Args:
        threads: How many run at once.
        queue_max: How many may wait.
        wait_max_s: How long one may wait for its turn.
    """

    def __init__(self, threads: int, queue_max: int, wait_max_s: float) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="query")
        self._free = threads
        self._queue_max = queue_max
        self._wait_max_s = wait_max_s
        self._waiting = 0
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # the next line first

    def close(self) -> None:
        """Wait for those that run."""
        self._threads.shutdown()

    async def run(
        self, client: str, work: Callable[[], Result], asked: Asked | None = None, gone: Gone | None = None
    ) -> Result:
        """What `work` gives, done in a thread when it is the client's turn.

        Args:
            client: Who asks.
            work: What to do; it looks at `asked.stop` again and again.
            asked: When to give it up.
            gone: Ends when the client has hung up.

        Raises:
            RequestError: `too-busy` (503), `client-gone` (499).
            QueryTimeout: time is up. The work may still be in a long step; its thread is free when that ends.
        """
        asked = asked or Asked()
        await self._turn(client[:CLIENT_CHARACTERS_MAX], gone)
        running = asyncio.get_running_loop().run_in_executor(self._threads, _named(work))
        running.add_done_callback(lambda _: self._next())
        return await _answer(running, asked, gone)

    async def _turn(self, client: str, gone: Gone | None) -> None:
        """Wait for it; a thread is free then, and kept for the caller."""
        if self._free:
            self._free -= 1
            return
        if self._waiting >= self._queue_max:
            self._make_room(client)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(client, deque()).append(turn)
        self._waiting += 1
        try:
            came = await _first(turn, gone, self._wait_max_s)
        except asyncio.CancelledError:
            self._leave(client, turn)
            raise
        if came is not turn:
            self._leave(client, turn)
            raise _gone() if came is not None else _too_busy(f"no turn came within {self._wait_max_s:g} s")
        await turn  # which may say that there is no room any more

    def _make_room(self, client: str) -> None:
        """Send away who came last of those with the longest line, where that is longer than the caller's would be."""
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=client)
        mine = len(self._lines.get(client, ())) + 1
        if len(self._lines.get(longest, ())) <= mine:
            raise _too_busy(f"{self._waiting} queries wait already")
        turn = self._lines[longest].pop()
        self._waiting -= 1
        turn.set_exception(
            _too_busy(f"{self._waiting} queries wait already, {len(self._lines[longest])} of yours")
        )

    def _leave(self, client: str, turn: asyncio.Future[None]) -> None:
        """Give up waiting; a turn that has come meanwhile is the next one's."""
        line = self._lines.get(client)
        if line is not None and turn in line:
            line.remove(turn)
            self._waiting -= 1
            if not line:
                del self._lines[client]
        elif turn.done() and not turn.cancelled() and turn.exception() is None:
            self._next()

    def _next(self) -> None:
        """A thread is free: it is the turn of the first in the next line."""
        while self._lines:
            client, line = self._lines.popitem(last=False)
            turn = line.popleft()
            self._waiting -= 1
            if line:
                self._lines[client] = line  # behind all others
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


async def _answer(running: asyncio.Future[Result], asked: Asked, gone: Gone | None) -> Result:
    """What comes of the work, unless time is up first or the client goes."""
    try:
        came = await _first(running, None, QUICK_S)
        while came is None:
            at_s = asked.stop.at_s
            wait_s = UNREAD_POLL_S if at_s is None else max(at_s + GRACE_S - time.monotonic(), 0)
            came = await _first(running, gone, wait_s)
            if came is None and at_s is not None:
                _mind(running)
                raise out_of_time()
    except asyncio.CancelledError:
        asked.stop.abandon()
        _mind(running)
        raise
    if came is not running:
        asked.stop.abandon()
        _mind(running)
        raise _gone()
    return await running


async def _first(wanted: asyncio.Future[Any], gone: Gone | None, wait_s: float) -> asyncio.Future[Any] | None:
    """Which comes first: what is wanted, or that the client has gone; None where neither comes in time."""
    watch: asyncio.Future[Any] | None = None if gone is None else asyncio.ensure_future(gone())
    try:
        both = [wanted] if watch is None else [wanted, watch]
        done, _ = await asyncio.wait(both, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        if wanted in done:
            return wanted
        return watch if watch is not None and watch in done else None
    finally:
        if watch is not None:
            watch.cancel()


def _named(work: Callable[[], Result]) -> Callable[[], Result]:
    def named() -> Result:
        try:
            with panics_named():
                return work()
        except Exception as error:
            _let_go(error)
            raise

    return named


def _let_go(error: BaseException) -> None:
    """Empty the functions that an error came through.

    They and the error hold each other, and with them all that was made for the query, up to a gigabyte that belongs to
    the index and that the garbage collector does not see: it would come for it much too late.
    """
    cause: BaseException | None = error
    while cause is not None:
        clear_frames(cause.__traceback__)
        cause = cause.__context__


def _mind(running: asyncio.Future[Result]) -> None:
    """Nobody waits for it any more: what becomes of it is only worth a word in the log if it is a fault of ours."""

    def ended(done: asyncio.Future[Result]) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, IndexPanic) or not isinstance(error, _EXPECTED):
            log.error("a query that nobody waited for failed", exc_info=error)

    running.add_done_callback(ended)


_EXPECTED = (type(None), QueryError, StoreError, RequestError)  # what a caller is told, and no fault of ours


def _too_busy(why: str) -> RequestError:
    return RequestError(503, "too-busy", f"too many queries at once: {why}", "ask again in a moment")


def _gone() -> RequestError:
    return RequestError(499, "client-gone", "the client hung up before its answer")
