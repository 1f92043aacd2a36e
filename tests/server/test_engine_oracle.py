"""The engine against the oracle: whatever is stored and asked, both answer the same.

`KLOMP_EXAMPLES=2000` makes so many stores for each test, instead of a few.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from dsl.parse import parse
from dsl.printer import to_edn
from storage import columns
from tests.support import questions as ask
from tests.support.oracle import as_json, same, stored


@given(ask.scenarios())
@ask.profile(60)
def test_every_predicate_finds_what_the_oracle_finds(scenario: Any) -> None:
    batches, asked = scenario
    with stored(batches) as built:
        for streams, time, where in asked:
            text = as_json({"from": streams, "time": time, "where": where, "total": True})
            if text is not None:
                same(built, text)
                same(built, to_edn(parse(text, "json")), "edn")


@pytest.mark.parametrize(
    ("listed_max", "patterns_max"),
    [(columns.LISTED_VALUES_MAX, columns.PATTERNS_MAX), (0, columns.PATTERNS_MAX), (0, 1)],
)
@given(scenario=ask.text_scenarios())
@ask.profile(15)
def test_texts_are_found_by_the_values_of_columns_and_by_a_walk_over_terms(
    scenario: Any, listed_max: int, patterns_max: int
) -> None:
    batches, predicates = scenario
    with pytest.MonkeyPatch.context() as patch, stored(batches) as built:
        patch.setattr(columns, "LISTED_VALUES_MAX", listed_max)
        patch.setattr(columns, "LISTED_FIRST", 2)
        patch.setattr(columns, "PATTERNS_MAX", patterns_max)
        for where in predicates:
            text = as_json({"from": "*", "where": where, "total": True})
            if text is not None:
                same(built, text)


def test_a_query_of_many_texts_has_the_engine_make_few_patterns() -> None:
    with stored([("main", [{"message": f"m{n}", "a": f"x{n}"} for n in range(300)])]) as built:
        queries = built.store.snapshot(["main"]).queries
        assert queries is not None
        for n in range(300):
            queries.substring("*", f"x{n}")
            queries.phrase("message", [f"m{n}"], prefix=True)
        assert len(queries._patterns) == columns.PATTERNS_MAX
        parts = [["contains", "*", f"x{n}"] for n in range(200)] + [
            ["phrase", "message", f"m{n}*"] for n in range(2, 9)
        ]
        same(built, str(as_json({"where": ["or", *parts], "total": True, "limit": 500})))
