"""One record by its address, and what stands beside it: the lines before and after it in its stream.

Beside it is by time, as in a log that is read from top to bottom; among records of one instant by number, the order in
which they came. Late records stand where their time puts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dsl.ast import Query
from dsl.limits import DEFAULT, Limits
from dsl.nodes import Predicate
from dsl.operators.and_ import And
from dsl.operators.in_ import In, canonical
from dsl.operators.missing import Missing
from dsl.record import NUMBER, STREAM, TIMESTAMP, Record, leaves
from server.engine import Engine
from server.engine.asked import Asked, Partial
from server.engine.matching import PageTooLarge, record_of
from server.errors import RequestError
from storage.datafiles import Stored
from storage.record import render
from storage.snapshot import Address
from storage.stop import panics_named
from storage.store import Store
from storage.times import format_time

BESIDE_MAX = 1000  # records on either side: a page or two of a terminal is what anybody reads
SAME_MAX = 8  # fields that the neighbours share
NUMBER_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted beside a record.

    Attributes:
        before: How many records before it.
        after: How many after it.
        same: Fields that they share with it.
    """

    before: int
    after: int
    same: tuple[str, ...] = ()


class Records:
    """Finds records by their addresses. Thread-safe."""

    def __init__(self, engine: Engine, store: Store, limits: Limits = DEFAULT) -> None:
        self._engine = engine
        self._store = store
        self._limits = limits

    def one(self, stream: str, number: int, asked: Asked) -> dict[str, Any]:
        """A record.

        Raises:
            UnknownStream: there is no such stream.
            RequestError: `record-gone`, `unknown-record` (404).
        """
        with panics_named():
            return _shown(self._find(stream, number, asked))

    def beside(self, stream: str, number: int, wanted: Wanted, asked: Asked) -> dict[str, Any]:
        """A record and those beside it, all in the order of time.

        Raises:
            UnknownStream: there is no such stream.
            RequestError: `record-gone`, `unknown-record` (404), `answer-too-large` (400).
        """
        with panics_named():
            return self._beside(stream, number, wanted, asked)

    def _beside(self, stream: str, number: int, wanted: Wanted, asked: Asked) -> dict[str, Any]:
        found = self._find(stream, number, asked)
        shared, where = _sharing(record_of(found), wanted.same)
        matching = self._engine.matching(Query(from_=(stream,), where=where), found.time_us, asked.stop)
        assert matching is not None  # the record was found there
        here = Address(found.time_us, number, stream)
        sides = []
        try:
            for count, oldest_first in ((wanted.before, False), (wanted.after, True)):
                side, _ = matching.page(
                    count,
                    here,
                    oldest_first=oldest_first,
                    partial=Partial(),
                    bytes_max=self._limits.held_bytes_max // 2,
                )
                sides.append([_shown(stored) for stored in side])
        except PageTooLarge as error:
            raise RequestError(
                400, "answer-too-large", "the records beside it are too large", "ask for fewer of them"
            ) from error
        before, after = sides
        reason = matching.snapshot.incomplete
        return {
            "record": _shown(found),
            "before": before[::-1],
            "after": after,
            "same": shared,
            "complete": reason is None,
            **({"warnings": [{"code": "incomplete", "message": reason}]} if reason else {}),
        }

    def _find(self, stream: str, number: int, asked: Asked) -> Stored:
        asked.stop.within(self._engine.timeout_s)
        until = self._store.catalog(stream).searchable_until
        query = Query(from_=(stream,), where=In(field=NUMBER, values=(number,)))
        matching = self._engine.matching(query, 0, asked.stop)
        if matching is not None:
            found, _ = matching.page(
                1, None, oldest_first=False, partial=Partial(), bytes_max=self._limits.held_bytes_max
            )
            if found:
                return found[0]
        if number >= until:
            raise RequestError(
                404,
                "unknown-record",
                f"no record {number} of {stream} can be found yet: the newest there is {until - 1}",
                "what was sent a moment ago is found within a second",
            )
        raise RequestError(
            404,
            "record-gone",
            f"record {number} of {stream} is not there any more",
            "it was deleted, dropped by the stream's retention, or its data is damaged",
        )


def _sharing(record: Record, names: Sequence[str]) -> tuple[dict[str, list[Any]], Predicate | None]:
    """What a record has under some names, and the condition that others have that too."""
    shared: dict[str, list[Any]] = {}
    parts: list[Predicate] = []
    for name in names:
        values = shared[name] = list(leaves(name)(record))
        parts.append(In(field=name, values=canonical(values)) if values else Missing(field=name))
    return shared, And(parts=tuple(parts)) if parts else None


def check_same(names: Sequence[str]) -> tuple[str, ...]:
    """The fields that neighbours shall share.

    Raises:
        RequestError: `bad-parameter` (400).
    """
    if len(names) > SAME_MAX:
        raise RequestError(
            400,
            "bad-parameter",
            f"{len(names)} fields in same",
            f"name {SAME_MAX} at most: ?same=service,host",
        )
    for name in names:
        if name in (TIMESTAMP, NUMBER, STREAM):
            raise RequestError(
                400,
                "bad-parameter",
                f"same has {name}, which no two neighbours share" if name != STREAM else "same has _stream",
                "name a field of the records: ?same=service,host",
            )
    return tuple(dict.fromkeys(names))


def _shown(stored: Stored) -> dict[str, Any]:
    shown: dict[str, Any] = orjson.loads(
        render(stored.line, format_time(stored.time_us), stored.stream, stored.number)
    )
    return shown
