"""The indexer's process: follows the data files until it is told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time

from server.heartbeat import HEARTBEAT_S, Heartbeat
from server.settings import Settings
from storage.indexer import Indexer
from storage.paths import DataDirectory

THREADS_LEAST = min(
    2, os.cpu_count() or 1
)  # of the engine: a second one uses a core that would else often wait


def run(settings: Settings) -> None:
    """Index until SIGTERM.

    Raises:
        StoreLocked: another indexer runs.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    indexer = Indexer(DataDirectory(settings.data), threads=max(settings.workers, THREADS_LEAST))
    heartbeat = Heartbeat(settings.data)
    beat_s = 0.0

    def stopping(wait_s: float) -> bool:
        nonlocal beat_s
        now = time.monotonic()
        if now - beat_s >= HEARTBEAT_S:
            heartbeat.beat(indexer.failing)
            beat_s = now
        return stop.wait(wait_s) if wait_s else stop.is_set()

    stopping(0)
    indexer.run(stopping)
    indexer.close()
