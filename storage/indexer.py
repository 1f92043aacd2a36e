"""The indexer: follows every stream's data files, indexes what is new, publishes it.

It runs in a process of its own, because the engine takes the interpreter's lock once per record.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable

from storage.errors import UnknownStream
from storage.locks import hold_lock
from storage.paths import DataDirectory, make_durably
from storage.stream_indexer import StreamIndexer, settled

log = logging.getLogger(__name__)

POLL_S = 0.03  # how long a new record may wait unseen: a tenth of what people notice


class Indexer:
    """Indexes all streams of a data directory. One per directory: it holds a lock.

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
        self._stamp = 0
        self._looked = False  # whether streams that are found now came into being since this began

    def step(self) -> bool:
        """One round over all streams; whether anything was done."""
        try:
            stamp = os.stat(self._data.streams).st_mtime_ns
        except FileNotFoundError:
            self._looked = True
            return False
        if stamp != self._stamp:
            for name in self._data.stream_names():
                if name not in self._streams:
                    with contextlib.suppress(UnknownStream):  # deleted since it was listed
                        self._streams[name] = StreamIndexer(
                            self._data.stream(name), self._clock, new=self._looked, threads=self._threads
                        )
            self._looked = True
            self._stamp = settled(stamp)
        busy = False
        for name, stream in list(self._streams.items()):
            try:
                busy |= stream.step()
            except Exception:
                if not stream.is_gone:
                    raise
                log.info("stream %s was deleted", name)
                stream.abandon()
                del self._streams[name]
                self._stamp = 0  # there may be another one of the same name
                busy = True
        return busy

    def catch_up(self) -> None:
        """Go on until all that is on disk is searchable."""
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
        for stream in self._streams.values():
            stream.close()
        os.close(self._lock)
