"""Long questions are answered by a process that can be killed: alike, in time, and within its memory."""

import os
import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import storage.stop
from dsl.errors import QueryError
from dsl.limits import DEFAULT
from dsl.parse import parse
from server.apart import Apart, Place
from server.engine import Engine
from server.engine.asked import Asked
from storage.errors import QueryAbandoned, QueryTimeout, UnknownStream
from storage.stop import StepTooLong, Stop
from storage.weight import Scale, weigh
from tests.support.stores import NOW_US, built_store

RECORDS = [
    {"n": n, "k": n % 3, "who": f"w{n}", "message": f"hello {n}", "timestamp": 1767225600 + n % 7}
    for n in range(600)
]
QUESTIONS = [
    "{:limit 5 :total true}",
    '{:where [:contains :message "o 4"] :total true :limit 3}',
    "{:order-by [[:n :desc]] :limit 3 :select [:n :who]}",
    "{:group-by [:k] :aggregate {:n [:count] :p [:percentile :n 50] :w [:count-distinct :who] :l [:last :who]}}",
    '{:group-by [[:bucket :timestamp "1s"]] :aggregate {:v [:values :k]}}',
    "{:where [:= :nowhere 1] :group-by [:k]}",
]


@pytest.fixture(scope="module")
def store():
    with built_store([("main", RECORDS)]) as built:
        yield built


@pytest.fixture(scope="module")
def apart(store):
    made = Apart(Place(store.root, DEFAULT))
    yield made
    made.close()


def asking(text):
    return {"query": parse(text, now_us=NOW_US), "now_us": NOW_US}


@pytest.mark.parametrize("text", QUESTIONS)
def test_an_answer_from_elsewhere_is_the_same(store, apart, text, monkeypatch):
    want = store.engine.query(text, syntax="edn")
    engine = Engine(store.store, lambda: NOW_US, timeout_s=60.0, elsewhere=Noted(apart))
    monkeypatch.setattr(storage.stop, "LONG_SHARE", 0.0)  # every step is too long
    got = engine.query(text)
    assert got.rows == want.rows
    assert {**got.head(), "took_ms": 0} == {**want.head(), "took_ms": 0}
    assert engine._elsewhere.asked == ["ask"]
    explained = engine.explain(text, run=True)
    assert explained["query"] == store.engine.explain(text)["query"]
    assert explained["ran"]["complete"]


class Noted:
    """An elsewhere that notes what is asked there."""

    def __init__(self, real):
        self.real, self.asked = real, []

    def ask(self, name, arguments, asked):
        self.asked.append(name)
        return self.real.ask(name, arguments, asked)


def test_mistakes_from_elsewhere_have_their_place(store, apart, monkeypatch):
    monkeypatch.setattr(storage.stop, "LONG_SHARE", 0.0)
    engine = Engine(store.store, lambda: NOW_US, timeout_s=60.0, elsewhere=apart)
    with pytest.raises(QueryError) as caught:
        engine.query("{:from [:main\n :nowhere]}")
    assert " 2 |  :nowhere" in caught.value.render()
    with pytest.raises(UnknownStream):
        apart.ask("ask", asking("{:from :nowhere}"), Asked())


def test_one_that_does_not_stop_is_killed_and_the_next_one_answered(store, apart):
    apart.ask("ask", asking("{:limit 1}"), Asked())
    (process,) = apart._idle
    os.kill(process.pid, signal.SIGSTOP)  # as a step of the engine: deaf to everything but SIGKILL
    asked = Asked()
    asked.stop.within(0.05)
    with pytest.raises(QueryTimeout):
        apart.ask("ask", asking("{:limit 1}"), asked)
    assert process.exit_code() == -signal.SIGKILL
    assert len(apart.ask("ask", asking("{:limit 1}"), Asked()).rows) == 1
    assert not list((store.root / "views").glob(f"{process.pid}.*"))


def test_one_that_nobody_waits_for_is_killed(store, apart):
    apart.ask("ask", asking("{:limit 1}"), Asked())
    (process,) = apart._idle
    os.kill(process.pid, signal.SIGSTOP)
    asked = Asked()
    threading.Timer(0.05, asked.stop.abandon).start()
    with pytest.raises(QueryAbandoned):
        apart.ask("ask", asking("{:limit 1}"), asked)
    assert process.exit_code() == -signal.SIGKILL


