"""Groups against the oracle: to the bit, but for sums of floats and what is estimated.

`KLOMP_EXAMPLES=2000` makes so many stores for each test, instead of a few.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson
from hypothesis import given

from dsl.errors import QueryError
from dsl.evaluate import evaluate
from dsl.parse import parse
from dsl.record import leaves
from storage.index import analyse
from tests.support import questions as ask
from tests.support.oracle import as_json, stored
from tests.support.stores import NOW_US, BuiltStore

SKETCHED_LEAST = (
    1e-6  # numbers for which a sketch of quantiles is as good as it says, but for those still smaller
)


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
