"""Documents of rules: what they say, their defaults, and every mistake with its place and a way out."""

from __future__ import annotations

import orjson
import pytest

from dsl.errors import QueryError
from dsl.forms import print_form
from dsl.printer import form_to_json
from dsl.reader import read, read_json
from dsl.time import format_instant
from server.alerts.rule import DURATIONS, read_rule
from server.alerts.template import BadTemplate, fill, names_in
from server.alerts.warnings import warnings_of
from server.alerts.when import When
from storage.index import analyse

S_US = 1_000_000
NOW_US = 1_767_225_600_000_000
QUERY = '{:time {:last "5m"} :where [:= :level "error"] :group-by [:service] :aggregate {:n [:count]}}'

WHOLE = """
{:name        :checkout-errors
 :query       {:from :app :time {:last "5m"} :where [:= :level "error"]
               :group-by [:service] :aggregate {:n [:count]}}
 :when        [:> :n 10]
 :every       "30s"  :for "2m"  :keep-firing-for "5m"  :delay "10s"
 :labels      {:severity "page"}
 :annotations {:summary "{service}: {n} errors in 5m"}
 :samples     3
 :notify      [:ops]}
"""


def rule_of(keys="", when="[:> :n 10]", query=QUERY):
    return read_rule(read(f"{{:query {query} :when {when} {keys}}}"), "errors")


def test_the_rule_of_the_language_reads_in_edn_and_in_json():
    rule = read_rule(read(WHOLE))
    assert rule.name == "checkout-errors"
    assert (rule.every_us, rule.for_us, rule.keep_firing_for_us, rule.delay_us) == (
        30 * S_US,
        120 * S_US,
        300 * S_US,
        10 * S_US,
    )
    assert rule.labels == {"severity": "page"}
    assert rule.notify == ("ops",)
    assert rule.columns == ["service", "n"]
    assert warnings_of(rule, ["app"]) == []
    text = orjson.dumps(form_to_json(read(WHOLE))).decode()
    assert read_rule(read_json(text)) == rule
    assert read_rule(read(print_form(read(WHOLE)))) == rule


def test_what_is_left_out_has_its_default():
    rule = rule_of()
    for name, kind in DURATIONS.items():
        assert getattr(rule, f"{name.replace('-', '_')}_us") == kind.default_us
        assert kind.default_us is None or kind.least_us <= kind.default_us <= kind.most_us
    assert (rule.samples, rule.notify, rule.labels, rule.annotations) == (3, (), {}, {})


def test_a_query_for_records_is_one_group_that_counts_them():
    rule = read_rule(read('{:query {:time {:last "1m"} :where [:= :level "fatal"]}}'), "fatal")
    assert rule.columns == ["count"]
    assert holds(rule.when, {"count": 1})
    assert not holds(rule.when, {"count": 0})


def test_without_a_condition_every_group_is_an_alert():
    rule = read_rule(read(f"{{:query {QUERY}}}"), "errors")
    assert holds(rule.when, {"service": "a", "n": 0})


def test_a_condition_on_a_time_takes_times():
    query = '{:time {:last "1d"} :group-by [:service] :aggregate {:seen [:max :timestamp]}}'
    silent = rule_of(when='[:< :seen "now-10m"]', query=query).when
    assert holds(silent, {"seen": format_instant(NOW_US - 11 * 60_000_000)})
    assert not holds(silent, {"seen": format_instant(NOW_US - 9 * 60_000_000)})


def holds(when: When, columns, earlier=None):
    return when.holds(analyse, NOW_US)(columns, lambda _: earlier or {})


@pytest.mark.parametrize(
    ("when", "columns", "earlier", "want"),
    [
        ("[:> :n 10]", {"n": 11}, {}, True),
        ("[:> :n 10]", {"n": 10}, {}, False),
        ("[:> :n [:prev :n]]", {"n": 5}, {"n": 4}, True),
        ("[:> :n [:prev :n]]", {"n": 5}, {"n": 5}, False),
        ("[:>= :n [:prev :n]]", {"n": 5}, {"n": 5}, True),
        ("[:= :n [:prev :n]]", {"n": 5}, {"n": 5.0}, True),
        ("[:> :n [:* 2 [:prev :n]]]", {"n": 11}, {"n": 5}, True),
        ("[:> :n [:* 2 [:prev :n]]]", {"n": 10}, {"n": 5}, False),
        ('[:> :n [:+ [:prev :n] [:prev :n "1h"] 1]]', {"n": 10}, {"n": 4}, True),
        ("[:< :n [:- [:prev :n] 5]]", {"n": 1}, {"n": 7}, True),
        ("[:> :n [:/ [:prev :n] 0]]", {"n": 1}, {"n": 7}, False),
        ("[:!= :n [:prev :n]]", {"n": 1}, {"n": None}, True),  # as of a field that is missing
        ("[:> :n [:prev :service]]", {"n": 1, "service": "a"}, {"service": "a"}, False),
        ("[:> :n [:* 0.5 :m]]", {"n": 6, "m": 11}, {}, True),
        ('[:or {:service "a"} [:> :n [:prev :n]]]', {"n": 1, "service": "a"}, {"n": 7}, True),
        ("[:and [:not [:> :n [:prev :n]]] [:> :n 0]]", {"n": 1}, {"n": 7}, True),
    ],
)
def test_conditions(when, columns, earlier, want):
    query = QUERY.replace(":n [:count]", ":n [:count] :m [:count]")
    assert holds(rule_of(when=when, query=query).when, columns, earlier) is want


