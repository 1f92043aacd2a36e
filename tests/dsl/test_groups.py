"""Groups by hand, as the oracle shares their code: keys, aggregates, arithmetic, what is filtered and ordered."""

import json
from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import NOW_US, analyse

from dsl.errors import QueryError
from dsl.evaluate import evaluate
from dsl.groups import Measured
from dsl.limits import Limits
from dsl.parse import parse
from dsl.printer import to_edn
from dsl.rank import rank
from dsl.record import Record
from dsl.table import finish
from dsl.time import TIME_US_MAX, TIME_US_MIN, format_instant, format_instants

MINUTE_US = 60_000_000


def record(number: int, fields: dict[str, Any], minutes: float = 0, stream: str = "main") -> Record:
    return Record(NOW_US + int(minutes * MINUTE_US), stream, number, fields)


def ask(text: str, *records: Record, limits: Limits | None = None) -> list[dict[str, Any]]:
    bounds = limits or Limits()
    query = parse(text, now_us=NOW_US, limits=bounds)
    return evaluate(query, records, NOW_US, analyse, bounds).rows


def of(field: str, *values: Any) -> list[Record]:
    return [record(n, {} if value is None else {field: value}) for n, value in enumerate(values)]


def codes(text: str, *records: Record, limits: Limits | None = None) -> list[str]:
    with pytest.raises(QueryError) as caught:
        ask(text, *records, limits=limits)
    return [mistake.code for mistake in caught.value.mistakes]


# Keys


def test_ranges_have_their_lower_bound_and_are_in_their_order() -> None:
    found = of("v", -5, 0, 9.5, 10, 100, "x", None, [1, 500], True)
    rows = ask("{:group-by [[:ranges :v [0 10 100]]]}", *found)
    assert [tuple(row.values()) for row in rows] == [
        ("*-0", 1),
        ("0-10", 3),
        ("10-100", 1),
        ("100-*", 2),
        (None, 3),
    ]


def test_every_inner_range_is_shown_where_it_is_the_only_key() -> None:
    text = "{{:group-by [[:ranges :v [0 1 2 3]]{}] :aggregate {{:n [:count] :a [:avg :v]}}}}"
    assert [tuple(row.values()) for row in ask(text.format(""), *of("v", 2.5))] == [
        ("0-1", 0, None),
        ("1-2", 0, None),
        ("2-3", 1, 2.5),
    ]
    assert len(ask(text.format(" :w"), *of("v", 2.5))) == 1


def test_the_most_frequent_values_and_the_others() -> None:
    found = of("v", "b", "b", "a", "a", "c", {"other": 1}, ["b", "d"], None, 1, 1.0, True)
    rows = ask("{:group-by [[:top :v 2]]}", *found)
    assert [tuple(row.values()) for row in rows] == [("b", 3), (1, 2), ({"other": True}, 5), (None, 2)]
    rows = ask("{:group-by [[:top :v 2]] :having [:missing :v.other]}", *found)
    assert [row["v"] for row in rows] == ["b", 1, None]
    assert ask("{:group-by [[:top :v 2]] :having [:exists :v.other]}", *found)[0]["count"] == 5
    assert ask("{:group-by [[:top :v 9]] :having [:exists :v.other]}", *found) == []


def test_a_value_called_other_is_not_the_others() -> None:
    rows = ask("{:group-by [[:top :v 1 {:as :k}]]}", *of("v", "other", "other", "x"))
    assert rows == [{"k": "other", "count": 2}, {"k": {"other": True}, "count": 1}]


def test_frequent_is_said_of_all_records_not_of_each_group() -> None:
    found = [record(n, {"g": g, "v": v}) for n, (g, v) in enumerate([("x", "a"), ("x", "b"), ("y", "b")])]
    rows = ask("{:group-by [:g [:top :v 1]]}", *found)
    assert [(row["g"], row["v"]) for row in rows] == [("x", "b"), ("x", {"other": True}), ("y", "b")]


def test_a_key_can_have_another_name() -> None:
    text = '{:group-by [[:field :v {:as :name}] [:bucket :timestamp "1h" {:as :hour}] :timestamp]}'
    rows = ask(text, record(0, {"v": 1}, 30))
    assert list(rows[0]) == ["name", "hour", "timestamp", "count"]
    assert rows[0]["hour"].endswith(":00:00.000000Z")
    assert parse(text) == parse(text.replace(":field :v", ':field "v"'))


