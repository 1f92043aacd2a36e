"""What is said of a rule that is right and probably not meant."""

from __future__ import annotations

import pytest

from dsl.aggregates import AGGREGATES
from dsl.evaluate import evaluate
from dsl.limits import DEFAULT
from dsl.parse import parse
from dsl.reader import read
from dsl.record import Record
from dsl.table import times_of
from server.alerts.rule import read_rule
from server.alerts.warnings import NUMERIC, warnings_of
from storage.index import analyse

NOW_US = 1_767_225_600_000_000
QUERY = (
    '{:from :app :time {:last "5m"} :group-by [:service]'
    " :aggregate {:n [:count] :seen [:max :timestamp] :who [:first :user] :ratio [:/ :n 2]}}"
)


def warned(when, query=QUERY, keys="", streams=None):
    rule = read_rule(read(f"{{:query {query} :when {when} {keys}}}"), "errors")
    return [f"{one['code']}: {one['message']}; {one['hint']}" for one in warnings_of(rule, streams)]


def test_a_window_shorter_than_the_time_between_two_is_warned_of():
    (told,) = warned("[:> :n 1]", keys=':every "10m"')
    assert told == (
        "window-gap: a window of 5m every 10m leaves records out that no window has; "
        'write :time {:last "10m"} or more'
    )


@pytest.mark.parametrize(
    ("when", "want"),
    [
        ('[:> :n "x"]', "type-clash: :> finds strings, and :n has only numbers; compare it with a number"),
        ('[:= :n "10"]', "type-clash: := finds strings, and :n has only numbers; write 10 without quotes"),
        ('[:and [:> :n 1] [:not [:> :ratio "x"]]]', "type-clash: :> finds strings, and :ratio has only"),
        ("[:= :n true]", "type-clash: := finds booleans, and :n has only numbers"),
        ('[:contains :n "a"]', "type-clash: :contains finds strings, and :n has only numbers"),
        ('[:in :n #{"a" true}]', "type-clash: :in finds booleans or strings, and :n has only numbers"),
    ],
)
def test_a_comparison_that_comes_out_the_same_whatever_is_logged_is_warned_of(when, want):
    (told,) = warned(when)
    assert told.startswith(want)


@pytest.mark.parametrize(
    "when",
    [
        "[:> :n 1]",
        '[:in :n #{"a" 1}]',
        '[:< :seen "now-5m"]',
        '[:= :who "x"]',
        "[:= :who 5]",
        '[:= :service "a"]',
        "[:> :n [:* 2 [:prev :n]]]",
        "[:exists :n]",
        "[:> :ratio 0.5]",
    ],
)
def test_what_may_hold_is_not_warned_of(when):
    assert warned(when) == []


def test_a_stream_that_is_not_there_is_warned_of():
    assert warned("[:> :n 1]", streams=["app", "main"]) == []
    assert warned("[:> :n 1]", streams=["ap"]) == ["unknown-stream: no stream 'app'; did you mean ap?"]
    (told,) = warned("[:> :n 1]", streams=[])
    assert told.endswith("it begins with its first record; until then the rule fails")
    every = QUERY.replace(":from :app", ':from "*"')
    assert warned("[:> :n 1]", query=every, streams=[]) == []


@pytest.mark.parametrize("name", sorted(AGGREGATES))
def test_which_aggregates_are_numbers_is_known_of_each(name):
    """Asked of records whose values are texts: what still is none but a number, or nothing, is one."""
    example = AGGREGATES[name].example
    text = f'{{:time {{:last "1h"}} :aggregate {{:n {example}}}}}'
    query = parse(text, limits=DEFAULT, now_us=NOW_US)
    fields = dict.fromkeys(("message", "http", "latency_ms", "level", "service", "user"), "abc")
    fields["http"] = {"status": "abc", "path": "/"}
    fields["user"] = {"id": "abc"}
    records = [Record(NOW_US - 1, "main", place, fields) for place in range(2)]
    (row,) = evaluate(query, records, NOW_US, analyse).rows
    (named,) = query.aggregate or ()
    is_number = row["n"] is None or type(row["n"]) in (int, float)
    assert (isinstance(named.call, NUMERIC) and named.name not in times_of(query)) is is_number
