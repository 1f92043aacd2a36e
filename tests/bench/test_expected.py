"""Brute force says what the language's own plain evaluator says, in one pass, at every size."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.adapters.klomp import document
from bench.check import check, same
from bench.corpus import time_reader
from bench.expected import Between, expected, snapshots
from bench.questions import questions, survey
from dsl.evaluate import evaluate
from dsl.parse import parse
from dsl.record import Record
from storage.index import analyse
from storage.times import parse_time

NOW_US = 1_800_000_000_000_000
FIRST, LAST = datetime(1990, 1, 1), datetime(2090, 1, 1)  # noqa: DTZ001 - the zone is written behind it


def stored(corpus):
    """The records as the store has them."""
    for number, record in enumerate(corpus.records(), 1):
        us = record.pop("_us")
        del record["timestamp"]
        yield Record(us, "main", number, record | {"level": record["level"].lower()})


def test_every_answer_is_that_of_the_plain_evaluator(corpus):
    asked = questions(survey(corpus.records()))
    kept = list(stored(corpus))
    for question, want in zip(asked, expected(asked, corpus), strict=True):
        for kind in question.kinds:
            assert want[kind], question.label(kind)
            query = parse(document(question, kind, "main"), now_us=NOW_US)
            rows = evaluate(query, kept, NOW_US, analyse).rows
            check(question, kind, orjson.dumps({"rows": rows, "complete": True}), want)


def test_wrong_answers_are_refused(corpus):
    asked = questions(survey(corpus.records()))
    kept = list(stored(corpus))[:-1]  # the newest is missing
    refused = set()
    for question, want in zip(asked, expected(asked, corpus), strict=True):
        for kind in question.kinds:
            query = parse(document(question, kind, "main"), now_us=NOW_US)
            rows = evaluate(query, kept, NOW_US, analyse).rows
            with pytest.raises(AssertionError, match="not complete"):
                check(question, kind, orjson.dumps({"rows": rows, "complete": False}), want)
            try:
                check(question, kind, orjson.dumps({"rows": rows, "complete": True}), want)
            except AssertionError:
                refused.add(question.label(kind))
    assert {"everything, newest 100", "everything, count", "count by level", "per minute by level"} <= refused
    assert "top 10 services with avg and p95" in refused


def test_a_page_whose_times_are_right_but_whose_rows_are_not_is_refused(corpus):
    question = next(q for q in questions(survey(corpus.records())) if q.name == "level and service")
    (want,) = expected([question], corpus)
    stamps = [datetime.fromtimestamp(us / 1e6, UTC).isoformat() for us in want["page"]]
    rows = [{"timestamp": stamp, "level": "info", "service": "edge"} for stamp in stamps]
    with pytest.raises(AssertionError, match="a row does not match"):
        check(question, "page", orjson.dumps({"rows": rows, "complete": True}), want)


def test_one_pass_says_the_answers_of_every_beginning(corpus):
    asked = questions(survey(corpus.first(200).records()))
    found = dict(snapshots(asked, corpus, (200, 350)))
    assert set(found) == {200, 350, 600}
    for size, answers in found.items():
        assert answers == expected(asked, corpus.first(size))


@settings(max_examples=200)
@given(
    st.lists(
        st.datetimes(FIRST, LAST).flatmap(
            lambda when: st.sampled_from(
                [
                    when.isoformat(timespec=spec) + zone
                    for spec in ("seconds", "milliseconds", "microseconds")
                    for zone in ("Z", "+02:00", "")
                ]
            )
        )
    )
)
def test_times_are_read_as_the_store_reads_them(texts):
    read_us = time_reader()
    assert [read_us(text) for text in texts] == [parse_time(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-31T23:59:60Z",
        "2025-03-03T00:00:0٣Z",
        "2025-03-03T00:00:07,500Z",
        "2025-03-03T00:00:07x500Z",
        "soon",
    ],
)
def test_odd_times_are_read_as_the_store_reads_them(text):
    try:
        assert time_reader()(text) == parse_time(text)
    except ValueError:
        assert parse_time(text) is None


def test_numbers_are_compared_as_exactly_as_they_are_known():
    assert same([("a", 2, 0.1 + 0.2, 50.2)], [("a", 2, 0.3, Between(49, 51))])
    assert not same([("a", 2, 0.3, 51.1)], [("a", 2, 0.3, Between(49, 51))])
    assert not same([("a", 2, 0.31, 50)], [("a", 2, 0.3, Between(49, 51))])
    assert not same([], [1])
