"""Which sealed segments are worth putting together: a pure choice, so that their number grows with the logarithm.

Of neighbours, FANOUT are put together when the largest is no larger than the others taken as one. What cannot be put
together any more is, from old to new, at most FANOUT - 1 segments for every halving of size; each record is rewritten
at most once for every doubling of the segment that it is in.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage.catalog import SegmentEntry

FANOUT = 4  # fewer rewrites more often, more leaves more segments
SEGMENT_BYTES_LEAST = (
    1 << 20
)  # smaller ones count as this large: they cost a file handle each whatever their size
SEGMENT_BYTES_MOST = 8 << 30  # a rewrite needs as much free space again, and some minutes
SPAN_SHARE = 8  # with retention by age, no segment is made that spans more than this part of it


def choose(run: Sequence[SegmentEntry], span_us_max: int | None = None) -> Sequence[SegmentEntry]:
    """The neighbours to put together next; none when all is well.

    Args:
        run: Sealed neighbours, in the order of their numbers.
        span_us_max: The longest stretch of time that one segment may span; None is any.
    """
    best: Sequence[SegmentEntry] = ()
    best_bytes = SEGMENT_BYTES_MOST + 1
    for start in range(len(run) - FANOUT + 1):
        window = run[start : start + FANOUT]
        sizes = [max(entry.data_bytes, SEGMENT_BYTES_LEAST) for entry in window]
        total = sum(sizes)
        # The smallest first: it is done soonest and often makes a better neighbour.
        if 2 * max(sizes) <= total < best_bytes and _spans_at_most(window, span_us_max):
            best, best_bytes = window, total
    return best


def _spans_at_most(window: Sequence[SegmentEntry], span_us_max: int | None) -> bool:
    if span_us_max is None:
        return True
    lows = [entry.min_us for entry in window if entry.min_us is not None]
    highs = [entry.max_us for entry in window if entry.max_us is not None]
    return not lows or max(highs) - min(lows) <= span_us_max
