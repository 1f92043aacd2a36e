"""The published schema takes every query in JSON, and refuses gross mistakes."""

import re
from pathlib import Path

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import queries

from dsl.aggregates import AGGREGATES
from dsl.analyze import _READERS
from dsl.ast import Query
from dsl.errors import QueryError
from dsl.keys import KEYS
from dsl.operators import OPERATORS
from dsl.parse import parse
from dsl.printer import to_json
from dsl.schema import _form, query_schema

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = orjson.loads(orjson.dumps(query_schema()))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

EXAMPLES = [
    *(f"{{:where {operator.example}}}" for operator in OPERATORS.values()),
    *(f'{{:time {{:last "1h"}} :aggregate {{:x {kind.example}}}}}' for kind in AGGREGATES.values()),
    *(f"{{:group-by [{kind.example}]}}" for kind in KEYS.values()),
]


def forms(page, language):
    """The queries of a page, each block of EDN perhaps with several."""
    for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        yield from re.split(r"\n(?=\{)", block) if language == "clojure" else [block]


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == set(_READERS)


@pytest.mark.parametrize("text", EXAMPLES)
def test_it_takes_the_example_of_everything_in_the_registries(text):
    VALIDATOR.validate(to_json(parse(text)))


@pytest.mark.parametrize("text", [*forms(ROOT / "docs" / "language.md", "clojure")])
def test_it_takes_every_query_of_the_documentation(text):
    VALIDATOR.validate(to_json(parse(text)))


def test_it_takes_the_json_of_the_documentation():
    found = 0
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        for text in forms(page, "json"):
            data = orjson.loads(text)
            query = data.get("query", data) if isinstance(data, dict) else None
            try:
                parse(orjson.dumps(query).decode(), "json", unbound=True)
            except QueryError:
                continue  # JSON of another kind
            VALIDATOR.validate(query)
            found += 1
    assert found >= 2


@settings(max_examples=60)
@given(queries)
def test_it_takes_any_query(query: Query) -> None:
    VALIDATOR.validate(orjson.loads(orjson.dumps(to_json(query))))


