"""For which records each predicate holds."""

from typing import Any

import pytest
from strategies import NOW_US, analyse

from dsl.analysis import INTEGER_MAX
from dsl.errors import QueryError
from dsl.evaluate import matches
from dsl.operators.in_ import In
from dsl.parse import parse
from dsl.record import Record


def holds(predicate: str, fields: dict[str, Any], timestamp_us: int = NOW_US) -> bool:
    where = parse(f"{{:where {predicate}}}").where
    return matches(where, analyse, NOW_US)(Record(timestamp_us, "nginx", 7, fields))


TRUE: list[tuple[str, dict[str, Any]]] = [
    ("[:and]", {}),
    ("{}", {}),
    ("[:= :a 1]", {"a": 1}),
    ("[:= :a 1]", {"a": 1.0}),
    ("[:= :a 1.0]", {"a": 1}),
    ("[:= :a 1M]", {"a": 1}),
    ("[:= :a true]", {"a": True}),
    ("[:= :a false]", {"a": False}),
    ("[:= :a :error]", {"a": "error"}),
    ("[:= :a \\e]", {"a": "e"}),
    ('[:= :a ""]', {"a": ""}),
    ('[:= "" 1]', {"": 1}),
    ("[:= :a 1]", {"a": [0, [1]]}),
    ("[:= :a.b 1]", {"a": {"b": 1}}),
    ("[:= :a.b 1]", {"a.b": 1}),
    ("[:= :a.b.c 1]", {"a": {"b.c": 1}}),
    ("[:= :a.b.c 1]", {"a.b": {"c": 1}}),
    ("[:= :a.b.c 1]", {"a": {"b": {"c": 1}}}),
    ("[:= :a.b 3]", {"a": [{"b": 1}, {"b": [2, [3]]}]}),
    ("[:= :a.b 2]", {"a": [[{"b": 2}]]}),
    ("[:= :a.b 2]", {"a.b": 1, "a": {"b": 2}}),
    ('[:= "a..b" 1]', {"a": {"": {"b": 1}}}),
    ("[:!= :a 1]", {}),
    ("[:!= :a 1]", {"a": "1"}),
    ("[:!= :a 1]", {"a": True}),
    ("[:< :a 2]", {"a": 1.5}),
    ("[:<= :a 2]", {"a": 2.0}),
    ("[:> :a 2]", {"a": [1, 3]}),
    ("[:>= :a 2]", {"a": 2}),
    ('[:< :a "b"]', {"a": "a"}),
    ('[:> :a "Z"]', {"a": "a"}),
    ('[:> :a "\uffff"]', {"a": "\U0001f600"}),  # by code point, not by UTF-16
    ("[:between :a 1 3]", {"a": 3}),
    ("[:between :a 1 nil]", {"a": 1}),
    ("[:between :a nil 1]", {"a": -5}),
    ('[:between :a "a" "b"]', {"a": "ab"}),
    ('[:in :a #{1 "x" true}]', {"a": 1.0}),
    ('[:in :a #{1 "x" true}]', {"a": "x"}),
    ('[:in :a #{1 "x" true}]', {"a": True}),
    ("[:in :a [1 2]]", {"a": [2]}),
    ("[:exists :a]", {"a": False}),
    ("[:exists :a]", {"a": {"b": [None, 1]}}),
    ("[:exists :a]", {"a.b": 1, "a": {"c": 1}}),
    ("[:exists :_number]", {}),
    ("[:exists :timestamp]", {}),
    ("[:missing :a]", {}),
    ("[:missing :a]", {"a": None}),
    ("[:missing :a]", {"a": {}}),
    ("[:missing :a]", {"a": [[], [None], {"b": None}]}),
    ('[:match :m "TIMEOUT upstream"]', {"m": "upstream: Timeout!"}),
    ('[:match :m "b"]', {"m": ["a", "b"]}),
    ('[:match-any :m "x timeout"]', {"m": "a timeout"}),
    ('[:phrase :m "connection reset"]', {"m": "the Connection-Reset by peer"}),
    ('[:phrase :m "connection res*"]', {"m": "connection reset"}),
    ('[:phrase :m "res*"]', {"m": "res"}),
    ('[:contains :m "HTTP/1"]', {"m": "GET HTTP/1.1"}),
    ('[:contains :m ""]', {"m": ""}),
    ('[:starts-with :m "GET"]', {"m": "GET /"}),
    ('[:ends-with :m "/"]', {"m": ["x", "GET /"]}),
    ('[:contains :* "b"]', {"a": 1, "c": [{"d": ["x", {"e": "abc"}]}]}),
    ('[:match :* "timeout"]', {"message": "no", "a": {"b": ["a Timeout"]}}),
    ('[:starts-with :* "x"]', {"": "xy"}),
    ('[:phrase :m "connection reset" {:slop 1}]', {"m": "connection was reset"}),
    ('[:phrase :m "connection reset" {:slop 2}]', {"m": "reset connection"}),
    ('[:phrase :m "connection res*" {:slop 1}]', {"m": "connection was resetting"}),
    ('[:phrase :m "a a" {:slop 3}]', {"m": "a b c a"}),
    ('[:fuzzy :m "timeout"]', {"m": "a TIMEUOT occurred"}),
    ('[:fuzzy :m "timeout" {:distance 2}]', {"m": "tmeouts"}),
    ('[:fuzzy :m "time out"]', {"m": "ot of tim"}),
    ('[:glob :m "/api/*/users"]', {"m": "/api/v1/x/users"}),
    ('[:glob :m "*"]', {"m": ""}),
    ('[:glob :m "a?c"]', {"m": "a\nc"}),
    ('[:glob :m "a[!0-9]c"]', {"m": "a日c"}),
    ('[:glob :m "[[]x[]]"]', {"m": "[x]"}),
    ('[:glob :m "\\\\*"]', {"m": "*"}),
    ('[:regex :m "^GET .* 5\\\\d\\\\d$"]', {"m": "GET /x 503"}),
    ('[:regex :m "5"]', {"m": "a5b"}),
    ('[:regex :m #log/re "(?i)error|FATAL"]', {"m": ["x", "an ERROR"]}),
    ('[:regex :m ""]', {"m": ""}),
    ('[:cidr :ip "10.0.0.0/8"]', {"ip": "10.255.255.255"}),
    ('[:cidr :ip "10.0.0.0/8"]', {"ip": "::ffff:10.0.0.1"}),
    ('[:cidr :ip "::ffff:10.0.0.0/104"]', {"ip": "10.0.0.1"}),
    ('[:cidr :ip "10.0.0.7"]', {"ip": ["x", "10.0.0.7"]}),
    ('[:cidr :ip #log/ip "2001:db8::/32"]', {"ip": "2001:0DB8:0:0::1"}),
    ('[:cidr :ip "fe80::/10"]', {"ip": "fe80::1%eth0"}),
    ('{:a 1 :b #{"x" "y"}}', {"a": 1, "b": "y"}),
    ('{:not {:a "x"}}', {}),
    ('[:= :_stream "nginx"]', {}),
    ("[:= :_number 7]", {}),
    ('[:= :timestamp "now"]', {}),
    ('[:>= :timestamp "now-1h"]', {}),
    ('[:< :timestamp "now+1ms"]', {}),
    ('[:in :timestamp [#inst "2026-01-02T03:04:05.678901Z"]]', {}),
    ('[:between :timestamp "2026-01-02" nil]', {}),
    ('[:= :at #inst "2026-01-02T00:00:00Z"]', {"at": "2026-01-02T01:00:00+01:00"}),
    ('[:< :at #inst "2026-01-02"]', {"at": "2026-01-01T23:59:59.999Z"}),
    ('[:between :at #inst "2026" #inst "2027"]', {"at": ["x", "2026-06-01T00:00:00Z"]}),
    ('[:in :at #{#inst "2026" "x"}]', {"at": "2026-01-01T00:00:00Z"}),
    (f"[:= :a {INTEGER_MAX + 1}]", {"a": 2.0**64}),
]

