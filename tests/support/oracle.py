"""How the engine is held against the oracle: a store, a query's text, and whether both answer the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from dsl.cursor import Cursor, decode
from dsl.errors import QueryError
from dsl.parse import parse
from tests.support.stores import NOW_US, BuiltStore, built_store

SEGMENT_BYTES_MAX = 400  # so that most batches begin a segment, and some go on in one


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
