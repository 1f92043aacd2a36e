"""Runs jobs at their times with APScheduler, one of a kind at once, and notes how each run ended."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from server.jobs.base import Job, JobContext, JobFailed

log = logging.getLogger(__name__)

THREADS = 4  # kinds that run at once: retention must not wait for a long one
ENDED = {"error": "its process ended before it did"}


class JobRunner:
    """The jobs of a store, running.

    Args:
        jobs: The kinds.
        context: What they work on.
    """

    def __init__(self, jobs: Iterable[Job], context: JobContext) -> None:
        self._jobs = {job.kind: job for job in jobs}
        self._context = context
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(THREADS)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Run every job now, and then at its times."""
        logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it tells of every run, and so do we
        self._context.metadata.fail_running(list(self._jobs), ENDED, self._context.now_us())
        for job in self._jobs.values():
            self._scheduler.add_job(
                self._run,
                IntervalTrigger(seconds=job.every_s, timezone=UTC),
                args=[job],
                id=job.kind,
                next_run_time=datetime.now(UTC),
            )
        self._scheduler.start()

    def run_asked(self) -> None:
        """Begin the runs that were asked for. One whose kind runs already waits for the end of that run."""
        metadata = self._context.metadata
        for kind in metadata.asked_jobs():
            with self._lock:
                if kind in self._running:
                    continue
            metadata.take_asked_job(kind)
            if kind in self._jobs:
                self._scheduler.modify_job(kind, next_run_time=datetime.now(UTC))

    def stop(self) -> None:
        """Begin no more and wait for those that run."""
        self._scheduler.shutdown(wait=True)

    def _run(self, job: Job) -> None:
        with self._lock:
            self._running.add(job.kind)
        try:
            number = self._begin(job)
            state, outcome = self._do(job)
            if number is not None:
                self._end(number, state, outcome)
        finally:
            with self._lock:
                self._running.discard(job.kind)

    def _do(self, job: Job) -> tuple[Literal["done", "failed"], Any]:
        try:
            return "done", job.run(self._context)
        except JobFailed as error:
            return "failed", error.outcome
        except Exception as error:
            log.exception("the job %s failed", job.kind)
            return "failed", {"error": f"{type(error).__name__}: {error}"}

    def _begin(self, job: Job) -> int | None:
        try:
            return self._context.metadata.begin_job(job.kind, self._context.now_us())
        except sqlite3.Error as error:
            # A full disk, perhaps: all the more should retention run.
            log.error("cannot note that the job %s runs: %s", job.kind, error)  # noqa: TRY400
            return None

    def _end(self, number: int, state: Literal["done", "failed"], outcome: Any) -> None:
        try:
            self._context.metadata.end_job(number, state, outcome, self._context.now_us())
        except sqlite3.Error as error:
            log.error("cannot note how a job ended: %s", error)  # noqa: TRY400
