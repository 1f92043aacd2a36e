"""The choice of what to put together: however segments come, few remain, and none is rewritten often."""

import math

from hypothesis import given
from hypothesis import strategies as st

from storage.catalog import SegmentEntry
from storage.compaction import FANOUT, SEGMENT_BYTES_LEAST, SEGMENT_BYTES_MOST, choose

SIZES = st.lists(st.integers(1, 200 << 20), max_size=120)


def entry(first, size, span=(0, 1)):
    return SegmentEntry(
        first=first, until=first + 1, data_bytes=size, min_us=span[0], max_us=span[1], sealed=True
    )


def settle(sizes):
    """Segments as they come, put together whenever that is worth it; and how often each byte was rewritten at most."""
    live, rewritten = [], 0
    for n, size in enumerate(sizes):
        live.append(entry(n, size))
        while window := choose(live):
            at = live.index(window[0])
            total = sum(e.data_bytes for e in window)
            rewritten += total
            live[at : at + len(window)] = [entry(window[0].first, total)]
    return live, rewritten


@given(SIZES)
def test_few_segments_remain_and_little_is_rewritten(sizes):
    live, rewritten = settle(sizes)
    counted = [max(size, SEGMENT_BYTES_LEAST) for size in sizes]
    halvings = math.log2(max(sum(counted) / SEGMENT_BYTES_LEAST, 1)) + 2
    assert len(live) <= (FANOUT - 1) * halvings
    assert rewritten <= sum(counted) * halvings
    assert [e.first for e in live] == sorted(e.first for e in live)
    assert sum(e.data_bytes for e in live) == sum(sizes)


def test_nothing_is_made_too_large_or_too_long():
    large = [entry(n, SEGMENT_BYTES_MOST // 3) for n in range(4)]
    assert not choose(large)
    days = [entry(n, 1 << 20, (n * 86_400, (n + 1) * 86_400)) for n in range(4)]
    assert choose(days, None)
    assert choose(days, 4 * 86_400)
    assert not choose(days, 3 * 86_400)


def test_a_large_one_waits_until_the_small_ones_have_grown():
    assert not choose([entry(0, 100 << 20), *(entry(n, 1 << 20) for n in (1, 2, 3))])
    assert [e.first for e in choose([entry(0, 100 << 20), *(entry(n, 1 << 20) for n in (1, 2, 3, 4))])] == [
        1,
        2,
        3,
        4,
    ]
