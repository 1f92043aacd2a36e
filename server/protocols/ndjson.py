"""NDJSON: `{"message": "one"}` LF `{"message": "two"}` LF. A bad line costs that line only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from storage.errors import BadRecord
from storage.format import RECORD_BYTES_MAX

# A line this long cannot become a record of RECORD_BYTES_MAX: every escape is at most six bytes for one.
LINE_BYTES_MAX = 6 * RECORD_BYTES_MAX


def decode(body: bytes) -> Iterator[dict[str, Any] | BadRecord]:
    """A record or its mistake for every line that is not blank."""
    loads = orjson.loads
    for line in body.split(b"\n"):
        try:
            record = loads(line)
        except orjson.JSONDecodeError as error:
            if not line.strip():
                continue
            yield bad_json(line, error)
            continue
        yield record if type(record) is dict else not_a_map(record)


def bad_json(line: bytes, error: orjson.JSONDecodeError) -> BadRecord:
    """What a line that is no JSON gets."""
    if len(line) > LINE_BYTES_MAX:
        return BadRecord(
            "record-too-large", f"the line has {len(line)} bytes, more than a record may have", "split it"
        )
    try:
        line.decode()
    except UnicodeDecodeError as wrong:
        return BadRecord(
            "bad-utf-8",
            f"byte {wrong.start + 1} of the record is not UTF-8",
            "send UTF-8; recode the source first",
        )
    return BadRecord("bad-json", f"column {error.colno}: {error.msg}")


def not_a_map(value: object) -> BadRecord:
    """What a value that is no map gets."""
    kind = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
    return BadRecord("not-a-map", f"a record is a map, this is {kind}", 'send {"message": "…"}')
