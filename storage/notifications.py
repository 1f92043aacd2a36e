"""Notifications that are owed to channels: an outbox, so that what was promised is sent also after a crash.

A row is written in the same transaction as the change of the alert that owes it. Whoever delivers takes the rows that
are due, sends them, and says how that went: `mark_sent`, `mark_retry` (it is tried again later), or `mark_dead` (it is
given up until somebody asks for it again with `requeue`). A crash between the sending and `mark_sent` sends it once
more: at least once, never less.

    pending --mark_sent--> sent
    pending, failed --mark_retry--> failed --mark_sent--> sent
    pending, failed --mark_dead--> dead --requeue--> pending

The payload is a JSON object:

    rule         the name of the rule
    status       firing or resolved
    fingerprint  16 hex digits of the labels
    labels       {name: text}
    annotations  {name: text}
    starts_us    when it began to fire
    ends_us      when it ended; null while it fires
    until_us     until when it can be taken to fire when nothing more is heard of it; null once it has ended
    value        the columns of its group
    samples      the newest records of its group, as a query answers them
    generator    the path of the rule
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from storage.metadata import Metadata

LISTED_MAX = 1000  # in one answer
DUE_MAX = 1000  # taken at once: what one rule may owe in one evaluation
SENT_KEPT = 100_000  # that were sent are remembered: weeks of a busy store, tens of megabytes

NotificationKind = Literal["firing", "resolved", "repeat"]
NotificationState = Literal["pending", "sent", "failed", "dead"]

_COLUMNS = "id, rule, fingerprint, channel, kind, created_us, due_us, payload, state, attempts, next_us, error, sent_us"


@dataclass(frozen=True, slots=True)
class Owed:
    """A notification that is yet to be written down. `payload` is JSON as above."""

    rule: str
    fingerprint: str
    channel: str
    kind: NotificationKind
    due_us: int
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification and how far it has come.

    Attributes:
        attempts: How often it was tried in vain.
        next_us: Not before this time is it tried.
        error: Why the newest try failed.
        sent_us: When it was sent.
    """

    id: int
    rule: str
    fingerprint: str
    channel: str
    kind: NotificationKind
    created_us: int
    due_us: int
    payload: dict[str, Any]
    state: NotificationState
    attempts: int
    next_us: int
    error: str | None
    sent_us: int | None


