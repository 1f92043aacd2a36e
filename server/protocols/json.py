"""JSON: one object, or an array of objects. NDJSON that calls itself JSON is read as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from server.errors import RequestError
from server.protocols import ndjson
from storage.errors import BadRecord


def decode(body: bytes) -> Iterator[dict[str, Any] | BadRecord]:
    """A record or its mistake for every object.

    Raises:
        RequestError: `bad-json` or `bad-utf-8` (400).
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if error.lineno > 1 and body.lstrip()[:1] == b"{" and _is_map(body.lstrip().partition(b"\n")[0]):
            return ndjson.decode(body)
        wrong = ndjson.bad_json(body, error)
        if wrong.code == "bad-json":
            wrong.message = f"line {error.lineno}, column {error.colno}: {error.msg}"
        if not body.strip():
            wrong.message = "the body is empty"
        raise RequestError(
            400,
            wrong.code,
            wrong.message,
            wrong.hint or "send an object, an array of objects, or NDJSON as such",
        ) from error
    return _records(document)


def _is_map(line: bytes) -> bool:
    try:
        return type(orjson.loads(line)) is dict
    except orjson.JSONDecodeError:
        return False


def _records(document: Any) -> Iterator[dict[str, Any] | BadRecord]:
    for value in document if type(document) is list else [document]:
        yield value if type(value) is dict else ndjson.not_a_map(value)