def test_earlier_windows_are_asked_for_once_each():
    when = '[:or [:> :n [:prev :n]] [:> :n [:prev :n "1h"]] [:< :n [:prev :n "1h"]]]'
    assert rule_of(when=when).when.agos_us == [300 * S_US, 3600 * S_US]


MISTAKES = [
    ("[]", ["not-a-map"]),
    ("{}", ["missing-key"]),
    (f'{{:query {QUERY} :evry "30s"}}', ["unknown-key"]),
    (f'{{:query {QUERY} :interval "30s"}}', ["unknown-key"]),
    (f"{{:query {QUERY} :name :other}}", ["bad-name"]),
    (f'{{:query {QUERY} :name "a b"}}', ["bad-name"]),
    ('{:query {:time {:last "5m"} :where [:betwen :a 1 2] :limt 5}}', ["unknown-operator", "unknown-key"]),
    ("{:query {:where [:= :a 1]}}", ["bad-rule"]),
    ('{:query {:time {:since #inst "2026-01-01" :until #inst "2026-01-02"}}}', ["bad-rule"]),
    ('{:query {:time {:last "5m"} :limit 5 :select [:a] :total true}}', ["key-not-here"] * 3),
    ('{:query {:time {:last "5m"} :on-timeout :partial}}', ["key-not-here"]),
    ('{:query {:time {:last "5m"} :group-by [[:bucket :timestamp "1m"]]}}', ["bad-rule"]),
    ('{:query {:time {:last "5m"} :group-by [:alertname]}}', ["bad-rule"]),
    ('{:query {:time {:last "5m"} :aggregate {:n [:count]}}}', ["missing-key"]),
    (f"{{:query {QUERY} :when [:> :m 1]}}", ["unknown-column"]),
    (f"{{:query {QUERY} :when [:and {{:m 1}} [:> :k 1] [:< :n [:prev :j]]]}}", ["unknown-column"] * 3),
    (f"{{:query {QUERY} :when [:> :n [:prev]]}}", ["wrong-arity"]),
    (f"{{:query {QUERY} :when [:> :n [:* 2]]}}", ["wrong-arity"]),
    (f"{{:query {QUERY} :when [:> :n [:% 2 3]]}}", ["bad-value"]),
    (f"{{:query {QUERY} :when [:> :n [:* 2 true]]}}", ["bad-value"]),
    (f'{{:query {QUERY} :when [:> :n [:prev :n "1x"]]}}', ["bad-duration"]),
    (f'{{:query {QUERY} :every "1ms" :for "9w" :delay 5}}', ["bad-duration"] * 3),
    (f'{{:query {QUERY} :repeat "5s" :samples 99}}', ["bad-duration", "bad-value"]),
    (f'{{:query {QUERY} :labels {{:service "x" :alertname "y"}}}}', ["duplicate-key"] * 2),
    (f"{{:query {QUERY} :labels [1] :annotations {{:a [1]}}}}", ["bad-value"] * 2),
    (f'{{:query {QUERY} :annotations {{:a "{{servce}}" :b "}}"}}}}', ["unknown-name", "bad-template"]),
    (f'{{:query {QUERY} :notify [:ops "a b" 1]}}', ["bad-name"]),
    ('{:query {:time {:last "5m"} :group-by [:a] :having [:> :count 1]} :when-absent "5m"}', ["key-not-here"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "codes"), MISTAKES)
def test_mistakes_are_named_all_at_once(text, codes):
    with pytest.raises(QueryError) as caught:
        read_rule(read(text), "errors")
    assert [mistake.code for mistake in caught.value.mistakes] == codes
    assert all(mistake.hint for mistake in caught.value.mistakes)


def test_the_window_before_must_be_known():
    with pytest.raises(QueryError) as caught:
        rule_of(when="[:> :n [:prev :n]]", query=QUERY.replace(':last "5m"', ':since "now-1h"'))
    assert [mistake.code for mistake in caught.value.mistakes] == ["bad-when"]
    agos = " ".join(f'[:> :n [:prev :n "{hours}h"]]' for hours in range(1, 7))
    with pytest.raises(QueryError):
        rule_of(when=f"[:or {agos}]")


@pytest.mark.parametrize(
    ("template", "want"),
    [
        ("{service}: {n} errors", "auth: 12 errors"),
        ("{{{service}}}", "{auth}"),
        ("{ratio} {none} {flag} {other}", "0.333333 – true –"),  # noqa: RUF001
        ("", ""),
    ],
)
def test_texts_are_filled_in(template, want):
    assert fill(template, {"service": "auth", "n": 12, "ratio": 1 / 3, "none": None, "flag": True}) == want


def test_braces_that_stand_alone_are_found():
    assert names_in("{a} {{b}} {c}") == ["a", "c"]
    for template in ("{", "a}", "{a{b}"):
        with pytest.raises(BadTemplate):
            names_in(template)
