"""Runs the saved rules at their times with APScheduler: a job a rule, added and removed while it runs."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from dsl.time import UNITS_US
from server.alerts.asking import Asker
from server.alerts.book import Read, RuleBook
from server.alerts.evaluator import Evaluator
from server.alerts.state import RESEND_US
from server.alerts.windows import newest, shift_of
from server.engine import Engine
from storage.alerts import AlertTables
from storage.documents import Documents
from storage.metadata import Metadata

log = logging.getLogger(__name__)

THREADS = (
    2  # the index works outside the interpreter's lock, so one rule may wait for it while another is reckoned
)
FLUSH_US = UNITS_US["s"]  # how long what nobody waits for may be unwritten

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AlignedTrigger(BaseTrigger):  # type: ignore[misc]  # it has no types
    """Fires at whole multiples of a duration since 1970, shifted."""

    def __init__(self, every_us: int, shift_us: int) -> None:
        self._every_us = every_us
        self._shift_us = shift_us

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The next of its times after now, and after the time before."""
        after_us = _us(now) if previous_fire_time is None else max(_us(now), _us(previous_fire_time))
        return _EPOCH + timedelta(
            microseconds=newest(after_us, self._every_us, self._shift_us) + self._every_us
        )


class RuleScheduler:
    """The rules of a store, running.

    Args:
        book: The saved rules.
        evaluator: Who evaluates them.
        clock: Microseconds since 1970.
    """

    def __init__(self, book: RuleBook, evaluator: Evaluator, clock: Callable[[], int]) -> None:
        self._book = book
        self._evaluator = evaluator
        self._clock = clock
        self._flushed_us = 0
        self._first = True
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(THREADS)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Evaluate all rules that are due, and then each at its times."""
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        # Of a rule that still runs when it is due again it warns; that run goes on with what is due.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
        self._scheduler.start()
        self.tend()

    def tend(self) -> None:
        """Take up what was saved since, and write what is not written yet; to be called several times a second."""
        try:
            self._take_up()
            now_us = self._clock()
            if not 0 <= now_us - self._flushed_us < FLUSH_US:
                self._flushed_us = now_us
                self._evaluator.flush()
        except sqlite3.Error as error:
            log.error("cannot keep the rules: %s", error)  # noqa: TRY400

    def stop(self) -> None:
        """Begin no more evaluations, wait for those that run, and write what is not written yet."""
        self._scheduler.shutdown(wait=True)
        try:
            self._evaluator.flush()
        except sqlite3.Error as error:
            log.error("cannot keep how the rules stand: %s", error)  # noqa: TRY400

    def _take_up(self) -> None:
        saved: set[str] = set()
        for change in self._book.changes():
            if isinstance(change, Read):
                saved.add(change.name)
                self._put(change)
            else:
                self._drop(change)
        if self._first:
            self._first = False
            for name in self._evaluator.names() - saved:  # deleted while nobody looked
                self._drop(name)

    def _put(self, read: Read) -> None:
        self._evaluator.set_rule(read.name, read.rule, read.broken)
        every_us = RESEND_US if read.rule is None else read.rule.every_us
        self._scheduler.add_job(
            self._run,
            AlignedTrigger(every_us, shift_of(read.name, every_us)),
            args=[read.name],
            id=read.name,
            replace_existing=True,
            next_run_time=datetime.now(UTC),
        )

    def _drop(self, name: str) -> None:
        if self._scheduler.get_job(name) is not None:
            self._scheduler.remove_job(name)
        self._evaluator.remove_rule(name)

    def _run(self, name: str) -> None:
        try:
            self._evaluator.evaluate_due(name)
        except sqlite3.Error as error:
            log.error("cannot write down how the rule %s stands: %s", name, error)  # noqa: TRY400
        except Exception:
            log.exception("the rule %s could not be evaluated", name)


def rule_scheduler(metadata: Metadata, engine: Engine, clock: Callable[[], int]) -> RuleScheduler:
    """The rules of a metadata file, asked of an engine."""
    book = RuleBook(Documents(metadata))
    return RuleScheduler(book, Evaluator(Asker(engine), AlertTables(metadata), book.resend, clock), clock)


def _us(when: datetime) -> int:
    return (when - _EPOCH) // timedelta(microseconds=1)
