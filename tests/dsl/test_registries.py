"""Every operator, aggregate and group key has its documentation and an example that reads, prints and reads back."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from strategies import NOW_US, analyse

from dsl.aggregates import AGGREGATES
from dsl.ast import Query
from dsl.evaluate import matches
from dsl.keys import KEYS
from dsl.limits import Limits
from dsl.operators import OPERATORS
from dsl.parse import parse
from dsl.predicates import CLOGS
from dsl.printer import to_edn
from dsl.record import Record

LANGUAGE = (Path(__file__).resolve().parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```clojure\n(.*?)```", LANGUAGE, re.DOTALL)
FORMS = [
    form.strip()
    for block in BLOCKS
    for form in (re.split(r"\n(?=\{)", block) if block.startswith("{") else [block])
]


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_has_an_example_that_reads_back(name: str) -> None:
    operator = OPERATORS[name]
    query = parse(f"{{:where {operator.example}}}")
    assert isinstance(query.where, operator.node)
    assert operator.example in to_edn(query)
    assert parse(to_edn(query)) == query
    assert name == query.where.op
    assert matches(query.where, analyse, NOW_US)(Record(0, "main", 0, {})) in {True, False}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_documented(name: str) -> None:
    operator = OPERATORS[name]
    assert f"`[:{name} " in LANGUAGE
    assert f"[:{name} " in " ".join(BLOCKS)
    assert operator.signature.startswith(f"[:{name} ")
    assert operator.summary


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_aggregate_has_an_example_that_reads_back(name: str) -> None:
    kind = AGGREGATES[name]
    query = parse(f'{{:time {{:last "1h"}} :aggregate {{:x {kind.example}}}}}')
    assert query.aggregate is not None
    assert isinstance(query.aggregate[0].call, kind.node)
    assert kind.example in to_edn(query)
    assert parse(to_edn(query)) == query


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_aggregate_is_documented(name: str) -> None:
    kind = AGGREGATES[name]
    assert re.search(rf"`\[:{name}[ \]]", LANGUAGE)
    assert re.search(rf"\[:{name}[ \]]", " ".join(BLOCKS))
    assert kind.signature.startswith(f"[:{name}")
    assert kind.summary


@pytest.mark.parametrize("name", KEYS)
def test_a_group_key_has_an_example_that_reads_back(name: str) -> None:
    kind = KEYS[name]
    query = parse(f"{{:group-by [{kind.example}]}}")
    assert isinstance(query.group_by[0], tuple(kind.nodes))
    assert kind.example in to_edn(query)
    assert parse(to_edn(query)) == query
    assert kind.summary


@pytest.mark.parametrize("name", CLOGS)
def test_the_operators_of_clogs_are_ours(name: str) -> None:
    value = '["a" "b"]' if name == "in" else '"a"'
    assert parse(f"{{:where {{:field :f :operator :{name} :value {value}}}}}") == parse(
        f"{{:where [:{CLOGS[name]} :f {value}]}}"
    )
    assert f":{name}" in LANGUAGE


@pytest.mark.parametrize("text", FORMS)
def test_the_examples_of_the_documentation_read(text: str) -> None:
    query = parse(text)
    assert isinstance(query, Query)
    assert parse(to_edn(query)) == query


def test_the_examples_are_found() -> None:
    assert len(FORMS) > 40


def test_the_json_of_the_documentation_reads() -> None:
    for block in re.findall(r"```json\n(.*?)```", LANGUAGE, re.DOTALL):
        assert isinstance(parse(block, "json"), Query)


def test_every_limit_has_a_unit_and_a_reason() -> None:
    for limit in fields(Limits):
        assert limit.metadata["unit"]
        assert limit.metadata["reason"]
        assert limit.default > 0


def test_the_model_has_a_json_schema() -> None:
    schema = Query.model_json_schema()
    assert {"from", "time", "where", "select", "group_by", "aggregate"} <= set(schema["properties"])
    assert {operator.node.__name__ for operator in OPERATORS.values()} <= set(schema["$defs"])