FALSE: list[tuple[str, dict[str, Any]]] = [
    ("[:or]", {}),
    ("[:= :a 1]", {}),
    ("[:= :a 1]", {"a": "1"}),
    ("[:= :a 1]", {"a": True}),
    ("[:= :a true]", {"a": 1}),
    ('[:= :a "1"]', {"a": 1}),
    ("[:= :a 1]", {"a": {"b": 1}}),
    ("[:= :a.b 1]", {"a": {"c": 1}}),
    ("[:< :a 2]", {"a": True}),
    ("[:< :a 2]", {"a": "1"}),
    ("[:< :a 2]", {}),
    ("[:not [:< :a 2]]", {"a": 1}),
    ("[:between :a 2 3]", {"a": [1, 4]}),  # one element lies within both ends
    ("[:between :a 1 3]", {"a": "2"}),
    ('[:in :a #{1 "x"}]', {"a": True}),
    ("[:in :a #{}]", {"a": 1}),
    ("[:exists :a]", {"a": [{}]}),
    ('[:match :m "timeout"]', {"m": "timeouts"}),
    ('[:match :m "a b"]', {"m": ["a", "b"]}),  # all words in one element
    ('[:match :m "5"]', {"m": 5}),
    ('[:match :m "true"]', {"m": True}),
    ('[:match-any :m "x y"]', {"m": "a"}),
    ('[:phrase :m "connection reset"]', {"m": "reset connection"}),
    ('[:phrase :m "con* reset"]', {"m": "connection reset"}),
    ('[:contains :m "http"]', {"m": "HTTP"}),
    ('[:contains :m "5"]', {"m": 5}),
    ('[:starts-with :m "a"]', {"m": {"a": "a"}}),
    ('[:contains :* "a"]', {"a": 1, "b": ["x", None, True]}),  # names are no texts
    ('[:contains :* "nginx"]', {}),  # nor is the stream
    ('[:match :* "a b"]', {"x": "a", "y": "b"}),  # all words in one text
    ('[:phrase :m "connection reset" {:slop 1}]', {"m": "reset connection"}),
    ('[:phrase :m "a a" {:slop 9}]', {"m": "a b c"}),  # no word is taken twice
    ('[:fuzzy :m "timeout"]', {"m": "tiemuot"}),
    ('[:fuzzy :m "timeout" {:distance 2}]', {"m": "time"}),
    ('[:glob :m "api"]', {"m": "/api"}),
    ('[:glob :m "A*"]', {"m": "a"}),
    ('[:glob :m "*"]', {"m": 5}),
    ('[:glob :m "?"]', {"m": "ab"}),
    ('[:regex :m "^b"]', {"m": "a\nb"}),
    ('[:regex :m "a.b"]', {"m": "a\nb"}),
    ('[:regex :m "GET"]', {"m": "get"}),
    ('[:cidr :ip "10.0.0.0/8"]', {"ip": "11.0.0.1"}),
    ('[:cidr :ip "10.0.0.0/8"]', {"ip": "10.0.0.1:443"}),
    ('[:cidr :ip "10.0.0.0/8"]', {"ip": 10}),
    ('[:cidr :ip "10.0.0.0/8"]', {"ip": "a 10.0.0.1"}),
    ('[:cidr :ip "::/0"]', {"ip": "10.0.0.1"}),
    ('[:cidr :ip "0.0.0.0/0"]', {"ip": "::1"}),
    ("{:a 1 :b 2}", {"a": 1}),
    ('[:= :at #inst "2026-01-02"]', {"at": "2026-01-02"}),  # no RFC 3339 time
    ('[:= :at #inst "2026-01-02"]', {"at": 1767312000}),
    ('[:= :at "2026-01-02T00:00:00Z"]', {"at": "2026-01-02T01:00:00+01:00"}),
    ('[:> :timestamp "now"]', {}),
]


