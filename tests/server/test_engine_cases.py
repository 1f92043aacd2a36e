"""Records that once were found wrongly, or nearly: each with the condition, and who must be found."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from tests.support.stores import built_store

LONG = "w" * 300  # no word of the index


def deep(value: Any) -> dict[str, Any]:
    """A value 25 levels down, at a.a.a.a.a.a.a.a.a.a.a.a.b."""
    return json.loads('{"a":[' * 12 + json.dumps({"b": value}) + "]}" * 12)


BOTTOM = ".".join("a" * 12 + "b")
GROWS = "Ⱥ" * 100  # 200 bytes, and 300 in lower case
FAR = 70_000  # more than a term can hold

# What is stored, what is asked, and the places of the records that are meant.
CASES: list[tuple[str, list[dict[str, Any]], list[Any], list[int]]] = [
    ("a float to the last bit", [{"x": 5.695020721853396e46}, {"x": 0.1 + 0.2}], ["=", "x", 5.695020721853396e46], [0]),
    ("sixteen digits", [{"x": 0.1 + 0.2}, {"x": 0.3}], ["=", "x", 0.1 + 0.2], [0]),
    ("a float beside its neighbour", [{"x": 0.1 + 0.2}, {"x": 0.3}], [">", "x", 0.3], [0]),
    ("whole floats are integers", [{"x": 1}, {"x": 1.0}, {"x": True}, {"x": "1"}], ["=", "x", 1], [0, 1]),
    ("true is not 1", [{"x": 1}, {"x": True}], ["=", "x", True], [1]),
    ("past 2**53", [{"x": 2**53}, {"x": 2**53 + 1}, {"x": 0.5}], ["=", "x", 2**53 + 1], [1]),
    ("past 2**53, ordered", [{"x": 2**53}, {"x": 2**53 + 1}, {"x": 0.5}], [">", "x", 2**53], [1]),
    ("the last integer", [{"x": 2**64 - 1}, {"x": 2.0**64}], ["=", "x", 2**64 - 1], [0]),
    ("past the last integer", [{"x": 2**64 - 1}, {"x": 2.0**64}], ["=", "x", 2.0**64], [1]),
    ("past the last signed one", [{"x": 2**63 - 1}, {"x": 2.0**63}, {"x": 2**63}], ["=", "x", 2**63], [1, 2]),
    ("among others", [{"x": 2**63 - 1}, {"x": 2.0**63}, {"x": 3}], ["in", "x", [3, 2**63 - 1]], [0, 2]),
    ("zero is zero", [{"x": [-0.0, -1.5]}, {"x": 0}, {"x": -0.5}], [">=", "x", 0], [0, 1]),
    ("nothing below zero", [{"x": -0.0}, {"x": 0.5}], ["<", "x", 0], []),
    ("below a negative fraction", [{"x": 2**63}, {"x": 1}], ["<", "x", -0.5], []),
    ("between negative fractions", [{"x": 10**19}, {"x": 7}], ["between", "x", -2.5, -0.5], []),
    ("fractions below one", [{"x": -3}, {"x": -2.5}, {"x": 10**19}], ["<=", "x", -2.5], [0, 1]),
    ("a fraction beside an integer", [{"x": 10}, {"x": 15.5}, {"x": 20}], ["between", "x", 10.5, 20], [1, 2]),
    ("an integer beside a fraction", [{"x": 10}, {"x": 15.5}, {"x": 20}], ["between", "x", 10, 19.5], [0, 1]),
    ("one value between, not two around", [{"x": [1, 9]}, {"x": [1, 5]}], ["between", "x", 4, 6], [1]),
    ("a name with a dot", [{"a.b": 1}, {"a": {"b": 1}}, {"ab": 1}], ["exists", "a"], [0, 1]),
    ("a name with dots inside", [{"a": {"b.c": 1}}, {"a.b": {"c": 1}}, {"a.b.c": 1}], ["exists", "a.b"], [0, 1, 2]),
    ("a name that ends in a dot", [{"a.": 1}, {"a": None}], ["exists", "a"], [0]),
    ("a name in an array", [{"a": [{"b.c": 1}]}, {"a": [[{"b": [{"c": 0}]}]]}], ["=", "a.b.c", 1], [0]),
    ("names the index confuses", [{"b": {"\0": 5, "\1": None}}, {"b": {}}], ["exists", "b"], [0]),
    ("names with its separators", [{"a\0b": 1}, {"a\1b": 1}, {"a.b": 1}], ["=", "a\1b", 1], [1]),
    ("a name and its replacement", [{"a\0": 1}, {"a\ufffd": 1}], ["=", "a\ufffd", 1], [1]),
    ("a very long name", [{"n" * FAR: 1, "x": 1}, {"x": 2}], [">", "x", 0], [0, 1]),
    ("a very long string", [{"x": "y" * FAR}, {"x": "y"}], ["=", "x", "y" * (FAR - 10_000)], []),
    ("a string past all terms", [{"x": "y" * FAR}, {"x": "y"}], ["ends-with", "x", "yy"], [0]),
    ("a string that is no term", [{"x": "y" * FAR + "z"}, {"x": "y"}], ["contains", "x", "z"], [0]),
    ("dates are strings", [{"x": "2024-01-01T00:00:00Z"}], ["=", "x", "2024-01-01T00:00:00Z"], [0]),
    ("dates begin with a year", [{"x": "2024-01-01T00:00:00Z"}], ["starts-with", "x", "2024"], [0]),
    ("dates in order", [{"x": "2024-01-01"}, {"x": "2025-01-01"}], [">", "x", "2024-06"], [1]),
    ("dates as times", [{"x": "2024-01-01T01:00:00+01:00"}], ["=", "x", {"#inst": "2024-01-01T00:00:00Z"}], [0]),
    ("dates in a list", [{"x": ["a", "2024-01-01"]}], ["=", "x", "2024-01-01"], [0]),
    ("the mark itself", [{"x": "\ue0002024-01-01"}, {"x": "2024-01-01"}], ["=", "x", "\ue0002024-01-01"], [0]),
    ("the mark alone", [{"x": "\ue000"}, {"x": ""}], ["=", "x", "\ue000"], [0]),
    ("the index's own flag", [{"\ue000no_message": True, "message": "m"}], ["exists", "message"], [0]),
    ("a phrase around a long word", [{"message": f"one {LONG} two"}], ["phrase", "message", "one two"], [0]),
    ("a begun phrase around one", [{"message": f"one {LONG} two three"}], ["phrase", "message", "one two th*"], [0]),
    ("a whole message with one", [{"message": f"one {LONG} two"}], ["=", "message", f"one {LONG} two"], [0]),
    ("a message that is one", [{"message": LONG}], ["=", "message", LONG], [0]),
    ("inside a long word", [{"message": f"one {LONG}abc"}], ["contains", "message", "abc"], [0]),
    ("inside one that grows", [{"message": f"one abc{GROWS}"}], ["contains", "message", "abc"], [0]),
    ("the end of a long word", [{"message": f"x {LONG}q"}], ["ends-with", "message", "q"], [0]),
    ("an I with a dot", [{"x": "İstanbul"}, {"x": "Bern"}], ["phrase", "x", "i*"], [0]),
    ("an I with a dot in a message", [{"message": "İstanbul"}], ["phrase", "message", "i*"], [0]),
    ("the Kelvin sign", [{"x": "5 \u212a"}], ["match", "x", "k"], [0]),
    ("a word over a line's end", [{"x": "one\ntwo"}], ["match", "x", "two"], [0]),
    ("text over a line's end", [{"x": "one\ntwo"}], ["contains", "x", "e\nt"], [0]),
    ("patterns are text", [{"x": "a.c"}, {"x": "abc"}], ["contains", "x", "a.c"], [0]),
    ("signs are text", [{"x": "[(*+?)]{^$}|\\#&-~"}], ["starts-with", "x", "[(*+?)]{^$}|\\#&-~"], [0]),
    ("signs in a message", [{"message": "a (b) [c]"}, {"message": "a b c"}], ["contains", "message", "(b) ["], [0]),
    ("no letters at all", [{"message": "---"}, {"message": "--"}], ["contains", "message", "---"], [0]),
    ("a message that is none", [{"message": ["five"]}, {"message": "five"}], ["match", "message", "five"], [0, 1]),
    ("a message that is a map", [{"message": {"x": "five"}}, {"message": "five"}], ["match", "message.x", "five"], [0]),
    ("an empty message is there", [{"message": ""}, {"message": None}, {}], ["exists", "message"], [0]),
    ("empty things are not", [{"x": []}, {"x": {}}, {"x": [None]}, {"x": ""}, {"x": False}], ["exists", "x"], [3, 4]),
    ("the nameless field", [{"": 1}, {"": "1"}], ["=", "", 1], [0]),
    ("a value far down", [deep(1), deep(None)], ["exists", BOTTOM], [0]),
    ("a number far down", [deep(1), deep(2.5)], [">", BOTTOM, 2], [1]),
    ("a text far down", [deep("x y"), deep("z")], ["match", BOTTOM, "x"], [0]),
    ("a date far down", [deep("2024-01-01T00:00:00Z")], ["starts-with", BOTTOM, "2024"], [0]),
    ("what is above it", [deep(1), deep(None), {"a": 1}], ["exists", "a.a"], [0]),
    ("a message beside it", [{**deep(1), "message": "m"}], ["match", "message", "m"], [0]),
    ("unlike includes missing", [{"x": 1}, {"x": 2}, {}], ["!=", "x", 1], [1, 2]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("records", "where", "want"), [pytest.param(*case[1:], id=case[0]) for case in CASES]
)
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_it_finds_these_records(
    records: list[dict[str, Any]], where: list[Any], want: list[int], apart: bool
) -> None:
    batches = [[{"_place": place, **record}] for place, record in enumerate(records)]
    if not apart:
        batches = [[record for batch in batches for record in batch]]
    with built_store([("main", batch) for batch in batches]) as built:
        asked = json.dumps({"where": where, "order-by": ["_place"], "total": True})
        answer = built.query(asked)
        assert [orjson.loads(row)["_place"] for row in answer.rows] == want
        assert answer.total == len(want)
        turned = json.dumps({"where": ["not", where], "select": ["_place"], "order-by": ["_place"]})
        rest = [orjson.loads(row)["_place"] for row in built.query(turned).rows]
        assert rest == [place for place in range(len(records)) if place not in want]


LAST = 2**64 - 1
GROUPS: list[tuple[str, list[dict[str, Any]], list[Any], dict[str, Any], list[list[Any]]]] = [
    ("the least of large ones", [{"x": 2**53 + 1}], [], {"n": ["min", "x"]}, [[2**53 + 1]]),
    ("the greatest of large ones", [{"x": LAST}, {"x": LAST - 1}], [], {"n": ["max", "x"]}, [[LAST]]),
    ("a sum of large ones", [{"x": 2**53}, {"x": 1}], [], {"n": ["sum", "x"]}, [[2**53 + 1]]),
    ("a sum past 64 bits", [{"x": LAST}, {"x": LAST}], [], {"n": ["sum", "x"]}, [[2.0**65]]),
    ("a sum to the last bit", [{"x": 0.1 + 0.2}], [], {"n": ["sum", "x"]}, [[0.1 + 0.2]]),
    ("large keys", [{"x": LAST}, {"x": LAST - 1}], ["x"], {"n": ["count"]}, [[LAST - 1, 1], [LAST, 1]]),
    ("long keys", [{"x": "y" * FAR}, {"x": "y" * FAR + "z"}], [], {"n": ["count-distinct", "x"]}, [[2]]),
    ("booleans, numbers and strings are apart", [{"x": [True, 1, 1.0, "1", "true"]}], ["x"], {"n": ["count"]},
     [[True, 1], [1, 1], ["1", 1], ["true", 1]]),
    ("and counted so", [{"x": [True, 1, 1.0, "1", "true"]}], [], {"n": ["count-distinct", "x"]}, [[4]]),
    ("once for each record", [{"x": [1, 1, 1.0]}, {"x": 1}], ["x"], {"n": ["count"]}, [[1, 2]]),
    ("each value of an array", [{"x": [1, 1, 2]}], [], {"n": ["sum", "x"]}, [[4]]),
    ("booleans are no numbers", [{"x": [True, False]}], [], {"n": ["max", "x"], "s": ["sum", "x"]}, [[None, 0]]),
    ("nor are texts", [{"x": "7"}], [], {"n": ["max", "x"], "s": ["sum", "_stream"]}, [[None, 0]]),
    ("a group of those without", [{"x": 1}, {}, {"x": []}], ["x"], {"n": ["count"]}, [[1, 1], [None, 2]]),
    ("a key that is a map", [{"x": {"y": 1}}], ["x"], {"n": ["count"]}, [[None, 1]]),
    ("dates as keys", [{"x": "2024-01-01T00:00:00Z"}], ["x"], {"n": ["count"]}, [["2024-01-01T00:00:00Z", 1]]),
    ("zeros are one", [{"x": -0.0}, {"x": 0.0}, {"x": 0}, {"x": 0.5}], ["x"], {"n": ["count"]}, [[0, 3], [0.5, 1]]),
    ("keys far down", [deep(["x", "y"]), deep("x")], [BOTTOM], {"n": ["count"]}, [["x", 2], ["y", 1]]),
    ("nothing that matches", [{"y": 1}], [], {"n": ["avg", "x", ["=", "y", 2]]}, [[None]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("records", "keys", "calls", "want"), [pytest.param(*one[1:], id=one[0]) for one in GROUPS]
)
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_it_makes_these_groups(
    records: list[dict[str, Any]], keys: list[Any], calls: dict[str, Any], want: list[list[Any]], apart: bool
) -> None:
    batches = [[record] for record in records] if apart else [records]
    with built_store([("main", batch) for batch in batches]) as built:
        asked = json.dumps({"group-by": keys, "aggregate": calls, "total": True})
        answer = built.query(asked)
        rows = [orjson.loads(row) for row in answer.rows]
        assert [orjson.dumps(list(row.values())) for row in rows] == [orjson.dumps(row) for row in want]
        assert answer.total == len(want)
