"""The reference is what the registries say, and its examples have the answers of the plain evaluator.

Run with KLOMP_RECORD=1 to write the page anew; then read the difference.
"""

from __future__ import annotations

import os

import pytest

from dsl.aggregates import AGGREGATES
from dsl.analyze import QUERY_KEYS
from dsl.operators import OPERATORS
from dsl.schema import query_schema
from tests.docs.blocks import code, table
from tests.docs.reference import GOLDEN, KEY_EXAMPLES, LANGUAGE, PAGE, documented_codes, golden_files, page
from tests.docs.shop import open_shop, same_as_the_oracle


@pytest.fixture(scope="module")
def shop():
    with open_shop() as store:
        yield store


def test_the_reference_is_what_the_registries_say(shop):
    made = page(shop)
    if os.environ.get("KLOMP_RECORD"):
        PAGE.write_text(made, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made


@pytest.mark.parametrize("name", OPERATORS)
def test_the_example_of_an_operator_holds_for_what_the_plain_evaluator_says(shop, name):
    assert same_as_the_oracle(shop, f"{{:from :* :where {OPERATORS[name].example} :limit 1000 :total true}}")


@pytest.mark.parametrize("name", OPERATORS)
def test_the_example_of_an_operator_holds_for_some_records(shop, name):
    asked = f"{{:from :* :where {OPERATORS[name].example} :limit 0 :total true}}"
    assert shop.query(asked, syntax="edn").total


@pytest.mark.parametrize("name", AGGREGATES)
def test_the_example_of_an_aggregate_is_what_the_plain_evaluator_says(shop, name):
    call = AGGREGATES[name].example
    assert same_as_the_oracle(
        shop, f'{{:from :* :time {{:last "1h"}} :group-by [:service] :aggregate {{:x {call}}}}}'
    )


def test_every_key_of_a_query_is_described():
    described = query_schema()["properties"]
    assert set(QUERY_KEYS) == set(KEY_EXAMPLES) == set(described)
    assert all(schema["description"] for schema in described.values())


def test_every_code_of_a_mistake_has_an_example():
    golden = {path.stem for path in golden_files()} - {"several"}
    assert documented_codes() <= golden
    assert {path.stem for path in GOLDEN.glob("*.txt")} - {"several"} <= documented_codes()


def test_the_codes_are_found():
    assert {"bad-time", "unknown-operator"} <= documented_codes()
    assert code(table(LANGUAGE, "code", "what is wrong")[0]["code"]) == ["not-a-map"]
