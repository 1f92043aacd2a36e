"""Groups that the index makes by itself: that it does, so that no record is read, and that they are the oracle's."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsl.errors import QueryError
from dsl.table import Table
from server.answer import Answer
from server.encode import edn
from server.engine import grouping
from server.json_table import json_array, json_rows
from tests.server.test_groups_oracle import same_groups
from tests.support.stores import built_store

RECORDS: list[dict[str, Any]] = [
    {
        "timestamp": f"2025-12-31T23:5{n % 10}:{n % 60:02d}Z",
        "service": ["a", "b", "b", "c", "d"][n % 5],
        "n": n * 1.5,
        "message": f"said {n}",
        "ok": n % 3 == 0,
        **({} if n % 7 else {"rare": n}),
    }
    for n in range(60)
]


@pytest.fixture(scope="module")
def store():
    with built_store([("main", RECORDS[:20]), ("main", RECORDS[20:]), ("b", RECORDS[:5])]) as built:
        yield built


NATIVE = [
    {"group-by": [["ranges", "n", [0, 10, 50.5]]]},
    {"group-by": [["ranges", "rare", [10, 20]], "ok"], "aggregate": {"s": ["sum", "n"]}},
    {
        "group-by": [["top", "service", 2]],
        "aggregate": {"m": ["max", "n"], "bad": ["count", ["=", "ok", False]]},
    },
    {"group-by": [["top", "rare", 3], ["bucket", "timestamp", "1m"]]},
    {"group-by": [["bucket", "n", 10]], "aggregate": {"a": ["avg", "n"]}},
    {"group-by": [["bucket", "rare", 7.5, {"offset": 2}], "service"]},
    {"aggregate": {"f": ["first", "message"], "l": ["last", "rare"], "t": ["first", "timestamp"]}},
    {"group-by": ["service"], "aggregate": {"l": ["last", "message", ["=", "ok", True]], "n": ["count"]}},
    {"group-by": ["ok"], "aggregate": {"t": ["top", "service", 2], "v": ["values", "service"]}},
    {"group-by": ["ok"], "aggregate": {"s": ["stddev", "n"]}, "having": [">", "s", 1]},
    {"group-by": [["field", "_stream", {"as": "stream"}]], "from": ["main", "b"]},
]


@pytest.mark.parametrize("query", NATIVE, ids=json.dumps)
def test_the_index_groups_by_itself(store, query, monkeypatch):
    def read(*_: Any) -> Any:
        raise AssertionError("records were read")

    monkeypatch.setattr(grouping, "measure", read)
    same_groups(store, json.dumps(query))


READ = [
    {"group-by": [["bucket", "n", 10, {"offset": -3}]]},
    {"group-by": [["ranges", "message.x", [1]], ["top", "message", 2]]},
    {"from": ["main", "b"], "aggregate": {"l": ["last", "message"]}},
    {"aggregate": {"p": ["percentile", "n", 33], "m": ["median", "n"]}, "exact": True},
    {"group-by": ["ok"], "where": ["contains", "message", "1"], "aggregate": {"r": ["values", "rare"]}},
]


@pytest.mark.parametrize("query", READ, ids=json.dumps)
def test_what_the_index_cannot_group_is_read(store, query):
    text = json.dumps(query)
    answer = store.query(text)
    assert answer.rows == [orjson.dumps(row) for row in store.oracle(text).rows]
    assert answer.approximate == {}


def test_what_is_estimated_says_so_and_how_not_to(store):
    answer = store.query('{"aggregate": {"p": ["percentile", "n", 33], "n": ["count"]}}')
    assert answer.approximate == {"p": "within 1 %; {:exact true} gives the exact value"}


def test_what_is_worked_out_from_an_estimate_says_so_too(store):
    text = """{:aggregate {:x [:/ :w :n] :w [:* 2 :p] :n [:count] :p [:median :n] :y [:+ :n 1]}}"""
    assert store.query(text, syntax="edn").approximate == {
        "p": "within 1 %; {:exact true} gives the exact value",
        "w": "worked out from p; {:exact true} gives the exact value",
        "x": "worked out from w; {:exact true} gives the exact value",
    }


def test_sums_that_cancel_are_exact():
    records = [{"x": 2**53}, {"x": 3}, {"x": -(2**53)}]
    with built_store([("main", records)]) as built:
        assert built.query('{"aggregate": {"s": ["sum", "x"]}}').rows == [b'{"s":3}']


def test_a_number_twice_in_one_record_counts_once():
    with built_store([("main", [{"x": [1, 60, 2]}, {"x": 61}])]) as built:
        rows = built.query('{"group-by": [["bucket", "x", 50]]}').rows
        assert rows == [b'{"x":0,"count":1}', b'{"x":50,"count":2}']


def test_the_values_of_one_group_are_bounded():
    with built_store([("main", [{"x": n} for n in range(1001)])]) as built:
        for where in ('["exists", "x"]', '["contains", "message", ""]'):
            text = f'{{"aggregate": {{"v": ["values", "x"]}}, "where": ["or", {where}, ["exists", "x"]]}}'
            with pytest.raises(QueryError) as caught:
                built.query(text)
            assert [mistake.code for mistake in caught.value.mistakes] == ["too-many-values"]


def test_gaps_that_are_not_filled_are_told():
    with built_store([("main", [{"x": 0}, {"x": 10**9}])]) as built:
        answer = built.query('{"group-by": [["bucket", "x", 1]]}')
        assert [warning["code"] for warning in answer.warnings] == ["gaps-not-filled"]
        assert len(answer.rows) == 2


def test_times_of_groups_are_instants_in_edn(store):
    answer = store.query(
        '{"group-by": [["bucket", "timestamp", "1d", {"as": "day"}]], "aggregate": {"last": ["max", "timestamp"]}}'
    )
    assert answer.times == ["day", "last"]
    text = edn.encode(answer).decode()
    assert text.startswith('{:rows [{:day #inst "2025-12-31T00:00:00.000000Z", :last #inst "2025-12-31T')
    assert answer.head()["times"] == ["day", "last"]


json_values = st.none() | st.booleans() | st.integers(-(2**53), 2**64 - 1) | st.floats() | st.text()


@st.composite
def tables(draw: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    names = draw(st.lists(st.text(), min_size=1, max_size=3, unique=True))
    kinds = [draw(st.sampled_from([json_values, st.text(), st.integers(0, 9)])) for _ in names]
    return names, draw(st.lists(st.tuples(*kinds), max_size=6))


@given(tables())
def test_a_table_as_json_is_that_of_its_rows(table):
    names, rows = table
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in names]
    made = Table(names, columns, frozenset(), len(rows))
    plain = [dict(zip(names, row, strict=True)) for row in rows]
    assert json_array(made) == orjson.dumps(plain)
    assert json_rows(made) == [orjson.dumps(row) for row in plain]
    assert Answer(records=[], now="", groups=made).plain_rows() == made.rows()


@given(st.lists(st.tuples(st.none() | st.integers(0, 3), st.text(max_size=3), st.integers(0, 3))))
def test_what_a_table_shows_for_its_values_is_what_every_format_has(rows):
    columns = [[row[place] for row in rows] for place in (0, 1, 2, 0)]
    shown = {
        "t": {None: None, **{n: f"at {n}" for n in range(4)}},
        "u": {None: None, **dict.fromkeys(range(4), "1,2")},
    }
    made = Table(["t", "s", "n", "u"], columns, frozenset("tu"), len(rows), texts=shown)
    plain = [{"t": shown["t"][t], "s": s, "n": n, "u": shown["u"][t]} for t, s, n in rows]
    assert made.rows() == plain
    assert json_array(made) == orjson.dumps(plain)
    assert json_rows(made) == [orjson.dumps(row) for row in plain]


@pytest.mark.parametrize("far", [10**9, 10**12, 2**63 - 1, 1e25, 1e300, -1e300, 5e-324])
def test_a_number_far_from_all_others_does_not_spoil_their_percentiles(far: float) -> None:
    near = [{"n": [n % 7, 0.5 * (n % 3) - 1]} for n in range(60)]
    with built_store([("main", near), ("main", [{"n": far}])]) as built:
        for percent in (0, 10, 50, 90, 100):
            same_groups(built, json.dumps({"aggregate": {"p": ["percentile", "n", percent]}}))
        # Where it need not be, nothing is read.
        assert bool(built.query('{"aggregate": {"m": ["median", "n"]}}').approximate) == (abs(far) < 10**16)