def test_buckets_beside_other_keys_are_filled_where_that_is_asked_for() -> None:
    found = [record(0, {"s": True}, -3), record(1, {"s": 1}, -1)]
    text = '{:time {:last "4m"} :group-by [:s [:bucket :timestamp "2m" {:fill true}]]}'
    rows = ask(text, *found)
    assert [(row["s"], row["count"]) for row in rows] == [(True, 1), (True, 0), (1, 0), (1, 1)] or len(
        rows
    ) == 6
    assert sum(row["count"] for row in rows) == 2
    assert len({(repr(row["s"]), row["timestamp"]) for row in rows}) == len(rows)
    assert codes(text, *found, limits=Limits(groups_max=3)) == ["too-many-groups"]


def test_buckets_of_numbers_are_filled_unless_there_are_too_many() -> None:
    rows = ask("{:group-by [[:bucket :v 0.1]]}", *of("v", 0, 0.35))
    assert [row["count"] for row in rows] == [1, 0, 0, 1]
    assert [row["v"] for row in rows] == [0, 0.1, 0.2, pytest.approx(0.3)]
    assert len(ask("{:group-by [[:bucket :v 1]]}", *of("v", 0, 10**9))) == 2
    assert len(ask("{:group-by [[:bucket :v 1 {:fill false}]]}", *of("v", 0, 5))) == 2
    assert codes("{:group-by [[:bucket :v 1 {:fill true}]]}", *of("v", 0, 10**9)) == ["too-many-groups"]


# Aggregates


def test_first_and_last_go_by_time_then_stream_then_number() -> None:
    found = [
        record(7, {"v": "later"}, 1),
        record(8, {"v": "a"}),
        record(9, {"v": ["b", "c"]}),
        record(3, {"v": "other"}, 0, "zoo"),
        record(9, {}, 5),
    ]
    assert ask("{:from :* :aggregate {:f [:first :v] :l [:last :v]}}", *found) == [
        {"f": "other", "l": "later"}
    ]
    assert ask('{:from :* :aggregate {:l [:last :v [:!= :v "later"]]}}', *found) == [{"l": ["b", "c"]}]
    assert ask("{:aggregate {:f [:first :w] :t [:last :timestamp]}}", found[0]) == [
        {"f": None, "t": format_instant(found[0].timestamp_us)}
    ]


def test_top_and_values_tell_kinds_apart() -> None:
    found = of("v", 1, 1.0, "1", True, ["x", "x", 1], None)
    rows = ask("{:aggregate {:t [:top :v 2] :v [:values :v]}}", *found)
    assert rows == [
        {"t": [{"value": 1, "count": 3}, {"value": True, "count": 1}], "v": [True, 1, "1", "x"]},
    ]
    assert [type(value) for value in rows[0]["v"]] == [bool, int, str, str]
    assert codes("{:aggregate {:v [:values :v]}}", *found, limits=Limits(values_shown_max=3)) == [
        "too-many-values"
    ]


def test_deviation_and_median() -> None:
    rows = ask("{:aggregate {:s [:stddev :v] :m [:median :v]}}", *of("v", 2, 4, 4, 4, 5, 5, 7, 9, "x"))
    assert rows == [{"s": 2.0, "m": 4.0}]
    assert ask("{:aggregate {:s [:stddev :v] :m [:median :v]}}") == [{"s": None, "m": None}]
    assert ask("{:aggregate {:s [:stddev :v]}}", *of("v", 1e300, -1e300)) == [{"s": None}]


def test_a_rate_is_by_the_second_of_its_group() -> None:
    found = [record(n, {}, -n / 10) for n in range(1, 31)]
    assert ask('{:time {:last "1m"} :aggregate {:r [:rate]}}', *found) == [{"r": 10 / 60}]
    rows = ask('{:group-by [[:bucket :timestamp "1m"]] :aggregate {:r [:rate] :n [:count]}}', *found)
    assert [row["r"] for row in rows] == [row["n"] / 60 for row in rows]
    # A bucket that lies half in the range has half the seconds.
    rows = ask('{:time {:last "90s"} :group-by [[:bucket :timestamp "1h"]] :aggregate {:r [:rate]}}', *found)
    assert [row["r"] for row in rows] == [15 / 90]


# Arithmetic


