"""The engine against the oracle: whatever is stored and asked, both answer the same.

`KLOMP_EXAMPLES=2000` makes so many stores for each test, instead of a few.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given

from dsl.cursor import Cursor, decode
from dsl.errors import QueryError
from dsl.evaluate import evaluate
from dsl.parse import parse
from dsl.printer import to_edn
from dsl.record import leaves
from storage import columns
from storage.index import analyse
from tests.support import questions as ask
from tests.support.stores import NOW_US, BuiltStore, built_store

SEGMENT_BYTES_MAX = 400  # so that most batches begin a segment, and some go on in one
PAGES_MAX = 200
SKETCHED_LEAST = (
    1e-6  # numbers for which a sketch of quantiles is as good as it says, but for those still smaller
)


def as_json(query: dict[str, Any]) -> str | None:
    """A query's text, or None where it has a mistake, such as a range without content."""
    text = json.dumps({key: value for key, value in query.items() if value is not None})
    try:
        parse(text, "json", now_us=NOW_US)
    except QueryError:
        return None
    return text


def stored(batches: Sequence[Any]) -> Any:
    """A store of these batches, in which every stream that is asked about exists."""
    return built_store([("main", [{}]), ("b", [{}]), *batches], segment_bytes_max=SEGMENT_BYTES_MAX)


def same(built: BuiltStore, text: str, syntax: str = "json") -> str | None:
    """Hold the engine's rows, total and cursor against the oracle's; the cursor."""
    want = built.oracle(text, syntax=syntax)
    got = built.query(text, syntax=syntax)
    assert got.rows == [orjson.dumps(row) for row in want.rows], text
    assert got.total == want.total, text
    assert last_row(got.cursor, text, syntax) == last_row(want.cursor, text, syntax), text
    return got.cursor


def last_row(cursor: str | None, text: str, syntax: str) -> Cursor | None:
    """Where a page ended, without what the store knows its streams by, as the oracle has no store."""
    if cursor is None:
        return None
    return replace(decode(cursor, parse(text, syntax, now_us=NOW_US)), mark="")


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


@given(ask.page_scenarios())
@ask.profile(60)
def test_pages_are_the_oracles_and_have_every_record_once(scenario: Any) -> None:
    batches, queries = scenario
    with stored(batches) as built:
        for query in queries:
            text = as_json(query)
            if text is None:
                continue
            whole = built.oracle(str(as_json({**query, "limit": 10_000})))
            rows: list[bytes] = []
            cursor = None
            for _ in range(PAGES_MAX):
                text = str(as_json({**query, "after": cursor}))
                rows += built.query(text).rows
                cursor = same(built, text)
                if cursor is None:
                    break
            assert rows == [orjson.dumps(row) for row in whole.rows], query


@given(ask.ranked_scenarios())
@ask.profile(60)
def test_the_first_pages_by_a_number_are_the_oracles(scenario: Any) -> None:
    batches, queries = scenario
    with built_store(batches) as built:
        for query in queries:
            cursor = None
            for _ in range(5):
                cursor = same(built, str(as_json({**query, "after": cursor})))
                if cursor is None:
                    break


@given(ask.group_scenarios())
@ask.profile(40)
def test_groups_are_the_oracles(scenario: Any) -> None:
    batches, queries = scenario
    with stored(batches) as built:
        for query in queries:
            text = as_json(query)
            if text is not None:
                same_groups(built, text)


def same_groups(built: BuiltStore, text: str) -> None:
    """Hold the engine's groups against the oracle's: to the bit, but for sums of floats and what is estimated."""
    query = parse(text, "json", now_us=NOW_US)
    codes = mistakes(lambda: evaluate(query, built.records, NOW_US, analyse))
    if codes:
        assert mistakes(lambda: built.query(text)) == codes, text
        return
    want = evaluate(query, built.records, NOW_US, analyse)
    got = built.query(text)
    rows = [orjson.loads(row) for row in got.rows]
    assert len(rows) == len(want.rows), (text, rows, want.rows)
    assert got.total == want.total, text
    for have, should in zip(rows, want.rows, strict=True):
        plain = orjson.loads(orjson.dumps(should))
        assert list(have) == list(plain), text
        for name, call in query.measured:
            mine, its = have.pop(name), plain.pop(name)
            rounded = call.op in ask.ROUNDING and not (query.exact and call.op in ask.SKETCHING)
            if rounded and mine is not None and its is not None:
                assert near(built, call.op, call.source or "", mine, its), (text, have, mine, its)
            elif call.op != "stddev" or mine is not its:
                assert orjson.dumps(mine) == orjson.dumps(its), (text, have, name, mine, its)
        assert orjson.dumps(have) == orjson.dumps(plain), text


def mistakes(ask_it: Callable[[], object]) -> list[str]:
    """The codes of what is wrong with a query, found only in the asking."""
    try:
        ask_it()
    except QueryError as error:
        return [mistake.code for mistake in error.mistakes]
    return []


def near(built: BuiltStore, kind: str, field: str, mine: float, its: float) -> bool:
    find = leaves(field)
    sizes = [abs(leaf) for record in built.records for leaf in find(record) if type(leaf) in (int, float)]
    if kind in ask.SKETCHING:
        return math.isclose(mine, its, rel_tol=0.011, abs_tol=SKETCHED_LEAST)
    if kind == "stddev":
        return math.isclose(mine, its, rel_tol=1e-6, abs_tol=1e-6 * max(sizes))
    return math.isclose(mine, its, rel_tol=1e-9, abs_tol=1e-9 * sum(map(float, sizes)))
