"""How alert rules stand: their alerts, what became of them, who took note of them, and what is kept quiet.

One process evaluates rules and writes `RuleChange`s; others read, acknowledge and silence. What a change owes to
channels is written in the same transaction (`storage/notifications.py`), so that no crash comes between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from storage.metadata import Metadata
from storage.notifications import Owed, enqueue

LISTED_MAX = 1000  # in one answer
HISTORY_KEPT = 100_000  # changes of state that are remembered: months of a store that is well
SILENCES_KEPT_US = 7 * 86_400_000_000  # after their end: so that somebody can see why nobody was told

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RuleRow:
    """How a rule stands. `outcome` is plain data about the newest evaluation."""

    last_us: int
    evaluations: int = 0
    missed: int = 0
    made_up: int = 0
    errors: int = 0
    failing: int = 0
    outcome: Plain = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A group that a rule has seen."""

    labels: dict[str, str]
    seen_us: int


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One change of state."""

    fingerprint: str
    was: str
    state: str
    at_us: int
    labels: dict[str, str]
    value: Plain
    rule: str = ""
    id: int = 0


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert: its state, and all of it as plain data."""

    rule: str
    fingerprint: str
    state: str
    alert: Plain


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody has taken note of an alert, for the time that it is active since `active_us`."""

    rule: str
    fingerprint: str
    active_us: int
    note: str
    author: str
    at_us: int


@dataclass(frozen=True, slots=True)
class SilenceRow:
    """A silence; `matchers` are plain data."""

    id: str
    matchers: list[Plain]
    starts_us: int
    ends_us: int
    author: str
    comment: str
    created_us: int


@dataclass(slots=True)
class RuleChange:
    """What evaluations changed of one rule.

    Attributes:
        row: How it stands; None when the rule is gone.
        alerts: Those that changed, by fingerprint; None where one is no more.
        known: The groups that changed; None where one is forgotten.
    """

    rule: str
    row: RuleRow | None
    alerts: Mapping[str, AlertRow | None] = field(default_factory=dict)
    known: Mapping[str, KnownRow | None] = field(default_factory=dict)
    history: Sequence[HistoryRow] = ()
    owed: Sequence[Owed] = ()


@dataclass(slots=True)
class RuleMemory:
    """All that is kept of one rule."""

    row: RuleRow
    alerts: dict[str, Plain] = field(default_factory=dict)
    known: dict[str, KnownRow] = field(default_factory=dict)


class AlertTables:
    """The alerts in a metadata file. Thread-safe, and safe beside other processes."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    # -- by whoever evaluates

    def load(self) -> dict[str, RuleMemory]:
        """All that is kept, by rule."""
        memory = {rule: RuleMemory(row) for rule, row in self.rules().items()}
        for one in self.alerts():
            memory.setdefault(one.rule, RuleMemory(RuleRow(0))).alerts[one.fingerprint] = one.alert
        rows = self._metadata.read("SELECT rule, fingerprint, labels, seen_us FROM known_groups")
        for rule, fingerprint, labels, seen_us in rows:
            known = memory.setdefault(rule, RuleMemory(RuleRow(0))).known
            known[fingerprint] = KnownRow(orjson.loads(labels), seen_us)
        return memory

    def commit(self, changes: Iterable[RuleChange], now_us: int) -> None:
        """Write changes, all or none, and what they owe."""
        with self._metadata.writing() as database:
            for change in changes:
                if change.row is None:
                    for table in ("rule_states", "known_groups", "acknowledgements", "alerts"):
                        database.execute(f"DELETE FROM {table} WHERE rule = ?", (change.rule,))  # noqa: S608
                else:
                    row = change.row
                    database.execute(
                        "INSERT OR REPLACE INTO rule_states VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            change.rule,
                            row.last_us,
                            row.evaluations,
                            row.missed,
                            row.made_up,
                            row.errors,
                            row.failing,
                            _text(row.outcome),
                        ),
                    )
                for fingerprint, alert in change.alerts.items():
                    if alert is None:
                        for table in ("alerts", "acknowledgements"):
                            database.execute(
                                f"DELETE FROM {table} WHERE rule = ? AND fingerprint = ?",  # noqa: S608
                                (change.rule, fingerprint),
                            )
                    else:
                        database.execute(
                            "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?)",
                            (change.rule, fingerprint, alert.state, _text(alert.alert)),
                        )
                for fingerprint, known in change.known.items():
                    if known is None:
                        database.execute(
                            "DELETE FROM known_groups WHERE rule = ? AND fingerprint = ?",
                            (change.rule, fingerprint),
                        )
                    else:
                        database.execute(
                            "INSERT OR REPLACE INTO known_groups VALUES (?, ?, ?, ?)",
                            (change.rule, fingerprint, _text(known.labels), known.seen_us),
                        )
                database.executemany(
                    "INSERT INTO alert_history (rule, fingerprint, was, state, at_us, labels, value)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            change.rule,
                            one.fingerprint,
                            one.was,
                            one.state,
                            one.at_us,
                            _text(one.labels),
                            _text(one.value),
                        )
                        for one in change.history
                    ],
                )
                enqueue(database, change.owed, now_us)

    def forget(self, now_us: int, kept: int = HISTORY_KEPT) -> int:
        """Forget the oldest changes of state and silences that ended long ago; how many."""
        with self._metadata.writing() as database:
            changes = database.execute(
                "DELETE FROM alert_history WHERE id <="
                " (SELECT id FROM alert_history ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (kept,),
            ).rowcount
            return (
                changes
                + database.execute(
                    "DELETE FROM silences WHERE ends_us < ?", (now_us - SILENCES_KEPT_US,)
                ).rowcount
            )

    # -- by whoever looks

    def rules(self) -> dict[str, RuleRow]:
        """How each rule stands that was evaluated once."""
        rows = self._metadata.read(
            "SELECT rule, last_us, evaluations, missed, made_up, errors, failing, outcome FROM rule_states"
        )
        return {rule: RuleRow(*(*numbers, orjson.loads(outcome))) for rule, *numbers, outcome in rows}

    def rule(self, name: str) -> RuleRow | None:
        """How a rule stands; None before its first evaluation."""
        rows = self._metadata.read(
            "SELECT last_us, evaluations, missed, made_up, errors, failing, outcome FROM rule_states"
            " WHERE rule = ?",
            name,
        )
        return RuleRow(*(*rows[0][:-1], orjson.loads(rows[0][-1]))) if rows else None

    def alerts(self, rule: str | None = None) -> list[AlertRow]:
        """The alerts of a rule, or of all, by rule."""
        rows = self._metadata.read(
            "SELECT rule, fingerprint, state, alert FROM alerts WHERE ?1 IS NULL OR rule = ?1"
            " ORDER BY rule, fingerprint",
            rule,
        )
        return [AlertRow(*(*row[:3], orjson.loads(row[3]))) for row in rows]

    def history(
        self,
        *,
        rule: str | None = None,
        fingerprint: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[HistoryRow]:
        """Changes of state, the newest first; `before` is an id, for the next page."""
        rows = self._metadata.read(
            "SELECT fingerprint, was, state, at_us, labels, value, rule, id FROM alert_history"
            " WHERE (?1 IS NULL OR rule = ?1) AND (?2 IS NULL OR fingerprint = ?2) AND (?3 IS NULL OR id < ?3)"
            " ORDER BY id DESC LIMIT ?4",
            rule,
            fingerprint,
            before,
            min(limit, LISTED_MAX),
        )
        return [
            HistoryRow(*(*row[:4], orjson.loads(row[4]), orjson.loads(row[5]), row[6], row[7]))
            for row in rows
        ]

    # -- acknowledgements and silences

    def acknowledge(self, given: Acknowledgement) -> None:
        """Note that somebody has taken note of an alert."""
        with self._metadata.writing() as database:
            database.execute(
                "INSERT OR REPLACE INTO acknowledgements VALUES (?, ?, ?, ?, ?, ?)",
                (given.rule, given.fingerprint, given.active_us, given.note, given.author, given.at_us),
            )

    def acknowledgements(self) -> dict[tuple[str, str, int], Acknowledgement]:
        """All of them, by rule, fingerprint, and since when the alert is active."""
        rows = self._metadata.read(
            "SELECT rule, fingerprint, active_us, note, author, at_us FROM acknowledgements"
        )
        return {(row[0], row[1], row[2]): Acknowledgement(*row) for row in rows}

    def add_silence(self, silence: SilenceRow) -> None:
        """Keep something quiet."""
        with self._metadata.writing() as database:
            database.execute(
                "INSERT INTO silences VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    silence.id,
                    orjson.dumps(silence.matchers).decode(),
                    silence.starts_us,
                    silence.ends_us,
                    silence.author,
                    silence.comment,
                    silence.created_us,
                ),
            )

    def end_silence(self, silence: str, now_us: int) -> bool:
        """End a silence now, whether it has begun or not; whether there was one that had not ended."""
        with self._metadata.writing() as database:
            return (
                database.execute(
                    "UPDATE silences SET ends_us = ?1, starts_us = min(starts_us, ?1)"
                    " WHERE id = ?2 AND ends_us > ?1",
                    (now_us, silence),
                ).rowcount
                > 0
            )

    def silences(self) -> list[SilenceRow]:
        """All that are remembered, those that end last first."""
        rows = self._metadata.read(
            "SELECT id, matchers, starts_us, ends_us, author, comment, created_us FROM silences"
            " ORDER BY ends_us DESC, id"
        )
        return [SilenceRow(*(row[0], orjson.loads(row[1]), *row[2:])) for row in rows]


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
