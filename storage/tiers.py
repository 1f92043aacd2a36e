"""How far to look for the newest records: pure choices by what the catalog says of the segments' times.

A page of the newest records is seldom about old ones. So the segments with the newest are looked through first, then
four times as many, and so on, until what is found is newer than all that is left. What a page costs then depends on
how rare the records are that it wants, not on how much history there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from storage.catalog import SegmentEntry

TIER_RECORDS = 2_000_000  # what the first look goes through, in some milliseconds
TIER_GROWTH = 4  # all looks together cost a third more than the last of them

WINDOW_RECORDS_LEAST = 100_000  # of fewer it takes a millisecond to order all
WINDOW_SLACK = 8  # times as much as would do if the records were spread evenly
WINDOW_GROWTH = 32


class Part(NamedTuple):
    """A segment of a stream."""

    stream: str
    entry: SegmentEntry


class Tier(NamedTuple):
    """Segments to look through together.

    Attributes:
        parts: They, from the first tier on.
        edge_us: No record of the other segments comes before this time in the order; None when there are no others.
    """

    parts: Sequence[Part]
    edge_us: int | None


def tiers(
    parts: Sequence[Part], *, oldest_first: bool, after_us: int | None = None, first: int = TIER_RECORDS
) -> list[Tier]:
    """The looks for the newest (or oldest) records, each wider than the one before, the last at all of them.

    Args:
        parts: All segments.
        oldest_first: Whether the oldest records are wanted.
        after_us: Records up to this time of the order are not wanted.
        first: How many records the first look goes through, if the first segment alone does not have more.
    """
    order = [part for part in parts if part.entry.min_us is not None and part.entry.max_us is not None]
    if after_us is not None:
        order = [part for part in order if not _ends_before(part.entry, after_us, oldest_first=oldest_first)]
    order.sort(key=lambda part: _start(part.entry, oldest_first=oldest_first))
    found: list[Tier] = []
    records, bound = 0, first
    for count, part in enumerate(order):
        if count and records + part.entry.records > bound:
            edge = _start(part.entry, oldest_first=oldest_first)
            found.append(Tier(order[:count], edge if oldest_first else -edge))
            bound *= TIER_GROWTH
        records += part.entry.records
    return [*found, Tier(order, None)]


def windows(
    span: tuple[int, int], records: int, apart_us: int, limit: int, *, oldest_first: bool
) -> Iterator[tuple[int, int]]:
    """Stretches of time at the beginning of the order, each longer than the one before, none of them nearly all.

    Ordering a million records by a column takes the engine ten times as long as leaving out those before a time.

    Args:
        span: The first and the last time of the records, both included.
        records: How many there are in all.
        apart_us: How far two of them are apart, on average over all.
        limit: How many are wanted.
        oldest_first: Whether the oldest are wanted first.

    Returns:
        The first and the last time of each, both included.
    """
    low, high = span
    if low >= high:
        return
    length = (apart_us + 1) * WINDOW_SLACK * limit
    while records >= WINDOW_RECORDS_LEAST and 4 * length < high - low:
        yield (low, low + length) if oldest_first else (high - length, high)
        length *= WINDOW_GROWTH


def _start(entry: SegmentEntry, *, oldest_first: bool) -> int:
    """Where a segment begins in the order: smaller is earlier."""
    assert entry.min_us is not None
    assert entry.max_us is not None
    return entry.min_us if oldest_first else -entry.max_us


def _ends_before(entry: SegmentEntry, after_us: int, *, oldest_first: bool) -> bool:
    """Whether all of a segment comes before a time of the order."""
    assert entry.min_us is not None
    assert entry.max_us is not None
    return entry.max_us < after_us if oldest_first else entry.min_us > after_us
