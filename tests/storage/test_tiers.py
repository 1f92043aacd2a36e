"""The newest records are the same however few segments are looked through, and no others are opened."""

import itertools
import random
import threading

import pytest
import tantivy
from hypothesis import given
from hypothesis import strategies as st

from storage import snapshot as snapshots
from storage import tiers as choices
from storage.catalog import SegmentEntry
from storage.indexer import Indexer
from storage.log import Rotation, StreamLog
from storage.paths import DataDirectory
from storage.pruning import Within, overlaps
from storage.snapshot import Address
from storage.store import VIEWS_MAX, Store
from storage.tiers import Part, tiers

SEGMENTS, RECORDS = 9, 20


def write(data, stream, rng):
    """Segments whose times overlap, with equal ones among them; their records in the order of a page."""
    log = StreamLog(data.stream(stream), Rotation(records_max=RECORDS))
    records = []
    for segment in range(SEGMENTS):
        base = rng.randrange(SEGMENTS) * 50 if rng.random() < 0.4 else segment * 50
        times = [base + rng.randrange(80) for _ in range(RECORDS)]
        done, outcome = threading.Event(), []
        log.append(
            times,
            [b'{"i":%d}' % i for i in range(RECORDS)],
            lambda x, o=outcome, d=done: (o.append(x), d.set()),
        )
        done.wait(10)
        records += [Address(time_us, outcome[0] + i, stream) for i, time_us in enumerate(times)]
    log.close()
    return records


@pytest.fixture(scope="module", params=[1, 2], ids=["one stream", "two streams"])
def built(request, tmp_path_factory):
    data = DataDirectory(tmp_path_factory.mktemp("tiers"))
    rng = random.Random(request.param)
    names = ["main", "other"][: request.param]
    records = [record for name in names for record in write(data, name, rng)]
    indexer = Indexer(data)
    indexer.catch_up()
    indexer.close()
    records.sort(key=lambda address: (-address.time_us, address.stream, -address.number))
    store = Store(data)
    yield store, names, records
    store.close()


@given(
    st.integers(0, 400),
    st.integers(1, 60),
    st.none() | st.integers(0, 10_000),
    st.booleans(),
    st.none() | st.integers(-10, 500),
    st.none() | st.integers(-10, 500),
    st.booleans(),
)
def test_a_page_is_the_same_however_few_segments_are_looked_through(
    built, tier, limit, after, oldest_first, low, high, all_of_time
):
    store, names, records = built
    order = records[::-1] if oldest_first else records
    start = 0 if after is None else after % len(order) + 1
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(snapshots, "TIER_RECORDS", tier)
        patched.setattr(choices, "WINDOW_RECORDS_LEAST", 50)
        snapshot = store.snapshot(names, within=Within(low, high))
        wanted = [
            record
            for record in order[start:]
            if (low is None or record.time_us >= low) and (high is None or record.time_us < high)
        ]
        # Segments without anything of the time are left out, and only those.
        for name in names:
            listed = {
                entry.first
                for entry in snapshot.catalogs[name].segments
                if entry.min_us is None or overlaps(entry, low, high)
            }
            assert {part.entry.first for part in snapshot.parts if part.stream == name} == listed
        if snapshot.is_empty:
            assert not wanted
            return
        query = (
            snapshot.queries.instants(low, high)[0]
            if (low, high) != (None, None)
            else tantivy.Query.all_query()
        )
        found = snapshot.newest(
            query,
            limit,
            after=order[start - 1] if start else None,
            oldest_first=oldest_first,
            all_of_time=all_of_time,
        )
    assert found == wanted[:limit]


def test_a_view_has_the_index_of_its_segments_alone(built):
    store, names, records = built
    low = sorted(record.time_us for record in records)[len(records) // 2]
    whole, part = store.snapshot(names), store.snapshot(names, within=Within(low))
    assert part.records == sum(one.entry.records for one in part.parts) < whole.records == len(records)


def test_no_more_views_are_open_than_may_be(built):
    store, names, records = built
    for time_us in range(0, 5 * VIEWS_MAX, 5):
        store.snapshot(names, within=Within(time_us))
        store.snapshot(names, within=Within(None, time_us))
    assert len(store._views) <= VIEWS_MAX
    folders = {view.path for view in store._views.values()}
    assert set(store._own_views.folder("x").parent.iterdir()) <= folders
    assert store.snapshot(names).records == len(records)


ENTRIES = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 50), st.integers(0, 30)), max_size=12).map(
    lambda drawn: [
        Part(
            "main",
            SegmentEntry(
                first=i, until=i + 1, records=n, min_us=low if n else None, max_us=low + span if n else None
            ),
        )
        for i, (low, span, n) in enumerate(drawn)
    ]
)


@given(ENTRIES, st.booleans(), st.none() | st.integers(0, 120), st.integers(1, 60))
def test_every_look_is_wider_and_knows_where_the_rest_begins(parts, oldest_first, after_us, first):
    looks = tiers(parts, oldest_first=oldest_first, after_us=after_us, first=first)
    full = [part for part in parts if part.entry.records]
    assert looks[-1].edge_us is None
    for look, wider in itertools.pairwise(looks):
        assert len(look.parts) < len(wider.parts)
        assert list(wider.parts[: len(look.parts)]) == list(look.parts)
        rest = [part.entry for part in looks[-1].parts if part not in look.parts]
        edges = [entry.min_us for entry in rest] if oldest_first else [entry.max_us for entry in rest]
        assert look.edge_us == (min(edges) if oldest_first else max(edges))
    for part in full:
        unwanted = after_us is not None and (
            part.entry.max_us < after_us if oldest_first else part.entry.min_us > after_us
        )
        assert (part in looks[-1].parts) is not unwanted
