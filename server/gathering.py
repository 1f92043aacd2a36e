"""Small batches that come within one turn of the event loop, put together: one append and one wake-up for all."""

from __future__ import annotations

import asyncio

from storage.errors import StoreError
from storage.log import StreamLog

Waiting = list[tuple[asyncio.Future[int], int]]  # who waits, and for how many records


class Gathering:
    """What comes for one log. Lives on an event loop.

    All that is gathered is kept together or not at all, as what waits for one sync is anyhow.
    """

    def __init__(self, log: StreamLog, loop: asyncio.AbstractEventLoop) -> None:
        self._log = log
        self._loop = loop
        self._times_us: list[int] = []
        self._lines: list[bytes] = []
        self._waiting: Waiting = []

    def add(self, times_us: list[int], lines: list[bytes]) -> asyncio.Future[int]:
        """Have a batch written with the others of this turn; what ends with the number of its records."""
        if not self._waiting:
            self._loop.call_soon(self._append)
        self._times_us += times_us
        self._lines += lines
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting.append((future, len(lines)))
        return future

    def _append(self) -> None:
        times_us, lines, waiting = self._times_us, self._lines, self._waiting
        self._times_us, self._lines, self._waiting = [], [], []

        def done(result: int | Exception) -> None:
            self._loop.call_soon_threadsafe(_tell, waiting, result)

        try:
            self._log.append(times_us, lines, done)
        except StoreError as error:
            _tell(waiting, error)


def _tell(waiting: Waiting, result: int | Exception) -> None:
    """Give all who wait what they wait for, unless they have gone."""
    for future, records in waiting:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(records)
