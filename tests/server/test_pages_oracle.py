"""Pages of records against the oracle: all together they have every record once, in its order.

`KLOMP_EXAMPLES=2000` makes so many stores for each test, instead of a few.
"""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given

from tests.support import questions as ask
from tests.support.oracle import as_json, same, stored
from tests.support.stores import built_store

PAGES_MAX = 200


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
