"""A page of records: by time through the index's order, by other fields through all that match."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice
from typing import cast

import orjson

from dsl.ast import Query
from dsl.cursor import Cursor, cursor_of
from dsl.evaluate import next_cursor, projection
from dsl.order import RowOrder
from dsl.record import NUMBERS, TIMESTAMP, Record
from server.answer import Answer
from server.engine.matching import Matching, record_of
from server.engine.narrowing import candidates
from storage.datafiles import Stored
from storage.record import render
from storage.snapshot import Address
from storage.times import format_time


def page(query: Query, matching: Matching | None, now_us: int, answer: Answer) -> None:
    """Fill in the rows of a query for records, their cursor and their total."""
    if query.select is not None:
        answer.columns = list(query.select)
    if matching is None:
        answer.total = 0 if query.total else None
        return
    assert query.limit is not None
    cursor = cursor_of(query)
    by_time = len(query.order_by) == 1 and query.order_by[0].name == TIMESTAMP
    if by_time:
        _by_time(query, matching, cursor, now_us, answer)
    else:
        _by_fields(query, matching, cursor, now_us, answer)
    if query.total:
        answer.total = matching.count()


def _by_time(query: Query, matching: Matching, cursor: Cursor | None, now_us: int, answer: Answer) -> None:
    assert query.limit is not None
    if not query.limit:
        return
    after = None
    if cursor is not None and type(cursor.values[0]) is int:
        after = Address(cursor.values[0], cursor.number, cursor.stream)
    found = matching.page(query.limit + 1, after, oldest_first=query.order_by[0].direction == "asc")
    more, found = len(found) > query.limit, found[: query.limit]
    if query.select is None:
        answer.records = [_render(stored) for stored in found]
    else:
        show = projection(query.select)
        answer.records = [orjson.dumps(show(record_of(stored))) for stored in found]
    if more:
        answer.cursor = next_cursor(query, record_of(found[-1]), now_us)


def _by_fields(query: Query, matching: Matching, cursor: Cursor | None, now_us: int, answer: Answer) -> None:
    assert query.limit is not None
    order = RowOrder(query.order_by)
    found = _narrowed(query, matching, cursor, order)
    if found is None:
        found = _first(matching.records(), query.limit + 1, cursor, order)
    more = len(found) > query.limit
    show = projection(query.select)
    answer.records = [orjson.dumps(show(record)) for record in islice(found, query.limit)]
    if more and query.limit:
        answer.cursor = next_cursor(query, found[query.limit - 1], now_us)


def _first(records: Iterable[Record], count: int, cursor: Cursor | None, order: RowOrder) -> list[Record]:
    """The first of records behind a cursor, in order."""
    if cursor is not None:
        end = order.key(cursor.values, cursor.stream, cursor.number)
        records = (record for record in records if order.of(record) > end)
    return heapq.nsmallest(count, records, key=order.of)


def _narrowed(
    query: Query, matching: Matching, cursor: Cursor | None, order: RowOrder
) -> list[Record] | None:
    """The first records by a single field of numbers, from as few as possible; None where that is not possible."""
    assert query.limit is not None
    beyond = None
    if cursor is not None:
        beyond = cursor.values[0]
        if type(beyond) not in NUMBERS:
            return None
    if len(query.order_by) != 1:
        return None
    for records in candidates(matching, query.order_by[0], query.limit + 1, cast("float | None", beyond)):
        found = _first(records, query.limit + 1, cursor, order)
        if len(found) > query.limit:
            return found
    return None


def _render(stored: Stored) -> bytes:
    return render(stored.line, format_time(stored.time_us), stored.stream, stored.number)