Found = list[Notification]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that failed: when, how long it took, why, and the status of HTTP where there was one."""

    at_us: int
    took_us: int
    error: str
    status: int | None


def enqueue(database: sqlite3.Connection, owed: Iterable[Owed], now_us: int) -> None:
    """Write down what is owed, within a transaction of `Metadata.writing`."""
    database.executemany(
        "INSERT INTO notifications (rule, fingerprint, channel, kind, created_us, due_us, payload, state, next_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?)",
        [
            (
                one.rule,
                one.fingerprint,
                one.channel,
                one.kind,
                now_us,
                one.due_us,
                orjson.dumps(one.payload).decode(),
                one.due_us,
            )
            for one in owed
        ],
    )


class Notifications:
    """The outbox of a metadata file. Thread-safe, and safe beside other processes; one process delivers."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def due(self, now_us: int, limit: int = DUE_MAX) -> Found:
        """What is to be sent now, the oldest first."""
        return self._found(
            "state IN ('pending', 'failed') AND next_us <= ?1 ORDER BY id LIMIT ?2", now_us, limit
        )

    def waiting(self, channel: str, now_us: int, limit: int = DUE_MAX) -> list[Notification]:
        """What is owed to a channel by now, the oldest first; also what is not to be tried before a later time."""
        return self._found(
            "channel = ?1 AND state IN ('pending', 'failed') AND due_us <= ?2 ORDER BY id LIMIT ?3",
            channel,
            now_us,
            limit,
        )

    def channels_waiting(self, now_us: int) -> dict[str, tuple[int, int]]:
        """To which channels something is owed by now: how much, and the newest id. Cheap to ask for."""
        rows = self._metadata.read(
            "SELECT channel, count(*), max(id) FROM notifications"
            " WHERE state IN ('pending', 'failed') AND due_us <= ? GROUP BY channel",
            now_us,
        )
        return {str(channel): (int(count), int(newest)) for channel, count, newest in rows}

    def counts(self, channel: str) -> dict[str, int]:
        """How many notifications of a channel are in which state."""
        rows = self._metadata.read(
            "SELECT state, count(*) FROM notifications WHERE channel = ? GROUP BY state ORDER BY state",
            channel,
        )
        return {str(state): int(count) for state, count in rows}

    def mark_sent(self, ids: Sequence[int], now_us: int) -> None:
        """They were sent."""
        self._mark(
            "UPDATE notifications SET state = 'sent', sent_us = ?1, error = NULL WHERE id = ?2",
            [(now_us, one) for one in ids],
        )

    def mark_retry(self, ids: Sequence[int], error: str, next_us: int) -> None:
        """They could not be sent, and are tried again later."""
        self._mark(
            "UPDATE notifications SET state = 'failed', attempts = attempts + 1, error = ?1, next_us = ?2"
            " WHERE id = ?3 AND state IN ('pending', 'failed')",
            [(error, next_us, one) for one in ids],
        )

    def mark_dead(self, ids: Sequence[int], error: str) -> None:
        """They could not be sent, and nobody tries any more."""
        self._mark(
            "UPDATE notifications SET state = 'dead', attempts = attempts + 1, error = ?1"
            " WHERE id = ?2 AND state IN ('pending', 'failed')",
            [(error, one) for one in ids],
        )

    def requeue(self, ids: Sequence[int], now_us: int) -> int:
        """Try dead ones again, from the beginning; how many of these were dead."""
        with self._metadata.writing() as database:
            return sum(
                database.execute(
                    "UPDATE notifications SET state = 'pending', attempts = 0, next_us = ?"
                    " WHERE id = ? AND state = 'dead'",
                    (now_us, one),
                ).rowcount
                for one in ids
            )

    def list(
        self,
        *,
        state: NotificationState | None = None,
        rule: str | None = None,
        channel: str | None = None,
        fingerprint: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Found:
        """Notifications, the newest first; `before` is an id, for the next page."""
        return self._found(
            "(?1 IS NULL OR state = ?1) AND (?2 IS NULL OR rule = ?2) AND (?3 IS NULL OR channel = ?3)"
            " AND (?4 IS NULL OR fingerprint = ?4) AND (?5 IS NULL OR id < ?5) ORDER BY id DESC LIMIT ?6",
            state,
            rule,
            channel,
            fingerprint,
            before,
            min(limit, LISTED_MAX),
        )

    def get(self, notification: int) -> Notification | None:
        """One of them."""
        found = self._found("id = ?1", notification)
        return found[0] if found else None

    def requeue_channel(self, channel: str, now_us: int) -> int:
        """Try all dead ones of a channel again; how many there were."""
        with self._metadata.writing() as database:
            return database.execute(
                "UPDATE notifications SET state = 'pending', attempts = 0, next_us = ?"
                " WHERE channel = ? AND state = 'dead'",
                (now_us, channel),
            ).rowcount

    def note_attempt(self, ids: Sequence[int], attempt: Attempt) -> None:
        """Remember an attempt that failed."""
        self._mark(
            "INSERT INTO attempts (notification, at_us, took_us, error, status) VALUES (?, ?, ?, ?, ?)",
            [(one, attempt.at_us, attempt.took_us, attempt.error, attempt.status) for one in ids],
        )

    def attempts(self, notification: int) -> Sequence[Attempt]:
        """The attempts to send it that failed, the oldest first."""
        rows = self._metadata.read(
            "SELECT at_us, took_us, error, status FROM attempts WHERE notification = ? ORDER BY rowid",
            notification,
        )
        return [Attempt(*row) for row in rows]

    def forget(self, kept: int = SENT_KEPT) -> int:
        """Forget all but the latest of those that were sent, and of the dead; how many were forgotten."""
        forgotten = 0
        with self._metadata.writing() as database:
            for state in ("sent", "dead"):
                forgotten += database.execute(
                    "DELETE FROM notifications WHERE state = ?1 AND id <="
                    " (SELECT id FROM notifications WHERE state = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                    (state, kept),
                ).rowcount
            database.execute("DELETE FROM attempts WHERE notification NOT IN (SELECT id FROM notifications)")
        return forgotten

    def breakers(self) -> dict[str, tuple[int, int | None, int]]:
        """Channels that failed lately: failures in a row, since when they are left alone, how often in a row."""
        rows = self._metadata.read("SELECT channel, failures, opened_us, opened_times FROM breakers")
        return {str(channel): (failures, opened_us, times) for channel, failures, opened_us, times in rows}

    def keep_breaker(self, channel: str, failures: int, opened_us: int | None, opened_times: int) -> None:
        """Remember how a channel fares; without failures it is forgotten."""
        with self._metadata.writing() as database:
            if failures or opened_us is not None:
                database.execute(
                    "INSERT OR REPLACE INTO breakers (channel, failures, opened_us, opened_times) VALUES (?, ?, ?, ?)",
                    (channel, failures, opened_us, opened_times),
                )
            else:
                database.execute("DELETE FROM breakers WHERE channel = ?", (channel,))

    def _mark(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._metadata.writing() as database:
            database.executemany(statement, rows)

    def _found(self, condition: str, *values: Any) -> Found:
        rows = self._metadata.read(f"SELECT {_COLUMNS} FROM notifications WHERE {condition}", *values)  # noqa: S608
        return [Notification(*(*row[:7], orjson.loads(row[7]), *row[8:])) for row in rows]
