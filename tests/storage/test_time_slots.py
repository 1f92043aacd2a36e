"""Records between two times: by slots the same are found as by the column, wherever the bounds lie."""

import itertools
import random

import orjson
import pytest
import tantivy
from hypothesis import given
from hypothesis import strategies as st
from tantivy import Order, Query

from storage import index as ix
from storage.catalog import load_catalog
from storage.combining import but_not
from storage.indexer import Indexer
from storage.paths import DataDirectory
from storage.rewrite import IndexDamaged, compact
from storage.store import Store
from storage.time_slots import SHORT_SHARE, between
from storage.view import fields_are_ours, read_meta
from tests.storage.test_indexer import index as index_all
from tests.storage.test_indexer import numbers, write

S = ix.SLOT_US
SLOTS = (-700, -3, -2, -1, 0, 1, 2, 3, 5, 8, 80, 300)
OFFSETS = (0, 1, S // 2 - 1, S // 2, S // 2 + 1, S - 1)
TIMES = sorted(
    {slot * S + offset for slot, offset in itertools.product(SLOTS, OFFSETS)}
    | {random.Random(7).randrange(-4 * S, 9 * S) for _ in range(400)}
)
WIDE = (TIMES[0] - 10_000 * SHORT_SHARE * S, TIMES[-1] + 10_000 * SHORT_SHARE * S)
"""A span of which any time here is a short part."""

edges = st.one_of(
    st.builds(lambda slot, offset: slot * S + offset, st.sampled_from(SLOTS), st.sampled_from(OFFSETS)),
    st.sampled_from(TIMES),
    st.integers(-4 * S, 90 * S),
)
bounds = st.one_of(st.none(), edges)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """An index of those times: two segments, the second with late and early records in no order."""
    index = ix.create_index(tmp_path_factory.mktemp("slots"))
    writer = index.writer(16 << 20, 1)
    shuffled = random.Random(8).sample(TIMES, len(TIMES))
    for number, time_us in enumerate([*TIMES, *shuffled]):
        slot, offset = divmod(time_us, S)
        fields = {ix.TIMESTAMP: time_us, ix.SLOT: slot, ix.OFFSET: offset, ix.NUMBER: number}
        writer.add_json(orjson.dumps({**fields, ix.ATTRIBUTES: {}}).decode())
        if number == len(TIMES):
            writer.commit()
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return index


def found(index, query):
    hits = index.searcher().search(
        query, limit=5000, count=False, order_by_field=ix.TIMESTAMP, order=Order.Asc
    )
    return [int(time_us) for time_us, _ in hits.hits]


def within(low, high):
    """The times that should be found, each twice."""
    return sorted(2 * [t for t in TIMES if (low is None or low <= t) and (high is None or t < high)])


@given(bounds, bounds)
def test_the_records_between_two_times_are_found(asked, low, high):
    query = between(asked.schema, low, high, WIDE)
    assert found(asked, query) == within(low, high)
    assert asked.searcher().search(query, limit=1, count=True).count == len(within(low, high))
    others = but_not(Query.all_query(), query)
    assert sorted(found(asked, others) + within(low, high)) == within(None, None)


@given(edges, edges, bounds, bounds)
def test_records_outside_of_the_span_that_was_told_are_found(asked, one, other, low, high):
    query = between(asked.schema, low, high, (min(one, other), max(one, other)))
    assert found(asked, query) == within(low, high)


@given(edges)
def test_one_instant_is_found(asked, time_us):
    assert found(asked, between(asked.schema, time_us, time_us + 1, WIDE)) == within(time_us, time_us + 1)


def test_a_short_time_is_looked_up_and_a_long_one_is_not(asked):
    day_us = 288 * S

    def is_looked_up(span):
        return "TermQuery" in repr(between(asked.schema, 0, day_us // 24, span))

    assert is_looked_up((0, day_us * SHORT_SHARE))
    assert not is_looked_up((0, day_us // 24))
    assert not is_looked_up(None)


def older_schema():
    """The fields of an index before there were slots."""
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(ix.TIMESTAMP, fast=True)
    builder.add_unsigned_field(ix.NUMBER, fast=True)
    builder.add_text_field(ix.STREAM, tokenizer_name="raw", index_option="basic", fast=True)
    builder.add_text_field(ix.MESSAGE, tokenizer_name=ix.WORDS_ANALYZER, index_option="position")
    builder.add_json_field(
        ix.ATTRIBUTES, tokenizer_name="raw", index_option="basic", fast=True, expand_dots_enabled=True
    )
    return builder.build()


def test_an_index_of_an_older_klomp_is_asked_and_then_made_anew(tmp_path, monkeypatch):
    data = DataDirectory(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ix, "schema", older_schema)
        patch.setattr("storage.view.FIELDS", tuple(FIELDS_BEFORE))
        write(data, 300, segment_bytes_max=1500)
        index_all(data)
        before = numbers(data)
        snapshot = Store(data).snapshot(["main"])
        times = [address.time_us for address in snapshot.newest(snapshot.queries.all()[0], 300)]
        middle = snapshot.queries.instants(times[200], times[100])[0]
        assert snapshot.count(middle) == 100
    stream = data.stream("main")
    live = load_catalog(stream.catalog).segments
    assert len(live) > 2
    indexer = Indexer(data)
    try:
        indexer.step()
        assert load_catalog(stream.catalog).incomplete
    finally:
        indexer.close()
    index_all(data)
    assert load_catalog(stream.catalog).incomplete is None
    assert numbers(data) == before
    for entry in load_catalog(stream.catalog).segments:
        meta = read_meta(stream.segment(entry.first, entry.generation).index)
        assert fields_are_ours(meta)
    snapshot = Store(data).snapshot(["main"])
    assert snapshot.count(snapshot.queries.instants(times[200], times[100])[0]) == 100


def test_an_index_of_an_older_klomp_is_not_put_together_with_others(tmp_path, monkeypatch):
    data = DataDirectory(tmp_path)
    write(data, 300, segment_bytes_max=1500)
    index_all(data)
    sealed = [entry for entry in load_catalog(data.stream("main").catalog).segments if entry.sealed]
    monkeypatch.setattr("storage.view.FIELDS", ("others",))
    with pytest.raises(IndexDamaged):
        compact(data.stream("main"), sealed)


FIELDS_BEFORE = (ix.TIMESTAMP, ix.NUMBER, ix.STREAM, ix.MESSAGE, ix.ATTRIBUTES)
