"""The language in plain Python over plain records: what an answer must be, worked out the obvious way.

It is the oracle of the tests, and its predicates decide in production what the index cannot.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dsl.ast import Query
from dsl.cursor import Cursor, cursor_of, encode, now_of
from dsl.groups import measure
from dsl.limits import DEFAULT, Limits
from dsl.nodes import Predicate
from dsl.operators import BY_NODE
from dsl.operators.base import Evaluator
from dsl.order import RowOrder
from dsl.record import NUMBER, STREAM, TIMESTAMP, Matcher, Record
from dsl.record import select as path_of
from dsl.table import finish
from dsl.time import format_instant


@dataclass(frozen=True, slots=True)
class EvaluatedAnswer:
    """Rows as plain data, how many match in all where that was asked, the cursor where more rows follow."""

    rows: list[dict[str, Any]]
    total: int | None
    cursor: str | None
    now_us: int


def matches(predicate: Predicate | None, analyse: Callable[[str], list[str]], now_us: int) -> Matcher:
    """A function that tells whether a predicate holds for a record.

    Args:
        predicate: None is true of every record.
        analyse: the words of a text as the index has them.
        now_us: the one `now` of the query.
    """
    if predicate is None:
        return lambda _: True
    return Evaluator(analyse, now_us, BY_NODE).matcher(predicate)


def evaluate(
    query: Query,
    records: Iterable[Record],
    now_us: int,
    analyse: Callable[[str], list[str]],
    limits: Limits = DEFAULT,
) -> EvaluatedAnswer:
    """The answer to a query from all records there are.

    Raises:
        QueryError: there are too many groups (`too-many-groups`).
        BadCursor: its cursor is none of its own; whoever parsed it was told.
    """
    now_us = now_of(query, now_us)
    found = _matching(query, records, now_us, analyse)
    if query.grouped:
        table = finish(query, measure(query, lambda: found, now_us, analyse, limits), now_us, analyse, limits)
        return EvaluatedAnswer(table.rows(), table.total if query.total else None, None, now_us)
    order = RowOrder(query.order_by)
    ordered = sorted(found, key=order.of)
    total = len(ordered)
    cursor = cursor_of(query)
    if cursor is not None:
        end = order.key(cursor.values, cursor.stream, cursor.number)
        ordered = [record for record in ordered if order.of(record) > end]
    assert query.limit is not None
    page = ordered[: query.limit]
    show = projection(query.select)
    return EvaluatedAnswer(
        rows=[show(record) for record in page],
        total=total if query.total else None,
        cursor=next_cursor(query, page[-1], now_us) if page and len(ordered) > len(page) else None,
        now_us=now_us,
    )


def next_cursor(query: Query, last: Record, now_us: int, mark: str = "") -> str:
    """The cursor of a page by its last record; `mark` is what the store knows its streams by."""
    values = RowOrder(query.order_by).values(last)
    return encode(query, Cursor(now_us, values, last.stream, last.number, mark))


def projection(select: Sequence[str] | None) -> Callable[[Record], dict[str, Any]]:
    """A function from a record to its row: whole, or the paths asked for, each under its name as written.

    A path that leads to several values, because arrays or several ways of writing it lead there, shows them
    as an array; one that leads to none is left out.
    """
    if select is None:
        return _whole
    columns = [(path, _column(path)) for path in select]

    def show(record: Record) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for path, column in columns:
            found = column(record)
            if found:
                row[path] = found[0] if len(found) == 1 else found
        return row

    return show


def project(record: Record, select: Sequence[str] | None) -> dict[str, Any]:
    """One record as a row."""
    return projection(select)(record)


def _whole(record: Record) -> dict[str, Any]:
    return {
        TIMESTAMP: format_instant(record.timestamp_us),
        **record.fields,
        STREAM: record.stream,
        NUMBER: record.number,
    }


def _column(path: str) -> Callable[[Record], list[Any]]:
    if path == TIMESTAMP:
        return lambda record: [format_instant(record.timestamp_us)]
    if path == STREAM:
        return lambda record: [record.stream]
    if path == NUMBER:
        return lambda record: [record.number]
    find = path_of(path)
    return lambda record: find(record.fields)


def _matching(
    query: Query, records: Iterable[Record], now_us: int, analyse: Callable[[str], list[str]]
) -> list[Record]:
    low_us, high_us = (None, None) if query.time is None else query.time.resolve(now_us)
    holds = matches(query.where, analyse, now_us)
    return [
        record
        for record in records
        if query.reads(record.stream)
        and (low_us is None or low_us <= record.timestamp_us)
        and (high_us is None or record.timestamp_us < high_us)
        and holds(record)
    ]
