"""A page of records: by time through the index's order, by other fields through all that match."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import cast

import orjson

from dsl.ast import Query
from dsl.cursor import Cursor, cursor_of, encode
from dsl.errors import Mistake, QueryError
from dsl.evaluate import next_cursor, projection
from dsl.limits import Limits
from dsl.order import RowOrder
from dsl.rank import Rank
from dsl.record import NUMBERS, TIMESTAMP, Record
from server.answer import Answer
from server.engine.asked import Partial
from server.engine.marks import mark_of
from server.engine.matching import Matching, PageTooLarge, record_of
from server.engine.narrowing import candidates
from storage.datafiles import Stored
from storage.errors import QueryTimeout
from storage.record import render
from storage.snapshot import Address
from storage.times import format_time


def page(
    query: Query, matching: Matching | None, now_us: int, answer: Answer, *, partial: Partial, limits: Limits
) -> None:
    """Fill in the rows of a query for records, their cursor and their total."""
    if query.select is not None:
        answer.columns = list(query.select)
    if matching is None:
        answer.total = 0 if query.total and partial.reason is None else None
        answer.cursor = query.after if partial.reason is not None else None
        return
    assert query.limit is not None
    cursor = cursor_of(query)
    by_time = len(query.order_by) == 1 and query.order_by[0].name == TIMESTAMP
    bytes_max = limits.held_bytes_max
    try:
        if by_time:
            _by_time(query, matching, cursor, now_us, answer, partial=partial, bytes_max=bytes_max)
        else:
            _by_fields(query, matching, cursor, now_us, answer, partial=partial, bytes_max=bytes_max)
    except PageTooLarge as error:
        raise _too_large(query, bytes_max) from error
    if query.total and partial.reason is None:
        try:
            answer.total = matching.count()
        except QueryTimeout as error:
            partial.cut(error)


def _by_time(
    query: Query,
    matching: Matching,
    cursor: Cursor | None,
    now_us: int,
    answer: Answer,
    *,
    partial: Partial,
    bytes_max: int,
) -> None:
    assert query.limit is not None
    if not query.limit:
        return
    after = None
    if cursor is not None and type(cursor.values[0]) is int:
        after = Address(cursor.values[0], cursor.number, cursor.stream)
    found, reached = matching.page(
        query.limit + 1,
        after,
        oldest_first=query.order_by[0].direction == "asc",
        partial=partial,
        bytes_max=bytes_max,
    )
    more, found = len(found) > query.limit, found[: query.limit]
    if query.select is None:
        answer.records = [_render(stored) for stored in found]
    else:
        show = projection(query.select)
        answer.records = [orjson.dumps(show(record_of(stored))) for stored in found]
    if more:
        last = record_of(found[-1])
        answer.cursor = next_cursor(query, last, now_us, mark_of(query, matching.snapshot, last.stream))
    elif reached is not None:
        # Time was up: the next page goes on where this one stopped looking, whether that record matched or not.
        mark = mark_of(query, matching.snapshot, reached.stream)
        end = Cursor(now_us, (reached.time_us,), reached.stream, reached.number, mark)
        answer.cursor = encode(query, end)


def _by_fields(
    query: Query,
    matching: Matching,
    cursor: Cursor | None,
    now_us: int,
    answer: Answer,
    *,
    partial: Partial,
    bytes_max: int,
) -> None:
    assert query.limit is not None
    first = _First(query.limit + 1, cursor, RowOrder(query.order_by), bytes_max)
    try:
        found = _narrowed(query, matching, cursor, first)
    except QueryTimeout as error:
        partial.cut(error)
        found = []
    if found is None:
        found = first.of(partial.upto(matching.weighed()))
    more = len(found) > query.limit
    show = projection(query.select)
    answer.records = [orjson.dumps(show(record)) for record in islice(found, query.limit)]
    if more and query.limit and partial.reason is None:
        last = found[query.limit - 1]
        answer.cursor = next_cursor(query, last, now_us, mark_of(query, matching.snapshot, last.stream))


@dataclass(frozen=True, slots=True)
class _First:
    """Takes the first of records behind a cursor, in an order.

    Attributes:
        count: How many.
        cursor: What they come behind, if anything.
        order: The order.
        bytes_max: Of all that are held at once.
    """

    count: int
    cursor: Cursor | None
    order: RowOrder
    bytes_max: int

    def of(self, records: Iterable[tuple[Record, int]]) -> list[Record]:
        """The first of records, each with its bytes.

        Raises:
            PageTooLarge: they are too large to be held.
        """
        cursor, key_of = self.cursor, self.order.of
        end = None if cursor is None else self.order.key(cursor.values, cursor.stream, cursor.number)
        kept: list[tuple[Rank, int, Record]] = []
        last: Rank | None = None  # what does not come before it is not among the first
        held = 0
        for record, size in records:
            key = key_of(record)
            if (end is not None and key <= end) or (last is not None and key >= last):
                continue
            kept.append((key, size, record))
            held += size
            if len(kept) < 2 * self.count + _SPARE and held <= self.bytes_max:
                continue
            kept.sort(key=itemgetter(0))
            del kept[self.count :]
            held = sum(size for _, size, _ in kept)
            if held > self.bytes_max:
                raise PageTooLarge
            if len(kept) == self.count:
                last = kept[-1][0]
        kept.sort(key=itemgetter(0))
        return [record for _, _, record in kept[: self.count]]


_SPARE = 256  # records kept beyond twice the page: sorting pays for many at once


def _too_large(query: Query, bytes_max: int) -> QueryError:
    message = f"the rows of one page have more than {bytes_max} bytes"
    hint = "take a smaller :limit; the cursor gives the next page"
    return QueryError([Mistake("answer-too-large", message, *query.span, hint)])


def _narrowed(query: Query, matching: Matching, cursor: Cursor | None, first: _First) -> list[Record] | None:
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
        found = first.of(records)
        if len(found) > query.limit:
            return found
    return None


def _render(stored: Stored) -> bytes:
    return render(stored.line, format_time(stored.time_us), stored.stream, stored.number)
