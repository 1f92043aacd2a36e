"""Retention: which segments of a stream have to go. A pure choice over its catalog; `storage/drop.py` carries it out.

Whole sealed segments go, the oldest first: records may outlive their retention by as much as their segment spans. The
segment that is written to stays, whatever it holds, until rotation has ended it.

How old a segment is, is told by its records' own time, the latest of them: logs of last year that are sent in today
are a year old. But a time that lies behind the moment in which the segment's last record was written is a clock that
ran ahead, and that moment counts instead: no segment lives for ever because of one record from the future.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storage.catalog import SegmentEntry
from storage.stream_settings import RetentionSettings
from storage.times import US_PER_S

DiskBytes = Callable[[SegmentEntry], int]
"""What a segment takes on disk."""


def decide(
    entries: Sequence[SegmentEntry], retention: RetentionSettings, now_us: int, disk_bytes: DiskBytes
) -> list[SegmentEntry]:
    """The segments to drop, the oldest first.

    Args:
        entries: All segments of the stream.
        retention: What to keep: the first limit that is met decides.
        now_us: The time, microseconds since 1970.
        disk_bytes: What a segment takes on disk; asked only where that is limited.
    """
    going = sorted((entry for entry in entries if _may_go(entry)), key=lambda one: (end_us(one), one.first))
    count = 0
    if retention.age_s is not None:
        oldest_us = now_us - retention.age_s * US_PER_S
        count = sum(end_us(entry) < oldest_us for entry in going)
    if retention.records_most is not None:
        count = max(count, _too_many(entries, going, retention.records_most, lambda one: one.records))
    if retention.bytes_most is not None:
        count = max(count, _too_many(entries, going, retention.bytes_most, disk_bytes))
    return going[:count]


def end_us(entry: SegmentEntry) -> int:
    """When a sealed segment's latest record happened, and in no case later than it was written.

    One whose records were all lost or deleted is as old as its last write.
    """
    written_us = round(entry.written_s * US_PER_S)
    if entry.max_us is None:
        return written_us
    return min(entry.max_us, written_us) if written_us else entry.max_us


def _may_go(entry: SegmentEntry) -> bool:
    """Whether a segment is ended and known: of one that is made anew, the times are not known yet."""
    return entry.sealed and not entry.rebuilding and (entry.max_us is not None or entry.written_s > 0)


def _too_many(
    entries: Sequence[SegmentEntry],
    going: Sequence[SegmentEntry],
    most: int,
    size: Callable[[SegmentEntry], int],
) -> int:
    """How many of those that may go have to, so that the sum over all is at most so much."""
    over = sum(map(size, entries)) - most
    for count, entry in enumerate(going):
        if over <= 0:
            return count
        over -= size(entry)
    return len(going)
