"""The fields of a stream: their names, kinds, how many records have each, and the most frequent values of it.

Names and kinds come from the columns of the index, the numbers from questions to it: no record is read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tantivy import Query as IndexQuery

from dsl.aggregates.base import tidy
from dsl.ast import Query
from dsl.errors import QueryError
from dsl.parse import parse
from dsl.reader import read
from dsl.record import NUMBER, TIMESTAMP
from dsl.time import format_instant
from server.encode import edn
from server.engine import Engine
from server.engine.asked import Asked
from server.engine.columns import NotNative, column, plain_keys
from server.engine.matching import Matching
from storage import index as ix
from storage.column_names import Kind
from storage.errors import IndexBusy, QueryTimeout, ResultTooLarge
from storage.paths import check_stream_name
from storage.queries import all_of
from storage.snapshot import Snapshot
from storage.stop import panics_named
from storage.stream_columns import Columns

VALUES_DEFAULT = 5  # of each field: what fits a line
VALUES_MAX = 1000
FIELDS_MAX = 1000  # of one answer: more are no fields that anybody looks through, but names made of values
LISTED_STRINGS_MAX = 10_000  # distinct ones in a segment; the values of a column with more are not counted
PROBED_RECORDS = 10_000  # the newest, by which is seen whether a column of numbers has many distinct ones
PROBED_NUMBERS_MAX = 1000  # distinct among them; a column with more is not counted
OPEN_TRIES = 5  # the index may be replaced between its list of columns and the questions

KINDS: tuple[Kind, ...] = ("string", "number", "boolean")  # in the order in which they are told


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of the fields.

    Attributes:
        values: How many of the most frequent values of each.
        names: Only these; None is all.
    """

    values: int = VALUES_DEFAULT
    names: tuple[str, ...] | None = None


SAID = ("since", "until", "last", "where", "timeout")
"""What an address or a command may say of the records whose fields are meant."""


def fields_query(stream: str, said: dict[str, str | None]) -> Query:
    """The records whose fields are meant, as a query: a range of time and a condition in EDN, both perhaps left out.

    Raises:
        BadStreamName: no stream can be called so.
        QueryError: something of it has a mistake, shown in the query that is made of it.
    """
    parts = [f":from {edn.string(check_stream_name(stream))}"]
    times = [
        f":{name} {edn.string(said[name] or '')}" for name in ("last", "since", "until") if said.get(name)
    ]
    if times:
        parts.append(f":time {{{' '.join(times)}}}")
    if said.get("timeout"):
        parts.append(f":timeout {edn.string(said['timeout'] or '')}")
    where = said.get("where")
    if where:
        try:
            read(where)  # alone first: it is one form, and what is wrong with it is shown in what was sent
        except QueryError as error:
            raise QueryError(error.mistakes, where) from None
        parts.append(f":where {where}")
    return parse("{" + "\n ".join(parts) + "\n}")