@pytest.mark.parametrize(
    ("formula", "want"),
    [
        ("[:/ :a :b]", 3.5),
        ("[:- :a :b 1]", 4),
        ("[:* [:+ :a 1] [:- :b 4]]", -16),
        ("[:/ :a 0]", None),
        ("[:/ :a [:- :b 2]]", None),
        ("[:+ :a :none]", None),
        ("[:+ :a :text]", None),
        ("[:+ :a :flag]", None),
        ("[:* :big :big]", 2.0**126),
        ("[:* 1e300 1e300 :a]", None),
        ("[:/ :b :a 2]", 2 / 7 / 2),
        ("[:- :end :begin]", 90.0),
        ("[:* 60 [:- :end :begin]]", 5400.0),
    ],
)
def test_arithmetic(formula: str, want: object) -> None:
    found = [
        record(0, {"v": 7, "w": 2, "x": 2**63, "t": "9", "b": True}),
        record(1, {}, 1.5),
    ]
    text = (
        "{:aggregate {:z [:+ :y 0] :y %s :a [:sum :v] :b [:max :w] :none [:min :none] :text [:first :t]"
        " :flag [:first :b] :big [:max :x] :begin [:min :timestamp] :end [:max :timestamp]}}"
    )
    (row,) = ask(text % formula, *found)
    assert row["y"] == row["z"] == want
    assert type(row["y"]) is type(want)
    assert list(row)[:3] == ["z", "y", "a"]


# Which groups, in which order


def test_having_filters_what_is_counted_and_limited() -> None:
    found = of("s", "a", "a", "b", "c", "c", "c", None)
    query = parse("{:group-by [:s] :having [:> :count 1] :order-by [[:count :desc]] :limit 1 :total true}")
    answer = evaluate(query, found, NOW_US, analyse)
    assert answer.rows == [{"s": "c", "count": 3}]
    assert answer.total == 2


@pytest.mark.parametrize(
    ("having", "want"),
    [
        ("[:missing :s]", [None]),
        ('[:in :s #{"a" "c"}]', ["a", "c"]),
        ('{:s "b"}', ["b"]),
        ("[:not [:or [:= :n 1] [:missing :s]]]", ["a", "c"]),
        ("[:between :n 2 3]", ["a", "c"]),
        ('[:match :s "C"]', ["c"]),
        ("[:= :all 3]", ["c"]),
        ('[:contains :* "b"]', ["b"]),
        ("[:and]", ["a", "b", "c", None]),
    ],
)
def test_having_knows_the_whole_language(having: str, want: list[object]) -> None:
    found = [record(n, {"s": s, "v": n}) for n, s in enumerate(["a", "a", "b", "c", "c", "c"])]
    text = "{:group-by [:s] :aggregate {:n [:count] :all [:values :v]} :having %s}"
    assert [row["s"] for row in ask(text % having, *found, record(9, {}))] == want


def test_having_compares_times_and_finds_gaps() -> None:
    found = [record(n, {}, -n) for n in (0.5, 5.5)]
    text = '{:time {:last "6m"} :group-by [[:bucket :timestamp "1m"%s]] :having %s}'
    gaps = ask(text % ("", "[:= :count 0]"), *found)
    assert gaps
    assert {row["count"] for row in gaps} == {0}
    late = ask(text % ("", '[:>= :timestamp "now-3m"]'), *found)
    assert {row["timestamp"] >= format_instant(NOW_US - 3 * MINUTE_US) for row in late} == {True}
    assert (
        len(ask(text % (" {:as :m}", f'[:< :m #inst "{format_instant(NOW_US - 3 * MINUTE_US)}"]'), *found))
        > 1
    )
    counted = "{:group-by [:v] :aggregate {:timestamp [:count] :_number [:min :none]} :having %s}"
    assert len(ask(counted % "[:> :timestamp 0]", *of("v", 1))) == 1
    assert len(ask(counted % "[:missing :_number]", *of("v", 1))) == 1


@pytest.mark.parametrize("name", ["seen", "opening"])
@pytest.mark.parametrize(
    ("having", "want"),
    [
        ('[:< :%s "now-3m"]', ["old"]),
        ('[:between :%s "now-3m" nil]', ["new"]),
        ('[:in :%s #{"now-5m" "now-1m"}]', ["new", "old"]),
        ('{:%s "now-1m"}', ["new"]),
        ('[:>= :%s #inst "2000"]', ["new", "old"]),
    ],
)
def test_having_reads_what_a_time_is_compared_with_as_a_time(name: str, having: str, want: list[str]) -> None:
    found = [record(0, {"s": "old"}, -5), record(1, {"s": "new"}, -1)]
    text = f"{{:group-by [:s] :aggregate {{:seen [:max :timestamp] :opening [:first :timestamp]}} :having {having}}}"
    query = parse(text % name)
    assert parse(to_edn(query)) == query
    assert sorted(row["s"] for row in ask(text % name, *found)) == want


