"""The engine against the oracle: whatever is stored and asked, both answer the same to the byte."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from support import questions as ask
from support.stores import BuiltStore, built_store

from dsl.errors import QueryError
from dsl.parse import parse
from dsl.printer import to_edn

SEGMENT_BYTES_MAX = 400  # so that most batches begin a segment, and some go on in one


def as_json(query: dict[str, Any]) -> str | None:
    """A query's text, or None where it has a mistake, such as a range without content."""
    text = json.dumps({key: value for key, value in query.items() if value is not None})
    try:
        parse(text, "json")
    except QueryError:
        return None
    return text


def same(built: BuiltStore, text: str, syntax: str = "json") -> None:
    """Hold the engine's rows, total and cursor against the oracle's."""
    want = built.oracle(text, syntax=syntax)
    got = built.query(text, syntax=syntax)
    assert got.rows == [orjson.dumps(row) for row in want.rows], text
    assert got.total == want.total, text
    assert got.cursor == want.cursor, text


@given(ask.batches, st.lists(st.tuples(ask.froms, ask.ranges, ask.predicates), min_size=1, max_size=25))
@ask.profile(60)
def test_every_predicate_finds_what_the_oracle_finds(batches: Any, asked: Any) -> None:
    with built_store([("main", [{}]), ("b", [{}]), *batches], segment_bytes_max=SEGMENT_BYTES_MAX) as built:
        for streams, time, where in asked:
            text = as_json({"from": streams, "time": time, "where": where, "total": True})
            if text is not None:
                same(built, text)
                same(built, to_edn(parse(text, "json")), "edn")
