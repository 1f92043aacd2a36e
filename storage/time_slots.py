"""Records between two times: whole slots of five minutes by their terms, and the ends by how far into a slot they are.

    [low, high)  =  the rest of low's slot  |  the slots between, one term each  |  the beginning of high's slot

The engine answers a range of a column by looking at the records one after the other until one is in it, so an hour of
a year would cost a year. A term leads to its records at once. What is compared within a slot is a column that goes up
and down with every slot: about half of all records lie in either half of theirs, so of a bound and its opposite one is
met by the first records that are looked at (`docs/adr/0009-slots-of-time.md`).
"""

from __future__ import annotations

import tantivy
from tantivy import FieldType, Occur, Query

from storage.combining import any_of
from storage.index import OFFSET, SLOT, SLOT_US, TIMESTAMP

SHORT_SHARE = (
    8  # a longer part of all time than one in so many is looked for in the column: most of it would be read
)
TERMS_MAX = 64  # more slots are taken from the list of terms together, for a bit of memory for each record


def between(
    schema: tantivy.Schema, low_us: int | None, high_us: int | None, span: tuple[int, int] | None
) -> Query:
    """Records whose time lies in [low, high).

    Args:
        schema: Of the index that is asked.
        low_us: Microseconds since 1970; None for an open end.
        high_us: The same.
        span: About where the times of all records lie, the first and the last: says what a short time is. There may
            be records outside, which are found too. None where that is not known.
    """
    if low_us is None and high_us is None:
        return Query.all_query()
    if low_us is not None and high_us is not None and low_us >= high_us:
        return Query.empty_query()
    if span is None or not _has_slots(schema):
        return _column(schema, low_us, high_us)
    # Beyond an open end only those lie that came since the span was told.
    first_us, end_us = span[0] // SLOT_US * SLOT_US, (span[1] // SLOT_US + 1) * SLOT_US
    start_us = first_us if low_us is None else low_us
    until_us = end_us if high_us is None else high_us
    covered_us = min(until_us, end_us) - max(start_us, first_us)
    if start_us >= until_us or covered_us * SHORT_SHARE > end_us - first_us:
        return _column(schema, low_us, high_us)
    parts = _by_slots(schema, start_us, until_us)
    if low_us is None:
        parts.append(_column(schema, None, start_us))
    if high_us is None:
        parts.append(_column(schema, until_us, None))
    return any_of(parts)


def _has_slots(schema: tantivy.Schema) -> bool:
    """Whether an index has them; those of an older klomp are made anew, and may be asked until then."""
    try:
        Query.term_query(schema, SLOT, 0)
    except ValueError:
        return False
    return True


def _column(schema: tantivy.Schema, low_us: int | None, high_us: int | None) -> Query:
    return Query.range_query(schema, TIMESTAMP, FieldType.Integer, low_us, high_us, True, high_us is None)


def _by_slots(schema: tantivy.Schema, low_us: int, high_us: int) -> list[Query]:
    """The parts of a time that is not empty."""
    first, start = divmod(low_us, SLOT_US)
    last, end = divmod(high_us - 1, SLOT_US)
    end += 1
    if first == last:
        return [_part(schema, first, start, end)]
    parts = []
    if start:
        parts.append(_part(schema, first, start, SLOT_US))
        first += 1
    if end < SLOT_US:
        parts.append(_part(schema, last, 0, end))
        last -= 1
    if last - first >= TERMS_MAX:
        terms = Query.range_query(
            schema, SLOT, FieldType.Integer, first, last, True, True, use_inverted_index=True
        )
        return [*parts, terms]
    return parts + [Query.term_query(schema, SLOT, slot) for slot in range(first, last + 1)]


def _part(schema: tantivy.Schema, slot: int, start: int, end: int) -> Query:
    """Records of a slot from one offset to another, half-open."""

    def within(low: int, high: int) -> Query:
        return Query.range_query(schema, OFFSET, FieldType.Unsigned, low, high, True, True)

    term = Query.term_query(schema, SLOT, slot)
    clauses = [(Occur.Must, term)]
    if start:
        clauses.append(
            (Occur.Must, within(start, SLOT_US - 1))
            if 2 * start <= SLOT_US
            else (Occur.MustNot, within(0, start - 1))
        )
    if end < SLOT_US:
        clauses.append(
            (Occur.Must, within(0, end - 1))
            if 2 * end >= SLOT_US
            else (Occur.MustNot, within(end, SLOT_US - 1))
        )
    return term if len(clauses) == 1 else Query.boolean_query(clauses)