@pytest.mark.parametrize(
    "text",
    [
        '{"from": ["a", "b"], "where": {"level": ["error", "warn"], "n": 5}}',
        '{"where": {"and": [{"field": "a", "operator": "gte", "value": 5}, {"not": {"a": 1}}]}}',
        '{"where": ["=", "timestamp", {"#inst": "2026-01-02T00:00:00Z"}], "order-by": ["a", ["b", "desc"], ["c"]]}',
        '{"where": ["in", "level", {"param": "levels"}], "time": {"last": {"param": "w"}}, "limit": {"param": "n"}}',
        '{"time": {"around": "now-1h", "within": "5m"}}',
        '{"from": ["*"], "time": {"last": {"#log/duration": "1h30m"}}, "where": ["match", "*", "x"]}',
        '{"time": {"since": {"#inst": "2026"}, "until": "2026-01-02 10:00:00"}, "timeout": "5s"}',
        '{"where": ["and", ["regex", "a", {"#log/re": "x"}], ["cidr", "a", {"#log/ip": "::1"}]]}',
        '{"where": ["=", "a", {"#uuid": "x"}]}',
        '{"where": ["between", "a", null, 5], "time": {"since": "now-1d/d"}}',
        '{"where": ["phrase", "message", "a b", {"slop": 2}], "select": ["a"]}',
        '{"group-by": ["a", ["bucket", "timestamp", "5m", {"offset": "1m", "as": "x"}]], "having": [">", "count", 5]}',
        '{"aggregate": {"n": ["count", ["=", "a", 1]], "r": ["/", "n", ["+", "n", 1]]}}',
        "{}",
    ],
)
def test_it_takes_every_way_of_writing(text):
    parse(text, "json", unbound=True)
    VALIDATOR.validate(orjson.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '"x"',
        '{"wher": ["=", "a", 1]}',
        '{"where": ["betwen", "a", 1, 2]}',
        '{"where": ["=", "a"]}',
        '{"where": ["=", "a", 1, 2]}',
        '{"where": ["=", 5, 1]}',
        '{"where": ["=", "*", 1]}',
        '{"where": ["=", "a", {"#log/re": "x"}]}',
        '{"where": ["match", "a", {"#inst": "2026-01-02"}]}',
        '{"select": ["*"]}',
        '{"from": "a b"}',
        '{"time": {"last": "soon"}}',
        '{"time": {"last": {"#uuid": "1h"}}}',
        '{"time": {"since": "yesterday"}}',
        '{"timeout": "5min"}',
        '{"group-by": [["top", "a", 0]]}',
        '{"group-by": [["bucket", "timestamp", {"#log/ip": "10.0.0.0/8"}]]}',
        '{"where": ["=", "a", [1]]}',
        '{"where": ["and", "a"]}',
        '{"where": ["not", ["exists", "a"], ["exists", "b"]]}',
        '{"where": {"field": "a", "operator": "frob", "value": 1}}',
        '{"where": []}',
        '{"where": ["phrase", "message", "a b", {"slp": 2}]}',
        '{"time": "1h"}',
        '{"time": {}}',
        '{"time": {"last": "1h", "since": "now-1d"}}',
        '{"time": {"around": "now-1h"}}',
        '{"select": []}',
        '{"select": "a"}',
        '{"limit": -1}',
        '{"limit": "5"}',
        '{"total": 1}',
        '{"order-by": [["a", "down"]]}',
        '{"group-by": "a"}',
        '{"group-by": [["bucket", "timestamp"]]}',
        '{"group-by": [["buckets", "timestamp", "5m"]]}',
        '{"aggregate": {}}',
        '{"aggregate": {"n": ["cont"]}}',
        '{"aggregate": {"n": ["avg"]}}',
        '{"aggregate": {"n": "count"}}',
        '{"on-timeout": "wait"}',
        '{"where": ["in", "a", {"param": "a b"}]}',
    ],
)
def test_it_refuses_what_the_analysis_refuses(text):
    with pytest.raises(QueryError):
        parse(text, "json", unbound=True)
    assert not VALIDATOR.is_valid(orjson.loads(text))


def test_an_argument_of_an_operator_that_is_new_is_an_argument():
    form = _form("longer", ["op", "field", "characters", "fold"], 2, 3)
    validator = jsonschema.Draft202012Validator({**form, "$defs": SCHEMA["$defs"]})
    for right in (["longer", "message", 80], ["longer", "message", 80, {"fold": 1}]):
        validator.validate(right)
    for wrong in (["longer", "message"], ["longer", 5, 80], ["longer", "message", 80, 90]):
        assert not validator.is_valid(wrong)


MISPLACED = [
    None,
    True,
    0,
    -1,
    2.5,
    "",
    "*",
    "1h",
    "now",
    [],
    {},
    ["and"],
    ["=", "a", 1],
    {"a": 1},
    {"param": "x"},
]
MISPLACED += [
    {"#inst": "2026-01-01"},
    {"#log/re": "a"},
    {"#log/duration": "5m"},
    {"field": "a", "operator": "eq", "value": 1},
]


def places(value, path=()):
    """Every place in plain data, as the way to it."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


@settings(max_examples=60, deadline=None)
@given(queries, st.data())
def test_it_takes_whatever_the_analysis_takes(query: Query, data: st.DataObject) -> None:
    changed = orjson.loads(orjson.dumps(to_json(query)))
    ways = list(places(changed))
    if not ways:
        return
    *before, last = data.draw(st.sampled_from(ways))
    inner = changed
    for key in before:
        inner = inner[key]
    inner[last] = data.draw(st.sampled_from(MISPLACED))
    try:
        parse(orjson.dumps(changed).decode(), "json", unbound=True)
    except QueryError:
        return
    VALIDATOR.validate(changed)
