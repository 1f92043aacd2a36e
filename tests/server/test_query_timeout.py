"""A query that takes too long is given up, by name, or answers with what it has; and the next one works."""

import itertools

import orjson
import pytest

from dsl.errors import QueryError
from dsl.limits import Limits
from server.engine.asked import Asked
from storage.errors import IndexPanic, QueryAbandoned, QueryTimeout
from storage.stop import Stop
from tests.support.stores import built_store

SLOW = [
    "{:group-by [:message]}",
    '{:where [:contains :message "ell"] :aggregate {:n [:count]}}',
    "{:order-by [[:k :desc] [:n :asc]]}",
    "{:limit 10}",
    '{:where [:contains :message "o 4"] :total true}',
    "{:order-by [[:n :asc]] :limit 3}",
]
RECORDS = [{"n": n, "k": n % 3, "message": f"hello {n}", "timestamp": 1767225600 + n % 7} for n in range(600)]


@pytest.fixture(scope="module")
def store():
    with built_store([("main", RECORDS[:300]), ("main", RECORDS[300:])], segment_bytes_max=9000) as built:
        yield built


def after_checks(number):
    """Time that is up after so many looks at the clock, the first of which starts it."""
    ticks = itertools.count()
    asked = Asked(Stop(lambda: float(next(ticks))))
    return asked, f':timeout "{number}s"'


def with_keys(text, keys):
    return f"{text[:-1]} {keys}}}"


@pytest.mark.parametrize("text", SLOW)
def test_a_query_without_time_left_is_given_up(store, text):
    want = store.engine.query(text).rows
    given_up = 0
    for number in range(1, 12):
        asked, timeout = after_checks(number)
        try:
            answer = store.engine.query(with_keys(text, timeout), asked=asked)
        except QueryTimeout:
            given_up += 1
        else:
            assert answer.rows == want  # there was time for all of it
            assert answer.complete
    assert given_up
    assert store.engine.query(text).rows == want


def test_the_time_of_a_query_that_says_none_is_the_setting(store):
    asked, _ = after_checks(1)
    store.engine.timeout_s = 1.0
    try:
        with pytest.raises(QueryTimeout):
            store.engine.query(SLOW[1], asked=asked)
    finally:
        store.engine.timeout_s = None


def plain(rows):
    return [orjson.loads(row) for row in rows]


@pytest.mark.parametrize("text", SLOW)
def test_a_partial_answer_has_some_of_the_rows_and_says_so(store, text):
    whole = store.engine.query(text)
    cut = 0
    for number in range(1, 12):
        asked, timeout = after_checks(number)
        answer = store.engine.query(with_keys(text, f"{timeout} :on-timeout :partial"), asked=asked)
        assert asked.fallback is not None
        assert not asked.fallback.complete
        if answer.complete:
            assert answer.rows == whole.rows
            assert not answer.warnings
            continue
        cut += 1
        (warning,) = answer.warnings
        assert warning["code"] == "out-of-time"
        assert answer.total is None
        if "order-by" in text:
            assert answer.cursor is None
            assert len(answer.rows) <= len(whole.rows)
        elif answer.groups is None:
            assert plain(answer.rows) == plain(whole.rows)[: len(answer.rows)]
    assert cut


@pytest.mark.parametrize("number", [8, 20, 50])
def test_pages_cut_short_lead_on_to_all_of_it(store, number):
    text = '{:where [:contains :message "o 4"] :limit 20}'
    want = plain(store.engine.query('{:where [:contains :message "o 4"] :limit 1000}').rows)
    found, cursor, pages = [], None, 0
    while True:
        asked, timeout = after_checks(number)
        keys = f"{timeout} :on-timeout :partial" + (f' :after "{cursor}"' if cursor else "")
        answer = store.engine.query(with_keys(text, keys), asked=asked)
        found += plain(answer.rows)
        pages += 1
        assert pages < 600
        if answer.complete and answer.cursor is None:
            break
        assert answer.cursor != cursor or answer.rows
        cursor = answer.cursor
    assert found == want


def test_a_query_that_nobody_waits_for_stops(store):
    asked = Asked()
    asked.stop.abandon()
    with pytest.raises(QueryAbandoned):
        store.engine.query('{:where [:contains :message "ell"] :on-timeout :partial}', asked=asked)


def test_a_mistake_that_shows_only_at_run_time_has_its_place(store):
    text = "{:from :main\n :group-by [:n]}"
    store.engine.limits = Limits(groups_max=3)
    try:
        with pytest.raises(QueryError) as caught:
            store.engine.query(text)
    finally:
        store.engine.limits = Limits()
    assert " 2 |  :group-by [:n]}" in caught.value.render()


@pytest.mark.parametrize(
    "text",
    [
        "{:limit 500}",
        "{:order-by [[:message :asc]] :limit 500}",
        '{:where [:contains :message "ell"] :limit 500}',
        "{:group-by [:message]}",
        '{:group-by [:k] :aggregate {:n [:count-distinct :message]} :where [:contains :message "ell"]}',
        '{:aggregate {:n [:percentile :n 50]} :where [:contains :message "ell"]}',
    ],
)
def test_what_a_query_may_hold_is_bounded(store, text):
    whole = store.engine.query(text).rows
    store.engine.limits = Limits(held_bytes_max=9000)
    try:
        with pytest.raises(QueryError) as caught:
            store.engine.query(text)
        assert [one.code for one in caught.value.mistakes] == ["answer-too-large"]
        assert len(store.engine.query("{:limit 3}").rows) == 3
        # What repeats is held once, however many records there are.
        few = '{:aggregate {:n [:count-distinct :k]} :where [:contains :message "ell"]}'
        assert plain(store.engine.query(few).rows) == [{"n": 3}]
    finally:
        store.engine.limits = Limits()
    assert store.engine.query(text).rows == whole


class PanicException(BaseException):
    """What the index engine raises when it panics; its own has the same name, and is no Exception either."""


class Panicking:
    """A searcher, or an index, of which one method panics."""

    def __init__(self, real, method):
        self._real, self._method = real, method

    def __getattr__(self, name):
        if name != self._method:
            return getattr(self._real, name)

        def panic(*_, **__):
            raise PanicException("index out of bounds")

        return panic


PANICS = [
    ("searcher", "search", "{}"),
    ("searcher", "search", '{:where [:contains :message "ell"]}'),
    ("searcher", "aggregate", "{:group-by [:k]}"),
    ("searcher", "aggregate", '{:where [:contains :k "ell"]}'),
    ("searcher", "fast_field_values", "{}"),
    ("index", "parse_query", "{:where [:> :n 5]}"),
    ("index", "reload", "{}"),
    ("index", "searcher", "{}"),
]


@pytest.mark.parametrize(("what", "method", "text"), PANICS)
def test_a_panic_of_the_engine_is_one_failed_query(method, what, text):
    with built_store([("main", RECORDS[:20])]) as built:
        want = built.engine.query(text).rows
        ((live, view),) = built.store._views.items()
        real = view.index

        class Index(Panicking):
            def searcher(self):
                if what == "index":
                    return self.__getattr__("searcher")()
                return Panicking(real.searcher(), method)

        view.index, view.stamp = Index(real, method if what == "index" else ""), None
        with pytest.raises(IndexPanic, match="out of bounds") as caught:
            built.engine.query(text)
        assert caught.value.hint == "please report it with the query"
        built.store._views[live].index = real
        assert built.engine.query(text).rows == want