@pytest.fixture(scope="module")
def many():
    """Records of which the sketches want some 50 MB."""
    records = [{"n": n, "m": -n, "who": f"w{n}", "timestamp": 1767225600} for n in range(6000)]
    with built_store([("main", records)]) as built:
        yield built


@pytest.mark.parametrize("mebibytes", [4, 16])
def test_one_that_wants_too_much_memory_is_refused_by_name(many, mebibytes):
    small = Apart(Place(many.root, DEFAULT, bytes_max=mebibytes << 20))
    try:
        text = "{:group-by [:who :n] :aggregate {:p [:percentile :n 50] :q [:percentile :m 60]}}"
        for _ in range(2):
            with pytest.raises(QueryError) as caught:
                small.ask("ask", asking(text), Asked())
            assert [one.code for one in caught.value.mistakes] == ["answer-too-large"]
    finally:
        small.close()


def test_a_process_ends_when_nobody_can_ask_it_any_more(store):
    alone = Apart(Place(store.root, DEFAULT))
    alone.ask("ask", asking("{:limit 1}"), Asked())
    (process,) = alone._idle
    process._connection.close()
    assert process.exit_code() == 0


def test_one_that_ended_meanwhile_is_replaced(store, apart):
    apart.ask("ask", asking("{:limit 1}"), Asked())
    (process,) = apart._idle
    os.kill(process.pid, signal.SIGKILL)
    process.exit_code()
    assert len(apart.ask("ask", asking("{:limit 1}"), Asked()).rows) == 1


def test_a_step_is_only_too_long_where_somebody_else_can_take_it():
    stop = Stop(lambda: 100.0)
    stop.begin(1e9, 1e18)  # nobody says how long it may take
    stop.within(10.0)
    stop.begin(1e9, 1e18)  # nobody else is there
    stop.alone_bytes_max = 1000
    stop.begin(4.0, 1000)
    with pytest.raises(StepTooLong):
        stop.begin(6.0)
    with pytest.raises(StepTooLong):
        stop.begin(0.0, 1001)


leaves = st.sampled_from(
    [
        {"sum": {"field": "n"}},
        {"percentiles": {"field": "n"}},
        {"cardinality": {"field": "attributes.who"}},
        {"terms": {"field": "attributes.who"}},
        {"top_hits": {"size": 1}},
    ]
)
levels = st.sampled_from(
    [
        {"terms": {"field": "attributes.who"}},
        {"terms": {"field": "n"}},
        {"histogram": {"field": "timestamp", "interval": 1000}},
        {"histogram": {"field": "n", "interval": 5.0}},
    ]
)
questions = st.recursive(
    leaves.map(lambda leaf: {"a": leaf}),
    lambda inner: st.tuples(levels, inner).map(lambda both: {"g": {**both[0], "aggs": both[1]}}),
    max_leaves=4,
)


@given(questions, levels, st.integers(1, 10**7), st.integers(1, 10**7))
def test_more_records_and_more_levels_weigh_more(question, level, records, more):
    def of(asked, count):
        return weigh(asked, Scale(count, lambda field: count // 2 if "who" in field else 0, 10**9))

    one = of(question, records)
    assert min(one) > 0
    assert all(a <= b for a, b in zip(one, of(question, records + more), strict=True))
    nested = of({"g": {**level, "aggs": question}}, records)
    assert all(a <= b for a, b in zip(one, nested, strict=True))


def test_what_took_longest_is_taken_for_long():
    strings = {"attributes.trace_id": 1_000_000, "attributes.service": 30}
    scale = Scale(1_000_000, lambda field: strings.get(field, 0), 7 * 86_400 * 10**6)
    listed = {"terms": {"field": "attributes.trace_id"}}
    hours = {"histogram": {"field": "timestamp", "interval": 3_600_000_000}, "aggs": {"n": listed}}
    nested = {"g": {"terms": {"field": "attributes.service"}, "aggs": {"h": hours}}}
    assert weigh(nested, scale).seconds > 5
    plain = {"g": {"terms": {"field": "attributes.service"}, "aggs": {"p": {"percentiles": {"field": "n"}}}}}
    assert weigh(plain, scale).seconds < 0.5