def test_having_says_what_is_no_time() -> None:
    with pytest.raises(QueryError) as caught:
        parse(
            '{:having [:> :seen 5] :group-by [[:bucket :timestamp "1m" {:as :m}]] :aggregate {:seen [:max :timestamp]}}'
        )
    assert [mistake.code for mistake in caught.value.mistakes] == ["bad-time"]
    with pytest.raises(QueryError) as caught:
        parse('{:group-by [[:bucket :timestamp "1m" {:as :m}]] :having [:contains :m "x"]}')
    assert [mistake.message for mistake in caught.value.mistakes] == ["m is a time, not a text"]


column_values = st.lists(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, -2.5, "a", "b", ""]), max_size=12
)


@given(column_values, st.lists(st.sampled_from(["asc", "desc"]), min_size=2, max_size=2))
def test_groups_are_in_order(values: list[Any], ways: list[str]) -> None:
    found = [record(n, {"k": n, "v": value, "w": value}) for n, value in enumerate(values)]
    text = f"{{:group-by [:k] :aggregate {{:v [:first :v]}} :order-by [[:v :{ways[0]}] [:k :{ways[1]}]]}}"

    def compare(one: tuple[int, Any], other: tuple[int, Any]) -> int:
        for place, way in ((1, ways[0]), (0, ways[1])):
            mine, its = (rank(each[place], way == "desc") for each in (one, other))
            if mine != its:
                return -1 if mine < its else 1
        return 0

    want = sorted(enumerate(values), key=cmp_to_key(compare))
    assert [row["k"] for row in ask(text, *found)] == [number for number, _ in want]


def test_a_list_is_ordered_by_its_least_or_greatest_value() -> None:
    found = [record(0, {"k": "x", "v": [1, 9]}), record(1, {"k": "y", "v": [5]}), record(2, {"k": "z"})]
    text = "{:group-by [:k] :aggregate {:v [:values :v]} :order-by [[:v :%s]]}"
    assert [row["k"] for row in ask(text % "asc", *found)] == ["x", "y", "z"]
    assert [row["k"] for row in ask(text % "desc", *found)] == ["x", "y", "z"]


# Bounds


def test_what_groups_hold_is_bounded() -> None:
    found = of("v", *range(100))
    for call in ("[:percentile :v 5]", "[:count-distinct :v]", "[:top :v 5]", "[:avg :v]"):
        text = f"{{:aggregate {{:x {call}}}}}"
        assert codes(text, *found, limits=Limits(held_bytes_max=3000)) == ["answer-too-large"]
        assert ask(text, *found)
    assert codes("{:group-by [[:top :v 5]]}", *found, limits=Limits(held_bytes_max=3000)) == [
        "answer-too-large"
    ]


@given(st.lists(st.integers(-(10**17), 10**17)))
def test_many_instants_are_written_as_one_is(instants: list[int]) -> None:
    held = [min(max(us, TIME_US_MIN), TIME_US_MAX) for us in instants]
    assert format_instants(instants) == [format_instant(us) for us in held]


def test_a_bucket_that_begins_before_the_first_year_is_shown() -> None:
    text = '{:time {:since "0001-01-01"} :group-by [[:bucket :timestamp "366d"]]}'
    assert ask(text, record(0, {}))[0]["timestamp"] == "0001-01-01T00:00:00.000000Z"


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["a", "b", 1, True]), st.integers(0, 3)),
        unique_by=lambda g: (g[0], str(g[1])),
    ),
    st.sampled_from([(0, 1), (1, 0)]),
    st.lists(
        st.tuples(st.sampled_from(["x", "y", "n"]), st.sampled_from(["asc", "desc"])),
        max_size=3,
        unique_by=lambda step: step[0],
    ),
    st.none() | st.integers(1, 4),
)
def test_groups_that_come_in_an_order_are_sorted_as_if_they_came_in_none(
    groups: list[tuple[Any, ...]],
    order: Sequence[int],
    steps: list[tuple[str, str]],
    limit: int | None,
) -> None:
    document = {
        "group-by": ["x", "y"],
        "aggregate": {"n": ["count"]},
        "order-by": steps,
        "limit": limit,
    }
    query = parse(json.dumps({name: value for name, value in document.items() if value}), "json")
    ranked = sorted(groups, key=lambda group: [rank(group[place], descending=False) for place in order])
    columns = [[group[place] for group in ranked] for place in range(3)]
    made = [
        finish(query, Measured(len(ranked), columns[:2], columns[2:], order=known), 0, str.split)
        for known in (order, None)
    ]
    assert made[0] == made[1]
