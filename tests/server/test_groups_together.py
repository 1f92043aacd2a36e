"""Questions for groups that are asked as several: no answer changes, and no more run at once than there are cores."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.parse import parse
from server.engine import together
from server.engine.metrics import metric_of, questions_of
from storage import side_by_side
from storage import snapshot as snapshots
from storage.errors import QueryAbandoned
from storage.side_by_side import Cores
from storage.stop import Stop
from tests.server.test_groups_oracle import same_groups
from tests.support.stores import BuiltStore, built_store

values = st.sampled_from(["a", "b", "c", "2025-12-31", "", 1, 1.5, True, None])
records = st.fixed_dictionaries(
    {"timestamp": st.integers(0, 300).map(lambda s: f"2025-12-31T23:5{s // 60}:{s % 60:02d}Z")},
    optional={
        "level": values,
        "service": st.lists(values, max_size=2) | values,
        "n": st.floats(-1e6, 1e6) | st.integers(-9, 9),
    },
)
keys = st.sampled_from(
    [
        "level",
        "service",
        ["bucket", "timestamp", "1m"],
        ["bucket", "timestamp", "90s", {"offset": "20s", "as": "t"}],
        ["bucket", "n", 7],
        ["field", "timestamp", {"as": "at"}],
    ]
)
AGGREGATES = {
    "c": ["count"],
    "a": ["avg", "n"],
    "p": ["percentile", "n", 95],
    "q": ["median", "n"],
    "s": ["stddev", "n"],
    "lo": ["min", "n"],
    "hi": ["max", "n"],
    "sum": ["sum", "n"],
    "few": ["count", ["=", "level", "a"]],
    "last": ["last", "n"],
    "d": ["count-distinct", "level"],
}
queries = st.fixed_dictionaries(
    {
        "group-by": st.lists(keys, max_size=3, unique_by=str),
        "aggregate": st.sets(st.sampled_from(sorted(AGGREGATES)), min_size=1).map(
            lambda names: {name: AGGREGATES[name] for name in sorted(names)}
        ),
    },
    optional={
        "time": st.sampled_from(
            [{"since": "2025-12-31T23:51:30Z"}, {"since": "2025-12-31T23:52:00Z", "until": "now+1d"}]
        ),
        "limit": st.integers(1, 5),
    },
)


def all_idle(count: int) -> Cores:
    """Cores that no other process wants."""
    return Cores(count, lambda: count)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(together, "APART_RECORDS_MIN", 0)
    monkeypatch.setattr(together, "SEGMENTS_MANY", 0)
    return monkeypatch


def rows(built: BuiltStore, text: str, cores: Cores) -> tuple[Any, Any]:
    """The rows of a query, and what is said of them, as so many cores are free."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "cores", lambda: cores)
        patch.setattr(snapshots, "cores", lambda: cores)
        answer = built.query(text)
    assert cores.spare == cores.count - 1
    return answer.plain_rows(), answer.approximate


@given(
    st.lists(st.lists(records, min_size=1, max_size=12), min_size=1, max_size=4),
    st.lists(queries, min_size=4),
)
@settings(max_examples=40)
def test_asked_as_several_every_answer_is_what_it_is_asked_as_one(batches: Any, asked: Any) -> None:
    one, three = all_idle(1), all_idle(3)
    with built_store([("main", batch) for batch in batches]) as built, pytest.MonkeyPatch.context() as patch:
        for query in asked:
            text = json.dumps(query)
            patch.setattr(together, "APART_RECORDS_MIN", 10**9)
            want = rows(built, text, one)
            same_groups(built, text)
            patch.setattr(together, "APART_RECORDS_MIN", 0)
            assert rows(built, text, three) == want, text
            patch.setattr(together, "SEGMENTS_MANY", 0)
            assert rows(built, text, one) == want, text


TIMES = [f"2025-12-31T23:{n % 60:02d}:00Z" for n in range(40)]
RECORDS = [{"timestamp": time, "k": "ab"[n % 2], "n": n % 7} for n, time in enumerate(TIMES)]
BOTH = {"group-by": ["k"], "aggregate": {"p": ["percentile", "n", 90], "a": ["avg", "n"]}}
BY_TIME = {"group-by": ["k", ["bucket", "timestamp", "5m"]]}
ADDED = {**BY_TIME, "aggregate": {"a": ["avg", "n"]}}
SAME = {"group-by": ["k"], "aggregate": {"p": ["percentile", "n", 90], "q": ["median", "n"]}}
ONCE = [({"group-by": ["k"]}, 1), (ADDED, 1), (SAME, 1)]


