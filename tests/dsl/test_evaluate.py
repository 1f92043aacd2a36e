"""Whole answers: rows in order, pages, what rows show, groups and their aggregates."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import NOW_US, analyse, records, rows

from dsl.aggregates import AGGREGATES
from dsl.aggregates.base import tidy
from dsl.aggregates.count_distinct import CountDistinct
from dsl.aggregates.percentile import Percentile
from dsl.ast import Query
from dsl.cursor import BadCursor, Cursor, decode, encode
from dsl.errors import QueryError
from dsl.evaluate import EvaluatedAnswer, evaluate, project
from dsl.limits import Limits
from dsl.order import Reversed, RowOrder
from dsl.parse import parse
from dsl.record import Record

MINUTE = 60_000_000


def record(number: int, fields: dict[str, Any], minute: int = 0, stream: str = "main") -> Record:
    return Record(NOW_US + minute * MINUTE, stream, number, fields)


def ask(text: str, *found: Record, limits: Limits | None = None) -> EvaluatedAnswer:
    return evaluate(parse(text, now_us=NOW_US), found, NOW_US, analyse, limits or Limits())


def numbers(text: str, *found: Record) -> list[tuple[str, int]]:
    return [(row["_stream"], row["_number"]) for row in ask(text, *found).rows]


def test_rows_are_whole_records_with_time_and_address() -> None:
    answer = ask("{}", record(7, {"level": "error", "http": {"status": 500}}))
    assert answer.rows == [
        {
            "timestamp": "2026-01-02T03:04:05.678901Z",
            "level": "error",
            "http": {"status": 500},
            "_stream": "main",
            "_number": 7,
        }
    ]
    assert answer.total is None
    assert answer.cursor is None
    assert answer.now_us == NOW_US


def test_select_shows_paths_as_they_are_stored() -> None:
    one = record(1, {"http": {"status": 200, "path": None}, "a": [{"b": 1}, {"b": 2}], "c": [3], "": {}})
    select = ("timestamp", "http.status", "http.path", "http", "a.b", "c", "", "nix", "_number")
    assert project(one, select) == {
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "http.status": 200,
        "http": {"status": 200, "path": None},
        "a.b": [1, 2],
        "c": [3],
        "": {},
        "_number": 1,
    }


def test_streams() -> None:
    found = [record(n, {}, stream=name) for n, name in enumerate(("main", "a", "_own"))]
    assert numbers("{}", *found) == [("main", 0)]
    assert numbers("{:from :_own}", *found) == [("_own", 2)]
    assert numbers("{:from [:main :a]}", *found) == [("a", 1), ("main", 0)]
    assert numbers("{:from :*}", *found) == [("a", 1), ("main", 0)]


def test_time_is_half_open() -> None:
    found = [record(minute + 2, {}, minute) for minute in (-2, -1, 0)]
    assert numbers('{:time {:last "1m"}}', *found) == [("main", 1)]
    assert numbers('{:time {:since "now-1m"}}', *found) == [("main", 2), ("main", 1)]
    assert numbers('{:time {:until "now-1m"}}', *found) == [("main", 0)]


def test_the_newest_comes_first_and_equal_times_by_address() -> None:
    found = [record(1, {}), record(2, {}), record(1, {}, stream="a"), record(0, {}, 1)]
    newest = [("main", 0), ("a", 1), ("main", 2), ("main", 1)]
    assert numbers("{:from [:main :a]}", *found) == newest
    assert numbers("{:from [:main :a] :order-by [[:timestamp :asc]]}", *found) == newest[::-1]


def test_order_by_mixed_types_has_the_missing_last_both_ways() -> None:
    values = [None, "b", "a", 2, 1.5, True, False, [9, -1], {}]
    found = [record(n, {} if value is None else {"v": value}) for n, value in enumerate(values)]
    rising = [n for _, n in numbers("{:order-by [:v]}", *found)]
    assert rising == [6, 5, 7, 4, 3, 2, 1, 0, 8]
    falling = [n for _, n in numbers("{:order-by [[:v :desc]]}", *found)]
    assert falling == [1, 2, 7, 3, 4, 5, 6, 8, 0]


def test_order_by_several_fields() -> None:
    found = [record(n, {"a": n % 2, "b": str(n)}) for n in range(4)]
    assert [n for _, n in numbers("{:order-by [[:a :desc] [:b :asc]]}", *found)] == [1, 3, 0, 2]


def test_a_reversed_value_sorts_the_other_way_round() -> None:
    assert Reversed("b") < Reversed("a")
    assert Reversed("a") == Reversed("a")
    assert Reversed("a") != "a"
    assert hash(Reversed("a")) == hash(Reversed("a"))


def test_total_counts_all_whatever_the_page() -> None:
    found = [record(n, {}) for n in range(5)]
    answer = ask("{:limit 0 :total true}", *found)
    assert (answer.rows, answer.total, answer.cursor) == ([], 5, None)
    first = ask("{:limit 2 :total true}", *found)
    assert first.total == 5
    second = ask(f'{{:limit 2 :total true :after "{first.cursor}"}}', *found)
    assert second.total == 5


@settings(max_examples=100)
@given(
    rows, st.lists(records, max_size=12, unique_by=lambda one: (one.stream, one.number)), st.integers(1, 4)
)
def test_the_pages_of_a_query_are_its_rows(query: Query, found: list[Record], size: int) -> None:
    whole = evaluate(query.model_copy(update={"limit": 10_000}), found, NOW_US, analyse)
    seen: list[dict[str, Any]] = []
    after = None
    for _ in range(len(found) + 1):
        page = evaluate(query.model_copy(update={"limit": size, "after": after}), found, NOW_US, analyse)
        seen.extend(page.rows)
        after = page.cursor
        if after is None:
            break
    assert seen == whole.rows


def test_later_pages_keep_the_now_of_the_first() -> None:
    query = parse('{:time {:last "1h"} :limit 1}')
    found = [record(n, {}, -n - 1) for n in range(3)]
    first = evaluate(query, found, NOW_US, analyse)
    second = evaluate(
        query.model_copy(update={"after": first.cursor}), found, NOW_US + 10 * 3600 * 10**6, analyse
    )
    assert second.now_us == NOW_US
    assert [row["_number"] for row in second.rows] == [1]


def test_a_cursor_reads_back() -> None:
    query = parse("{:order-by [[:a :asc] [:b :asc]]}")
    cursor = Cursor(NOW_US, (None, "x"), "main", 2**40)
    assert decode(encode(query, cursor), query) == cursor


@pytest.mark.parametrize("text", ["", "x", "====", "W10", "bnVsbA", "ü", "WzEsMSwxLDEsMV0", "W" * 1000])
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor) as caught:
        decode(text, parse("{}"))
    assert caught.value.code == "bad-cursor"


def test_a_cursor_of_another_query() -> None:
    text = encode(parse("{:where {:a 1}}"), Cursor(NOW_US, (5,), "main", 1))
    parse(f'{{:after "{text}" :where [:= :a 1] :limit 5}}')
    with pytest.raises(QueryError) as caught:
        parse(f'{{:after "{text}" :where [:= :a 1.0]}}')
    assert caught.value.mistakes[0].code == "cursor-of-another-query"


def test_the_values_of_a_cursor_are_in_its_order() -> None:
    query = parse("{:order-by [[:v :asc]]}")
    order = RowOrder(query.order_by)
    one = record(3, {"v": [5, 2, "x"]})
    assert order.values(one) == (2,)
    assert order.of(one) == order.key((2,), "main", 3)


# Groups


def test_group_by_alone_counts() -> None:
    found = [
        record(n, {"s": value})
        for n, value in enumerate(["b", "a", "b", 1, 1.0, True, None, ["a", "b", "a"], []])
    ]
    assert ask("{:group-by [:s] :total true}", *found).rows == [
        {"s": True, "count": 1},
        {"s": 1, "count": 2},
        {"s": "a", "count": 2},
        {"s": "b", "count": 3},
        {"s": None, "count": 2},
    ]
    assert ask("{:group-by [:s] :total true :limit 2}", *found).total == 5


def test_several_keys_make_every_combination() -> None:
    answer = ask("{:group-by [:a :b]}", record(1, {"a": [1, 2], "b": ["x", "y"]}), record(2, {"a": 1}))
    assert [(row["a"], row["b"], row["count"]) for row in answer.rows] == [
        (1, "x", 1),
        (1, "y", 1),
        (1, None, 1),
        (2, "x", 1),
        (2, "y", 1),
    ]


def test_aggregates() -> None:
    values = [3, 1.5, "x", True, None, [4, 8], 3]
    found = [record(n, {"v": value, "s": n}, n) for n, value in enumerate(values)]
    text = """{:aggregate {:n [:count] :some [:count [:< :s 3]] :sum [:sum :v]
               :avg [:avg :v] :min [:min :v] :max [:max :v]
               :p50 [:percentile :v 50] :p0 [:percentile :v 0] :p100 [:percentile :v 100] :d [:count-distinct :v]
               :first [:min :timestamp] :part [:sum :v {:s [0 1]}]}}"""
    assert ask(text, *found).rows == [
        {
            "n": 7,
            "some": 3,
            "sum": 19.5,
            "avg": 3.9,
            "min": 1.5,
            "max": 8,
            "p50": 3.0,
            "p0": 1.5,
            "p100": 8.0,
            "d": 6,
            "first": "2026-01-02T03:04:05.678901Z",
            "part": 4.5,
        }
    ]


def test_aggregates_of_nothing() -> None:
    text = """{:aggregate {:n [:count] :sum [:sum :v] :avg [:avg :v] :min [:min :v] :max [:max :timestamp]
               :p50 [:percentile :v 50] :d [:count-distinct :v]}}"""
    nothing = {"n": 0, "sum": 0, "avg": None, "min": None, "max": None, "p50": None, "d": 0}
    assert ask(text).rows == [nothing]


def test_sums_of_whole_numbers_are_exact() -> None:
    found = [record(n, {"v": 2**62}) for n in range(3)]
    assert ask("{:aggregate {:s [:sum :v]}}", *found).rows == [{"s": 3 * 2**62}]
    huge = [record(n, {"v": 1.7e308}) for n in range(3)]
    assert ask("{:aggregate {:s [:sum :v] :a [:avg :v]}}", *huge).rows[0]["s"] == float("inf")


def test_groups_are_ordered_by_names_then_keys() -> None:
    found = [record(n, {"s": "abcab"[n], "v": n}) for n in range(5)]
    by = "{:group-by [:s] :aggregate {:n [:count] :m [:max :v]} :order-by "
    assert [row["s"] for row in ask(by + "[[:n :desc]]}", *found).rows] == ["a", "b", "c"]
    assert [row["s"] for row in ask(by + "[[:n :desc] [:m :desc]]}", *found).rows] == ["b", "a", "c"]
    assert [row["s"] for row in ask(by + "[[:s :desc]] :limit 2}", *found).rows] == ["c", "b"]


def test_buckets_of_time_are_filled_over_the_range() -> None:
    found = [record(1, {}, -3), record(2, {}, -3)]
    rows = ask(
        '{:time {:last "6m"} :group-by [[:bucket :timestamp "2m"]] :aggregate {:n [:count] :a [:avg :v]}}',
        *found,
    ).rows
    assert [(row["timestamp"][11:16], row["n"], row["a"]) for row in rows] == [
        ("02:58", 0, None),
        ("03:00", 2, None),
        ("03:02", 0, None),
        ("03:04", 0, None),
    ]


def test_buckets_of_time_without_a_range_are_filled_between_those_found() -> None:
    found = [record(1, {}, -9), record(2, {}, -3)]
    rows = ask('{:group-by [[:bucket :timestamp "2m"]] :order-by [[:timestamp :desc]]}', *found).rows
    assert [(row["timestamp"][11:16], row["count"]) for row in rows] == [
        ("03:00", 1),
        ("02:58", 0),
        ("02:56", 0),
        ("02:54", 1),
    ]
    assert ask('{:group-by [[:bucket :timestamp "2m"]]}').rows == []


def test_buckets_beside_another_key_are_not_filled() -> None:
    found = [record(1, {"s": 1}, -9), record(2, {"s": 1}, -3)]
    assert len(ask('{:group-by [:s [:bucket :timestamp "2m"]] :time {:last "1h"}}', *found).rows) == 2


def test_buckets_of_time_begin_where_their_offset_says() -> None:
    one = record(1, {})
    day = '{{:group-by [[:bucket :timestamp "{}" {{:offset "{}"}}]]}}'
    assert ask(day.format("1d", "6h"), one).rows[0]["timestamp"] == "2026-01-01T06:00:00.000000Z"
    assert ask(day.format("1d", "0s"), one).rows[0]["timestamp"] == "2026-01-02T00:00:00.000000Z"
    assert ask(day.format("1w", "0s"), one).rows[0]["timestamp"] == "2025-12-29T00:00:00.000000Z"
    assert ask(day.format("1w", "1d"), one).rows[0]["timestamp"] == "2025-12-30T00:00:00.000000Z"
    assert ask(day.format("1w", "8d"), one).rows[0]["timestamp"] == "2025-12-30T00:00:00.000000Z"


def test_buckets_of_numbers() -> None:
    values = [0, 49.9, 50, -1, "x", [120, 130], None]
    found = [record(n, {"v": value}) for n, value in enumerate(values)]
    rows = ask("{:group-by [[:bucket :v 50]]}", *found).rows
    assert [(row["v"], row["count"]) for row in rows] == [(-50, 1), (0, 2), (50, 1), (100, 1), (None, 2)]
    rows = ask(
        "{:group-by [[:bucket :v 0.5 {:offset 0.25}]]}", record(1, {"v": 1}), record(2, {"v": 1e308})
    ).rows
    assert [row["v"] for row in rows] == [0.75, 1e308]


def test_groups_are_bounded() -> None:
    found = [record(n, {"v": n}) for n in range(5)]
    assert len(ask("{:group-by [:v]}", *found, limits=Limits(groups_max=5)).rows) == 5
    for text in ("{:group-by [:v]}", '{:time {:last "1h"} :group-by [[:bucket :timestamp "1m"]]}'):
        with pytest.raises(QueryError) as caught:
            ask(text, *found, limits=Limits(groups_max=4))
        assert [mistake.code for mistake in caught.value.mistakes] == ["too-many-groups"]
        assert caught.value.mistakes[0].start > 0


def test_a_bounded_range_is_not_walked_when_it_has_too_many_buckets() -> None:
    with pytest.raises(QueryError) as caught:
        ask('{:time {:since "0001-01-01" :until "now"} :group-by [[:bucket :timestamp "1ms"]]}')
    assert "larger bucket" in str(caught.value.mistakes[0].hint)


# What the index says of aggregates


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_aggregate_that_the_index_has_names_its_column(name: str) -> None:
    query = parse(f'{{:time {{:last "1h"}} :aggregate {{:x {AGGREGATES[name].example}}}}}')
    native = query.measured[0][1].native("col")
    if name in {"count", "rate", "first", "last", "top", "values"}:
        assert native is None
    else:
        assert native is not None
        assert [asked["field"] for asked in native.values()] == ["col"]


def test_answers_of_the_index_are_read() -> None:
    def read(text: str, result: dict[str, Any]) -> Any:
        query = parse(f'{{:time {{:last "1h"}} :aggregate {{:x {text}}}}}')
        return query.measured[0][1].read(result)

    nan = float("nan")
    assert read("[:count]", {"doc_count": 5}) == 5
    assert read("[:sum :a]", {"sum": 5.0}) == 5
    assert type(read("[:sum :a]", {"sum": 5.0})) is int
    assert read("[:sum :a]", {"sum": None}) == 0
    assert read("[:stddev :a]", {"std_deviation_population": 1.5}) == 1.5
    assert read("[:stddev :a]", {"std_deviation_population": float("inf")}) is None
    assert read("[:rate]", {"doc_count": 5}) == 5
    assert read("[:avg :a]", {"value": None}) is None
    assert read("[:min :a]", {"value": nan}) is None
    assert read("[:max :a]", {"value": 1.5}) == 1.5
    assert read("[:count-distinct :a]", {"value": 4.9}) == 5
    assert read("[:percentile :a 95]", {"values": {"95.0": 7.5}}) == 7.5
    assert read("[:percentile :a 95]", {"values": [{"key": 95.0, "value": nan}]}) is None


def test_what_is_approximate_says_so() -> None:
    assert Percentile.approximation
    assert CountDistinct.approximation
    assert parse("{:aggregate {:n [:count]}}").measured[0][1].approximation is None


def test_whole_floats_are_shown_whole() -> None:
    assert tidy(5.0) == 5
    assert type(tidy(5.0)) is int
    assert type(tidy(2.0**60)) is float
    assert tidy(float("inf")) == float("inf")


def test_long_strings_are_ordered_by_their_beginning() -> None:
    found = [record(n, {"v": "x" * 600 + "ba"[n]}) for n in range(2)]
    assert [n for _, n in numbers("{:order-by [:v]}", *found)] == [0, 1]
    assert len(str(ask("{:order-by [:v] :limit 1}", *found).cursor)) < 1000


def test_a_forged_cursor_without_its_values_is_refused() -> None:
    query = parse("{:order-by [:a :b]}")
    with pytest.raises(BadCursor):
        decode(encode(query, Cursor(NOW_US, (1,), "main", 1)), query)


def test_a_later_page_is_not_refused_for_a_time_that_has_passed() -> None:
    text = '{:time {:since "now-1h" :until "2026-01-02T04:00:00Z"}'
    first = encode(parse(text + "}"), Cursor(NOW_US, (NOW_US,), "main", 1))
    parse(f'{text} :after "{first}"}}', now_us=NOW_US + 10**12)