@pytest.mark.parametrize(("predicate", "fields"), TRUE)
def test_it_holds(predicate: str, fields: dict[str, Any]) -> None:
    assert holds(predicate, fields) is True


@pytest.mark.parametrize(("predicate", "fields"), FALSE)
def test_it_does_not_hold(predicate: str, fields: dict[str, Any]) -> None:
    assert holds(predicate, fields) is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{:level "error"}', '[:= :level "error"]'),
        ('{:level ["a" "b"]}', '[:in :level #{"b" "a"}]'),
        ("{:a 1 :b 2}", "[:and [:= :a 1] [:= :b 2]]"),
        ("{:and [{:a 1}]}", "[:and [:= :a 1]]"),
        ('{:and "x"}', '[:= :and "x"]'),
        ("{:or []}", "[:or]"),
        ("{:not [:exists :a]}", "[:not [:exists :a]]"),
        ('{:field "x"}', '[:= :field "x"]'),
        ('{:value 1 :field :a :operator "eq"}', "[:= :a 1]"),
        ("[:in :a #{1 1.0 2}]", "[:in :a #{1 2}]"),
        ('[:= "level" :error]', '[:= :level "error"]'),
        ('[:= :timestamp "2026-01-02"]', '[:= :timestamp #inst "2026-01-02T00:00:00.000Z"]'),
        (
            '[:= :id #uuid "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]',
            '[:= :id "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]',
        ),
    ],
)
def test_two_ways_to_say_the_same(one: str, other: str) -> None:
    assert parse(f"{{:where {one}}}") == parse(f"{{:where {other}}}")


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("1", "true"), ('"1"', "1"), ("true", '"true"')])
def test_values_of_different_types_are_different_queries(one: str, other: str) -> None:
    assert parse(f"{{:where [:= :a {one}]}}") != parse(f"{{:where [:= :a {other}]}}")


def test_places_are_kept_but_make_no_difference() -> None:
    one, other = parse("{:where [:= :a 1]}").where, parse("{:where   [:= :a   1]}").where
    assert one is not None
    assert other is not None
    assert one.span == (8, 17)
    assert other.span == (10, 21)
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"where": {"a": [">", 5]}}', True),
        ('{"where": {"a": [">", "<"]}}', False),
        ('{"where": {"a": ["in", 5]}}', False),
        ('{"where": {"a": [">"]}}', False),
    ],
)
def test_an_operator_in_place_of_values_is_told_from_values_that_look_like_it(text: str, wrong: bool) -> None:
    if not wrong:
        assert isinstance(parse(text, "json").where, In)
        return
    with pytest.raises(QueryError) as caught:
        parse(text, "json")
    assert [mistake.code for mistake in caught.value.mistakes] == ["mixed-map"]


def test_a_set_of_keywords_may_be_called_like_operators() -> None:
    assert parse("{:where {:a #{:in :not}}}") == parse('{:where [:in :a #{"in" "not"}]}')
