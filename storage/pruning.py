"""Whether a segment can hold anything that a question is about, from the catalog alone."""

from __future__ import annotations

from typing import NamedTuple

from storage.catalog import SegmentEntry


class Within(NamedTuple):
    """What all records that a question is about lie within; half-open, None is an open end."""

    low_us: int | None = None
    high_us: int | None = None
    first: int | None = None
    until: int | None = None

    def may_be_in(self, entry: SegmentEntry) -> bool:
        """Whether such a record may be in a segment."""
        return overlaps(entry, self.low_us, self.high_us) and holds_numbers(entry, self.first, self.until)


ANYTHING = Within()
"""Every record."""


def overlaps(entry: SegmentEntry, low_us: int | None, high_us: int | None) -> bool:
    """Whether a record of the segment may have a time in [low, high); None is an open end."""
    if entry.min_us is None or entry.max_us is None:
        return False  # nothing of it is indexed yet
    return (low_us is None or low_us <= entry.max_us) and (high_us is None or entry.min_us < high_us)


def holds_numbers(entry: SegmentEntry, low: int | None, until: int | None) -> bool:
    """Whether a record of the segment may have a number in [low, until); None is an open end."""
    return (low is None or low < entry.until) and (until is None or entry.first < until)