@pytest.mark.parametrize(("query", "asked"), [(BOTH, 2), (BY_TIME, 2), *ONCE], ids=str)
def test_what_pays_is_asked_as_two(apart: pytest.MonkeyPatch, query: Any, asked: int) -> None:
    apart.setattr(together, "cores", lambda: all_idle(2))
    with built_store([("main", RECORDS)]) as built:
        same_groups(built, json.dumps(query))
        work = built.engine.explain(json.dumps({**query, "run": True}), syntax="json")["ran"]["index"]
        assert work["aggregations"] == asked
        narrowed = {**query, "where": [">", "n", 2], "run": True}
        work = built.engine.explain(json.dumps(narrowed), syntax="json")["ran"]["index"]
        assert work["aggregations"] == 1


def test_one_question_does_for_aggregates_that_are_in_one_answer() -> None:
    query = parse(
        """{:aggregate {:p [:percentile :n 95] :a [:avg :n] :q [:median :n] :s [:sum :n] :m [:max :m]
                        :d [:stddev :n] :t [:percentile :n 95]}}"""
    )
    metrics = {place: metric_of(call) for place, (_, call) in enumerate(query.measured)}
    n, m = "attributes.n", "attributes.m"
    assert questions_of(metrics, exact=True) == {
        "0": {"percentiles": {"field": n, "percents": [95.0, 0.0, 100.0, 50.0], "keyed": False}},
        "1": {"stats": {"field": n}},
        "4": {"max": {"field": m}},
        "5": {"extended_stats": {"field": n}},
    }


def test_nothing_is_asked_for_whom_nobody_waits() -> None:
    with built_store([("main", RECORDS)]) as built:
        stop = Stop()
        snapshot = built.engine.store.snapshot(["main"], stop)
        assert snapshot.queries is not None
        question = snapshot.queries.all()[0], {"n": {"value_count": {"field": "attributes.n"}}}
        assert len(snapshot.aggregate_each([question] * 3)) == 3
        stop.abandon()
        with pytest.raises(QueryAbandoned):
            snapshot.aggregate_each([question] * 3)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_no_more_steps_run_than_there_are_cores_and_their_order_is_kept(count: int) -> None:
    cores = all_idle(count)
    running: set[int] = set()
    most = 0
    lock = threading.Lock()
    met = threading.Barrier(count)

    def step(place: int) -> int:
        nonlocal most
        with lock:
            running.add(place)
            most = max(most, len(running))
        if place < count:
            met.wait(timeout=10)  # all that may run at once do
        with lock:
            running.discard(place)
        return place

    steps = [lambda place=place: step(place) for place in (*range(count), 9)]
    assert cores.each(steps) == [*range(count), 9]
    assert most == count
    assert cores.spare == count - 1
    with cores.taken():
        assert cores.spare == max(count - 2, 0)


@pytest.mark.parametrize("bad", [0, 1])
def test_what_a_step_raises_is_raised_and_its_core_is_free_again(bad: int) -> None:
    cores = all_idle(2)
    steps = [lambda place=place: 1 // abs(place - bad) for place in range(2)]
    with pytest.raises(ZeroDivisionError):
        cores.each(steps)
    assert cores.each([int, int]) == [0, 0]
    assert cores.spare == 1


@pytest.mark.parametrize(
    ("said", "idle"),
    [("0.1 0.2 0.3 1/95 77\n", 3), ("9.0 9.1 9.2 9/95 77\n", 0), ("", 4), ("a b c d/e f", 4), (None, 4)],
)
def test_a_core_is_spare_when_no_other_process_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, idle: int
) -> None:
    load = tmp_path / "loadavg"
    if said is not None:
        load.write_text(said)
    monkeypatch.setattr(side_by_side, "LOAD", load)
    monkeypatch.setattr(side_by_side.os, "cpu_count", lambda: 4)
    assert side_by_side.idle() == idle
    assert Cores(2).spare == min(1, idle)
    assert Cores(1).spare == 0