class Fields:
    """Tells of fields. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, stream: str, query: Query, wanted: Wanted, asked: Asked) -> dict[str, Any]:
        """The fields that the records of a query have.

        Args:
            stream: The only one that the query reads.
            query: Its time and condition say which records.
            wanted: What of them.
            asked: What is shared with whoever waits.

        Raises:
            UnknownStream: there is no such stream.
        """
        asked.stop.within(
            self._engine.timeout_s if query.timeout_us is None else query.timeout_us / 1_000_000
        )
        with panics_named():
            for tried in range(OPEN_TRIES):
                try:
                    return self._of(stream, query, wanted, asked)
                except FileNotFoundError as error:
                    if tried == OPEN_TRIES - 1:
                        raise IndexBusy(
                            "the index changed under every try to read it", "ask again in a moment"
                        ) from error
        raise AssertionError

    def _of(self, stream: str, query: Query, wanted: Wanted, asked: Asked) -> dict[str, Any]:
        started_s = time.perf_counter()
        now_us = self._engine.now_us()
        matching = self._engine.matching(query, now_us, asked.stop)
        low_us, high_us = (None, None) if query.time is None else query.time.resolve(now_us)
        found = _Found(now_us)
        if matching is not None:
            snapshot = matching.snapshot
            names = [name for part in snapshot.parts for name in part.entry.tantivy]
            found.fill(matching, self._engine.store.columns.of_segments(stream, names), wanted)
            reason = snapshot.incomplete
            if reason:
                found.complete = False
                found.warnings.append({"code": "incomplete", "message": reason})
        return {
            "stream": stream,
            "since": None if low_us is None else format_instant(low_us),
            "until": None if high_us is None else format_instant(high_us),
            "records": found.records,
            "fields": sorted(found.fields, key=_order),
            "complete": found.complete,
            **({"warnings": found.warnings} if found.warnings else {}),
            "now": format_instant(now_us),
            "took_ms": round((time.perf_counter() - started_s) * 1000, 3),
        }


def _order(one: dict[str, Any]) -> tuple[int, int, str]:
    """The time first, then what most records have; what was not counted comes last."""
    records = one["records"]
    return 0 if one["name"] == TIMESTAMP else 1, -1 if records is None else -records, one["name"]


class _Found:
    """What is found so far."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us
        self.records: int | None = 0
        self.fields: list[dict[str, Any]] = []
        self.complete = True
        self.warnings: list[dict[str, Any]] = []

    def fill(self, matching: Matching, columns: Columns, wanted: Wanted) -> None:
        """Ask the index of one field after the other, as long as there is time."""
        if not matching.exact:
            message = "the condition is only narrowed down by the index: fewer records may be meant"
            hint = "klomp explain shows which part of it the index cannot answer"
            self.warnings.append({"code": "counts-at-most", "message": message, "hint": hint})
        names = sorted(columns.kinds)
        if wanted.names is not None:
            names = [name for name in names if name in wanted.names]
        odd = [name for name in names if not ix.path_is_indexed(name)]
        if odd:
            message = f"{len(odd)} names have characters that the index does not keep: they are not listed"
            self.warnings.append({"code": "fields-not-listed", "message": message})
        names = [name for name in names if ix.path_is_indexed(name) and name != ix.MESSAGE]
        if len(names) > FIELDS_MAX:
            message = f"there are {len(names)} fields: the first {FIELDS_MAX} by name are listed"
            hint = "ask for one by ?name=…"
            self.warnings.append({"code": "fields-not-listed", "message": message, "hint": hint})
        looker = _Looker(matching.snapshot, matching.upper, columns, wanted.values)
        self.records = None
        try:
            self.records = looker.count(matching.upper)
            if self.records:
                self._own(looker, columns, wanted)
        except QueryTimeout as error:
            self._cut(error)
        for name in names[:FIELDS_MAX]:
            kinds = sorted(columns.kinds[name])
            one: dict[str, Any] = {
                "name": name,
                "type": kinds[0] if len(kinds) == 1 else "mixed",
                "records": None,
            }
            if self.records != 0 and self.complete:
                try:
                    one |= looker.look(name)
                except QueryTimeout as error:
                    self._cut(error)
            if one["records"] != 0 and self.records != 0:
                self.fields.append(one)

    def _own(self, looker: _Looker, columns: Columns, wanted: Wanted) -> None:
        """The time and the message, which have columns of another kind."""
        if wanted.names is None or TIMESTAMP in wanted.names:
            first, last = looker.ends(ix.TIMESTAMP)
            self.fields.append(
                {
                    "name": TIMESTAMP,
                    "type": "time",
                    "records": self.records,
                    "min": format_instant(int(first or 0)),
                    "max": format_instant(int(last or 0)),
                }
            )
        if wanted.names is None or ix.MESSAGE in wanted.names:
            message = looker.message(columns.kinds.get(ix.MESSAGE, frozenset()))
            if message["records"]:
                self.fields.append(message)

    def _cut(self, error: QueryTimeout) -> None:
        self.complete = False
        self.warnings.append(
            {
                "code": "out-of-time",
                "message": f"{error.message}: the fields without a number of records were not counted",
                "hint": "narrow it by time, or name the fields with ?name=…",
            }
        )


