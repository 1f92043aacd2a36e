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

    def next_due_us(self) -> int | None:
        """When something is to be sent; None when nothing is owed."""
        ((next_us,),) = self._metadata.read(
            "SELECT min(next_us) FROM notifications WHERE state IN ('pending', 'failed')"
        )
        return None if next_us is None else int(next_us)

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
        before: int | None = None,
        limit: int = 100,
    ) -> Found:
        """Notifications, the newest first; `before` is an id, for the next page."""
        return self._found(
            "(?1 IS NULL OR state = ?1) AND (?2 IS NULL OR rule = ?2) AND (?3 IS NULL OR channel = ?3)"
            " AND (?4 IS NULL OR id < ?4) ORDER BY id DESC LIMIT ?5",
            state,
            rule,
            channel,
            before,
            min(limit, LISTED_MAX),
        )

    def get(self, notification: int) -> Notification | None:
        """One of them."""
        found = self._found("id = ?1", notification)
        return found[0] if found else None

    def forget(self, kept: int = SENT_KEPT) -> int:
        """Forget all that were sent but the latest; how many were forgotten."""
        with self._metadata.writing() as database:
            return database.execute(
                "DELETE FROM notifications WHERE state = 'sent' AND id <="
                " (SELECT id FROM notifications WHERE state = 'sent' ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (kept,),
            ).rowcount

    def _mark(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._metadata.writing() as database:
            database.executemany(statement, rows)

    def _found(self, condition: str, *values: Any) -> Found:
        rows = self._metadata.read(f"SELECT {_COLUMNS} FROM notifications WHERE {condition}", *values)  # noqa: S608
        return [Notification(*(*row[:7], orjson.loads(row[7]), *row[8:])) for row in rows]
