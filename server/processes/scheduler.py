"""The scheduler's process: runs the jobs at their times, and delivers notifications, until it is told to stop."""

from __future__ import annotations

import logging
import random
import signal
import sqlite3
import threading

from server.clock import now_us
from server.jobs import JOBS
from server.jobs.base import JobContext
from server.jobs.runner import JobRunner
from server.notify.dispatcher import Dispatcher
from server.settings import Settings
from storage.documents import Documents
from storage.locks import hold_lock
from storage.metadata import Metadata
from storage.notifications import Notifications
from storage.paths import DataDirectory, make_durably

log = logging.getLogger(__name__)

ASKED_POLL_S = 0.25  # how soon a job that was asked for begins


def run(settings: Settings) -> None:
    """Run jobs until SIGTERM.

    Raises:
        StoreLocked: another scheduler runs.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    data = DataDirectory(settings.data)
    make_durably(data.root)
    hold_lock(data.root / "scheduler.lock", "another process runs the jobs of this data directory")
    metadata = Metadata(data.metadata)
    runner = JobRunner(JOBS.values(), JobContext(data, metadata, now_us, stop.is_set))
    dispatcher = Dispatcher(
        Notifications(metadata),
        Documents(metadata),
        now_us,
        random=random.random,
        public_url=settings.link_url,
    )
    runner.start()
    while not stop.wait(ASKED_POLL_S):
        try:
            runner.run_asked()
        except sqlite3.Error as error:
            log.error("cannot see which jobs are asked for: %s", error)  # noqa: TRY400
        try:
            dispatcher.tick()
        except sqlite3.Error as error:
            log.error("cannot see what is owed to channels: %s", error)  # noqa: TRY400
    dispatcher.close()
    runner.stop()
    metadata.close()
