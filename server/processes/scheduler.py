"""The scheduler's process: runs the jobs at their times, and delivers notifications, until it is told to stop."""

from __future__ import annotations

import logging
import random
import signal
import sqlite3
import threading
import time

from server.alerts.scheduler import rule_scheduler
from server.apart import Apart, Place
from server.clock import now_us
from server.engine import Engine
from server.jobs import JOBS
from server.jobs.base import JobContext
from server.jobs.runner import JobRunner
from server.notify.dispatcher import Dispatcher
from server.settings import Settings
from storage.documents import Documents
from storage.drop import collect
from storage.errors import UnknownStream
from storage.locks import hold_lock
from storage.metadata import Metadata
from storage.notifications import Notifications
from storage.paths import DataDirectory, make_durably
from storage.store import Store

log = logging.getLogger(__name__)

ASKED_POLL_S = 0.25  # how soon a job that was asked for begins, and a rule that was saved is taken up
LET_GO_S = 1.0  # how soon files are closed that were dropped or replaced: their bytes are freed only then


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
    _remove_unfinished(data)
    runner.start()
    store = Store(data)
    apart = Apart(Place(settings.data, settings.limits, settings.query_apart_bytes_max))
    engine = Engine(store, now_us, settings.limits, settings.query_timeout_s, apart)
    rules = rule_scheduler(metadata, engine, now_us)
    rules.start()
    let_go_s = time.monotonic()
    while not stop.wait(ASKED_POLL_S):
        try:
            runner.run_asked()
        except sqlite3.Error as error:
            log.error("cannot see which jobs are asked for: %s", error)  # noqa: TRY400
        rules.tend()
        try:
            dispatcher.tick()
        except sqlite3.Error as error:
            log.error("cannot see what is owed to channels: %s", error)  # noqa: TRY400
        if time.monotonic() - let_go_s > LET_GO_S:
            store.let_go()
            let_go_s = time.monotonic()
    rules.stop()
    dispatcher.close()
    runner.stop()
    apart.close()
    store.close()
    metadata.close()


def _remove_unfinished(data: DataDirectory) -> None:
    """Remove the segments that were being made when the last scheduler died: nobody else makes any."""
    for name in data.stream_names():
        try:
            collect(data.stream(name), time.time(), unfinished_s=-1.0)
        except (UnknownStream, OSError) as error:  # housekeeping comes to it again
            log.warning("cannot look for what was left of stream %s: %s", name, error)
