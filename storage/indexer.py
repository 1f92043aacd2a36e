"""The indexer: follows every stream's data files, indexes what is new, publishes it.

It runs in a process of its own, because the engine takes the interpreter's lock once per record.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from storage.errors import StoreError, UnknownStream
from storage.examination import Examination
from storage.locks import hold_lock
from storage.paths import DataDirectory, make_durably
from storage.stop import panics_named
from storage.stream_indexer import StreamIndexer, settled

log = logging.getLogger(__name__)

POLL_S = 0.03  # how long a new record may wait unseen: a tenth of what people notice
RETRY_AFTER_S = 1.0  # after a stream could not be indexed; doubled at every failure in a row
RETRY_AFTER_MAX_S = 10.0  # what is missing may be room on the disk, and people wait for their records


@dataclass(slots=True)
class _Failing:
    """A stream that could not be indexed: why, and when it is tried again."""

    why: str
    wait_s: float
    due_s: float


class Indexer:
    """Indexes all streams of a data directory. One per directory: it holds a lock.

    A stream that cannot be indexed, whatever the reason, is tried again later; the others go on.

    Raises:
        StoreLocked: another indexer runs.
    """

    def __init__(
        self, data: DataDirectory, clock: Callable[[], float] = time.monotonic, *, threads: int = 1
    ) -> None:
        self._threads = threads
        self._data = data
        self._clock = clock
        make_durably(data.root)
        self._lock = hold_lock(data.root / "indexer.lock", "another process indexes this data directory")
        self._streams: dict[str, StreamIndexer] = {}
        self._failing: dict[str, _Failing] = {}
        self._examination = Examination(data, clock)
        self._stamp = 0
        self._looked = False  # whether streams that are found now came into being since this began

    @property
    def failing(self) -> dict[str, str]:
        """The streams that cannot be indexed now, and why."""
        mending = {name: stream.trouble for name, stream in self._streams.items() if stream.trouble}
        return mending | {name: one.why for name, one in self._failing.items()}

    def step(self) -> bool:
        """One round over all streams; whether anything was done."""
        try:
            stamp = os.stat(self._data.streams).st_mtime_ns
        except FileNotFoundError:
            self._looked = True
            return False
        if stamp != self._stamp or any(self._is_due(name) for name in self._failing):
            self._look_for_streams()
            self._stamp = settled(stamp)
        busy = False
        for name, stream in list(self._streams.items()):
            try:
                with panics_named():
                    busy |= stream.step()
            except Exception as error:  # noqa: BLE001  # whatever it is, the other streams have their rights
                busy |= self._give_up(name, stream, error)
            else:
                self._goes_on(name)
        return self._examine() or busy

    def _examine(self) -> bool:
        """Look through indexes that are suspected; whether there was anything to do."""
        try:
            return self._examination.step()
        except OSError as error:
            log.warning("indexes cannot be looked through: %s", error)
            return False

    def _look_for_streams(self) -> None:
        names = self._data.stream_names()
        for name in names:
            if name in self._streams or (name in self._failing and not self._is_due(name)):
                continue
            new = self._looked and name not in self._failing
            try:
                with panics_named():
                    self._streams[name] = StreamIndexer(
                        self._data.stream(name), self._clock, new=new, threads=self._threads
                    )
            except UnknownStream:
                continue  # deleted since it was listed
            except Exception as error:  # noqa: BLE001  # as above
                self._fails(name, error)
        for name in self._failing.keys() - set(names):
            del self._failing[name]
        self._looked = True

    def _give_up(self, name: str, stream: StreamIndexer, error: Exception) -> bool:
        """Let go of a stream that was deleted, or cannot be indexed now; whether it was deleted."""
        gone = stream.is_gone
        try:
            with panics_named():
                stream.abandon()
        except Exception as second:  # noqa: BLE001  # it is given up in any case
            log.warning("letting go of stream %s: %s", name, second)
        del self._streams[name]
        if gone:
            log.info("stream %s was deleted", name)
            self._failing.pop(name, None)
            self._stamp = 0  # there may be another one of the same name
        else:
            self._fails(name, error)
        return gone

    def _fails(self, name: str, error: Exception) -> None:
        why = error.message if isinstance(error, StoreError) else str(error) or type(error).__name__
        before = self._failing.get(name)
        wait_s = min(2 * before.wait_s, RETRY_AFTER_MAX_S) if before else RETRY_AFTER_S
        self._failing[name] = _Failing(why, wait_s, self._clock() + wait_s)
        if before is None or before.why != why:
            log.error(
                "stream %s cannot be indexed and is tried again, the others go on: %s",
                name,
                why,
                exc_info=None if isinstance(error, OSError | StoreError) else error,
            )

    def _is_due(self, name: str) -> bool:
        return name not in self._streams and self._clock() >= self._failing[name].due_s

    def _goes_on(self, name: str) -> None:
        """Note that a stream is indexed; one that failed has to be so for a while."""
        failing = self._failing.get(name)
        if failing is not None and self._clock() >= failing.due_s + failing.wait_s:
            log.warning("stream %s is indexed again", name)
            del self._failing[name]

    def catch_up(self) -> None:
        """Go on until all that is on disk is searchable, but for streams that cannot be indexed."""
        while self.step():
            pass

    def run(self, stopping: Callable[[float], bool]) -> None:
        """Go on until told to stop.

        Args:
            stopping: Waits for so many seconds at most; whether to stop now.
        """
        while not stopping(0.0 if self.step() else POLL_S):
            pass

    def close(self) -> None:
        """Commit everything and let go of the lock."""
        for name, stream in self._streams.items():
            try:
                with panics_named():
                    stream.close()
            except Exception as error:  # noqa: BLE001  # what was not committed is read again
                self._fails(name, error)
        os.close(self._lock)