class _Looker:
    """Asks the index of fields.

    Args:
        snapshot: Where.
        base: Of which records.
        columns: What is known of all columns.
        most: How many values of each are wanted.
    """

    def __init__(self, snapshot: Snapshot, base: IndexQuery, columns: Columns, most: int) -> None:
        assert snapshot.queries is not None
        self._snapshot = snapshot
        self._queries = snapshot.queries
        self._base = base
        self._columns = columns
        self._most = most

    def count(self, query: IndexQuery) -> int:
        """How many records match."""
        return self._snapshot.count(query)

    def ends(self, name: str) -> tuple[Any, Any]:
        """The smallest and the largest number of a column."""
        question = {"low": {"min": {"field": name}}, "high": {"max": {"field": name}}}
        found = self._snapshot.aggregate(self._base, question)
        return tidy(found["low"]["value"]), tidy(found["high"]["value"])

    def look(self, name: str) -> dict[str, Any]:
        """What there is to know of a field."""
        records = self.count(all_of([self._base, self._queries.holding(name)]))
        told: dict[str, Any] = {"records": records}
        if not records:
            return told
        kinds = self._kinds(name, records, self._columns.kinds[name])
        told["type"] = next(iter(kinds)) if len(kinds) == 1 else "mixed"
        told["types"] = kinds
        if "number" in kinds:
            low, high = self.ends(column(name))
            told |= {"min": low, "max": high}
        told |= self._values(name)
        return told

    def message(self, others: frozenset[Kind]) -> dict[str, Any]:
        """What there is to know of `message`: its words are no values."""
        texts = self.count(all_of([self._base, self._queries.with_message()]))
        kinds = {"string": texts} if texts else {}
        for kind in sorted(others):
            records = self.count(all_of([self._base, self._queries.holding(ix.MESSAGE, kind)]))
            if records:
                kinds[kind] = kinds.get(kind, 0) + records
        records = self.count(all_of([self._base, self._queries.exists(ix.MESSAGE)[0]])) if others else texts
        return {
            "name": ix.MESSAGE,
            "type": next(iter(kinds)) if len(kinds) == 1 else "mixed",
            "records": records,
            "types": kinds,
            "values": None,
            "distinct": None,
        }

    def _kinds(self, name: str, records: int, kinds: frozenset[Kind]) -> dict[str, int]:
        """How many records have each kind of value; of an array some may have several."""
        if len(kinds) == 1:
            return {next(iter(kinds)): records}
        counts = {
            kind: self.count(all_of([self._base, self._queries.holding(name, kind)]))
            for kind in KINDS
            if kind in kinds
        }
        return {kind: count for kind, count in counts.items() if count}

    def _values(self, name: str) -> dict[str, Any]:
        """The most frequent values, with how many records have each; None where there are too many to count."""
        unlisted = {"values": None, "distinct": None}
        if not self._most or self._columns.strings.get(name, 0) > LISTED_STRINGS_MAX:
            return unlisted
        if "number" in self._columns.kinds[name] and self._has_many_numbers(name):
            return unlisted
        try:
            found = self._terms(self._base, name, self._most)
            values = plain_keys(found["buckets"])
        except (ResultTooLarge, NotNative):
            return unlisted
        others = found["sum_other_doc_count"]
        return {
            "values": [
                {"value": value, "records": bucket["doc_count"]}
                for value, bucket in zip(values, found["buckets"], strict=True)
            ],
            "distinct": None if others else len(values),
        }

    def _has_many_numbers(self, name: str) -> bool:
        """Whether the newest records have many distinct values."""
        until = max(part.entry.until for part in self._snapshot.parts)
        newest, _ = self._queries.numbers(NUMBER, until - PROBED_RECORDS, None, True, True)
        found = self._terms(all_of([self._base, newest]), name, PROBED_NUMBERS_MAX)
        return bool(found["sum_other_doc_count"])

    def _terms(self, base: IndexQuery, name: str, most: int) -> dict[str, Any]:
        terms = {"field": column(name), "size": most, "segment_size": LISTED_STRINGS_MAX + most}
        answer: dict[str, Any] = self._snapshot.aggregate(base, {"values": {"terms": terms}})["values"]
        return answer
