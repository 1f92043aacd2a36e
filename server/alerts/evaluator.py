"""Evaluates rules and remembers how they stand: what an evaluation changes is written before it counts.

A change of state and the notifications that it owes are one transaction. What changes without a notification, such as
the numbers of an alert that goes on, is written a moment later with others (`flush`): a crash before it only means that
the same evaluations are made once more, with the same outcome.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from dsl.errors import QueryError
from dsl.time import UNITS_US
from server.alerts.asking import Asker
from server.alerts.found import (
    ALERTS_MAX,
    FAILING_AFTER,
    Findings,
    Known,
    RuleError,
    evaluate,
    failing,
    too_many_alerts,
)
from server.alerts.rule import Rule
from server.alerts.silences import Matcher, Silence
from server.alerts.state import (
    RESEND_US,
    UNTIL_TIMES,
    Alert,
    Alerts,
    Found,
    Resend,
    Step,
    Telling,
    Transition,
    noted,
    owed,
    restore,
    step,
)
from server.alerts.windows import Due, due, shift_of
from storage.alerts import (
    AlertRow,
    AlertTables,
    HistoryRow,
    KnownRow,
    RuleChange,
    RuleMemory,
    RuleRow,
    SilenceRow,
)
from storage.errors import StoreError
from storage.index import analyse
from storage.notifications import Owed
from storage.times import format_time

log = logging.getLogger(__name__)

LOGGED_US = 10 * UNITS_US["m"]  # between two lines about the same rule that fails: it may fail every second
SAMPLED_MAX = 100  # alerts of one evaluation that get samples: each is a query, and nobody reads a thousand

Quiet = Literal["silenced", "acknowledged"]


@dataclass(slots=True)
class Running:
    """A rule that is evaluated, and how it stands.

    Attributes:
        rule: What it says; None where its document cannot be read any more.
        broken: Why not.
        row, alerts, known: As after the newest evaluation.
        written_alerts, written_known: As they are in the file; `unwritten` whether something there is older.
        logged_us: When it was last logged that it fails; None where it does not, or that is another text's.
        unlogged: How often it failed since.
        gone: Whether it was deleted while somebody waited for it.
    """

    name: str
    rule: Rule | None
    broken: RuleError | None
    row: RuleRow | None
    alerts: Alerts
    known: dict[str, Known]
    lock: threading.Lock = field(default_factory=threading.Lock)
    written_alerts: Alerts = field(default_factory=dict)
    written_known: dict[str, Known] = field(default_factory=dict)
    unwritten: bool = False
    logged_us: int | None = None
    unlogged: int = 0
    gone: bool = False


@dataclass(frozen=True, slots=True)
class _Made:
    """What one evaluation came to."""

    step: Step
    known: dict[str, Known]
    row: RuleRow


class Evaluator:
    """Evaluates rules. Thread-safe; one rule is evaluated by one thread at a time.

    Args:
        asker: Who answers queries.
        tables: Where it is written down how rules stand.
        resend: How often a channel is told again that is called so, for a rule.
        clock: Microseconds since 1970.
    """

    def __init__(
        self,
        asker: Asker,
        tables: AlertTables,
        resend: Callable[[str, Rule], Resend],
        clock: Callable[[], int],
    ) -> None:
        self._asker = asker
        self._tables = tables
        self._resend = resend
        self._clock = clock
        self._memory = tables.load()
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()

    # -- which rules there are

    def set_rule(self, name: str, rule: Rule | None, broken: RuleError | None = None) -> None:
        """A rule is there, anew or changed; or its document cannot be read, and why."""
        assert (rule is None) is not (broken is None)
        with self._lock:
            running = self._running.get(name)
            if running is None:
                running = _recalled(name, self._memory.pop(name, None))
                self._running[name] = running
        with running.lock:
            running.rule, running.broken = rule, broken
            running.logged_us, running.unlogged = None, 0

    def remove_rule(self, name: str) -> None:
        """A rule is gone: its alerts end, and whoever was told of them is told so."""
        with self._lock:
            running = self._running.get(name) or _recalled(name, self._memory.get(name))
        with running.lock:
            at_us = max(self._clock(), running.row.last_us if running.row else 0)
            made = step(running.alerts, {}, at_us, 0)
            tellings = list(owed(made.alerts, {}, at_us, lambda *_: None))
            sent = [self._owed(running, made.alerts, one, at_us, []) for one in tellings]
            change = RuleChange(name, None, history=_history(made.transitions), owed=sent)
            self._tables.commit([change], self._clock())
            running.gone = True
        with self._lock:
            self._running.pop(name, None)
            self._memory.pop(name, None)

    def names(self) -> set[str]:
        """The rules that are evaluated, and those of which something is remembered."""
        with self._lock:
            return {*self._running, *self._memory}

    # -- evaluating

    def evaluate_due(self, name: str) -> int:
        """Make the evaluations of a rule that are due now; how many."""
        with self._lock:
            running = self._running.get(name)
        if running is None:
            return 0
        with running.lock:
            if running.gone:
                return 0
            made = 0
            while times := self._evaluate_once(running):
                made += times  # meanwhile another one may be due
            return made

    def _evaluate_once(self, running: Running) -> int:
        every_us = running.rule.every_us if running.rule else RESEND_US
        last_us = running.row.last_us if running.row else None
        found = due(last_us, self._clock(), every_us, shift_of(running.name, every_us))
        for at_us in found.times_us:
            self._evaluate(running, at_us, found)
        return len(found.times_us)

    def flush(self) -> None:
        """Write what is not written yet.

        Raises:
            sqlite3.Error: the disk refuses; it is tried again the next time.
        """
        with self._lock:
            waiting = [one for one in self._running.values() if one.unwritten]
        held = [one for one in waiting if one.lock.acquire(blocking=False)]
        try:
            changes = [_change(one, one.row, one.alerts, one.known) for one in held if one.row is not None]
            if changes:
                self._tables.commit(changes, self._clock())
            for one in held:
                one.written_alerts, one.written_known, one.unwritten = one.alerts, one.known, False
        finally:
            for one in held:
                one.lock.release()

    def _evaluate(self, running: Running, at_us: int, found: Due) -> None:
        """Make one evaluation and write down what came of it.

        Raises:
            sqlite3.Error: that could not be written: it is as if it had not been made.
        """
        started_s = time.perf_counter()
        alerts = running.alerts
        if found.gap and at_us == found.times_us[0] and running.row is not None and running.rule is not None:
            alerts = restore(alerts, running.row.last_us, at_us, running.rule.for_us)
        row = running.row or RuleRow(at_us)
        if at_us == found.times_us[-1]:
            made_up = len(found.times_us) - 1
            row = replace(row, missed=row.missed + found.missed, made_up=row.made_up + made_up)
        error: RuleError | None = None
        findings: Findings | None = None
        try:
            findings, after = self._find(running, alerts, at_us)
        except RuleError as wrong:
            error = wrong
            after = self._fail(running, alerts, error, row.failing + 1, at_us)
        else:
            _log_recovery(running, row.failing, at_us)
        took_ms = (time.perf_counter() - started_s) * 1000
        row = replace(
            row,
            last_us=at_us,
            evaluations=row.evaluations + 1,
            errors=row.errors + (error is not None),
            failing=0 if error is None else row.failing + 1,
            outcome=_outcome(findings, error, took_ms),
        )
        self._settle(running, _Made(after, running.known if findings is None else findings.known, row), at_us)

    def _find(self, running: Running, alerts: Alerts, at_us: int) -> tuple[Findings, Step]:
        """What the rule finds, and what that makes of its alerts.

        Raises:
            RuleError: whatever went wrong.
        """
        if running.rule is None:
            assert running.broken is not None
            raise running.broken
        try:
            findings = evaluate(running.rule, running.known, at_us, self._asker.groups, analyse)
        except QueryError as error:
            first = error.mistakes[0]
            raise RuleError(first.code, first.message, first.hint or "") from error
        except StoreError as error:
            raise RuleError(error.code, error.message, error.hint) from error
        after = step(alerts, findings.found, at_us, running.rule.keep_firing_for_us)
        if sum(alert.active for alert in after.alerts.values()) > ALERTS_MAX:
            raise too_many_alerts()
        return findings, after

    def _fail(self, running: Running, alerts: Alerts, error: RuleError, times: int, at_us: int) -> Step:
        """What an error makes of the alerts: those of groups stay as they were, and there may be one about itself."""
        _log_failure(running, error, at_us)
        labels = {} if running.rule is None else running.rule.labels
        about: Mapping[str, Found] = failing(running.name, labels, error) if times >= FAILING_AFTER else {}
        own = {one: alert for one, alert in alerts.items() if alert.kind == "failing"}
        after = step(own, about, at_us, 0)
        rest = {one: alert for one, alert in alerts.items() if alert.kind != "failing"}
        return Step({**rest, **after.alerts}, after.transitions)

    def _settle(self, running: Running, made: _Made, at_us: int) -> None:
        """Write down an evaluation, at once where somebody is to be told, and let it count."""
        alerts = made.step.alerts
        rule = running.rule
        channels = {} if rule is None else {name: self._resend(name, rule) for name in rule.notify}
        tellings = list(owed(alerts, channels, at_us, self._quiet(running.name)))
        sent: list[Owed] = []
        samples: dict[str, list[dict[str, Any]]] = {}
        for one in tellings:
            if one.fingerprint not in samples:
                room = len(samples) < SAMPLED_MAX
                samples[one.fingerprint] = self._samples(rule, alerts[one.fingerprint], at_us) if room else []
            sent.append(self._owed(running, alerts, one, at_us, samples[one.fingerprint]))
        alerts = noted(alerts, tellings, at_us)
        if made.step.transitions or sent or running.row is None:
            change = _change(running, made.row, alerts, made.known)
            change.history, change.owed = _history(made.step.transitions), sent
            self._tables.commit([change], self._clock())
            running.written_alerts, running.written_known, running.unwritten = alerts, made.known, False
        else:
            running.unwritten = True
        running.row, running.alerts, running.known = made.row, alerts, made.known

    def _quiet(self, rule: str) -> Callable[[str, Alert], Quiet | None]:
        """Tells why an alert is to be kept quiet now, whenever the evaluation was due; looks it up when first asked."""
        now_us = self._clock()
        loaded: list[tuple[list[Silence], set[tuple[str, str, int]]]] = []

        def quiet(fingerprint: str, alert: Alert) -> Quiet | None:
            if not loaded:
                silences = [silence_of(row) for row in self._tables.silences()]
                loaded.append((silences, set(self._tables.acknowledgements())))
            silences, acknowledged = loaded[0]
            if any(silence.covers(alert.labels, now_us) for silence in silences):
                return "silenced"
            return "acknowledged" if (rule, fingerprint, alert.active_us) in acknowledged else None

        return quiet

    def _samples(self, rule: Rule | None, alert: Alert, at_us: int) -> list[dict[str, Any]]:
        if rule is None or alert.kind != "group" or alert.state != "firing":
            return []
        try:
            return self._asker.samples(rule, alert.value, at_us)
        except (StoreError, QueryError) as error:  # better a notification without samples than none
            log.warning("no samples for an alert of rule %s: %s", rule.name, error)
            return []

    @staticmethod
    def _owed(
        running: Running, alerts: Alerts, one: Telling, at_us: int, samples: list[dict[str, Any]]
    ) -> Owed:
        """The notification of a telling."""
        alert = alerts[one.fingerprint]
        firing = alert.state == "firing"
        every_us = RESEND_US if running.rule is None else running.rule.every_us
        wait_us = 0 if running.rule is None else running.rule.group_wait_us
        payload = {
            "rule": running.name,
            "status": "firing" if firing else "resolved",
            "fingerprint": one.fingerprint,
            "labels": alert.labels,
            "annotations": alert.annotations,
            "starts_us": alert.fired_us,
            "ends_us": alert.resolved_us,
            "until_us": at_us + UNTIL_TIMES * max(RESEND_US, every_us) if firing else None,
            "value": alert.value,
            "samples": samples,
            "generator": f"/v1/rules/{running.name}",
        }
        return Owed(running.name, one.fingerprint, one.channel, one.kind, at_us + wait_us, payload)


def _log_failure(running: Running, error: RuleError, at_us: int) -> None:
    """Log the first failure of a rule, and of those that follow one in ten minutes, with how many there were."""
    if running.logged_us is not None and 0 <= at_us - running.logged_us < LOGGED_US:
        running.unlogged += 1
        return
    more = f" ({running.unlogged} times more since the last line)" if running.unlogged else ""
    at = format_time(at_us)
    log.warning("rule %s at %s: %s: %s%s", running.name, at, error.code, error.message, more)
    running.logged_us, running.unlogged = at_us, 0


def _log_recovery(running: Running, times: int, at_us: int) -> None:
    if times:
        log.info("rule %s at %s: works again, after %d failures", running.name, format_time(at_us), times)
    running.logged_us, running.unlogged = None, 0


def silence_of(row: SilenceRow) -> Silence:
    """A silence as it is kept."""
    matchers = tuple(Matcher(one["name"], one["operator"], one["value"]) for one in row.matchers)
    return Silence(row.id, matchers, row.starts_us, row.ends_us)


def alert_of(plain: Mapping[str, Any]) -> Alert:
    """An alert as it is kept."""
    told = {channel: (status, at_us) for channel, (status, at_us) in plain["told"].items()}
    return Alert(**{**plain, "told": told})


def _recalled(name: str, memory: RuleMemory | None) -> Running:
    if memory is None:
        return Running(name, None, None, None, {}, {})
    alerts = {fingerprint: alert_of(plain) for fingerprint, plain in memory.alerts.items()}
    known = {fingerprint: Known(row.labels, row.seen_us) for fingerprint, row in memory.known.items()}
    row = memory.row if memory.row.evaluations else None
    return Running(name, None, None, row, alerts, known, written_alerts=alerts, written_known=known)


def _change(running: Running, row: RuleRow, alerts: Alerts, known: Mapping[str, Known]) -> RuleChange:
    """What differs from what is written."""
    old, old_known = running.written_alerts, running.written_known
    changed: dict[str, AlertRow | None] = {
        fingerprint: AlertRow(running.name, fingerprint, alert.state, asdict(alert))
        for fingerprint, alert in alerts.items()
        if old.get(fingerprint) != alert
    }
    changed |= dict.fromkeys(old.keys() - alerts.keys())
    groups: dict[str, KnownRow | None] = {
        fingerprint: KnownRow(one.labels, one.seen_us)
        for fingerprint, one in known.items()
        if old_known.get(fingerprint) != one
    }
    groups |= dict.fromkeys(old_known.keys() - known.keys())
    return RuleChange(running.name, row, changed, groups)


def _history(transitions: Sequence[Transition]) -> list[HistoryRow]:
    return [
        HistoryRow(one.fingerprint, one.was, one.state, one.at_us, one.alert.labels, one.alert.value)
        for one in transitions
    ]


def _outcome(findings: Findings | None, error: RuleError | None, took_ms: float) -> dict[str, Any]:
    outcome: dict[str, Any] = {"took_ms": round(took_ms, 3)}
    if findings is not None:
        outcome |= {
            "groups": findings.rows,
            "found": len(findings.found),
            "warnings": list(findings.warnings),
        }
    if error is not None:
        outcome["error"] = {"code": error.code, "message": error.message, "hint": error.hint}
    return outcome
