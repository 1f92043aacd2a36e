"""Where a page ended, for the next one to go on: base64url of a JSON array, opaque to who carries it.

    [1, hash of the query, now_us, stream, number, key…]

`hash` is that of the query without its page (`query_hash`); `now_us` is the `now` of the first page, which
every page keeps; stream and number are the address of the last row; one key for each step of the order is
that row's value there (nil where it has none).
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import orjson

from dsl.ast import Query
from dsl.printer import query_hash
from dsl.time import TIME_US_MAX, TIME_US_MIN

VERSION = 1
_HEAD = 5  # items before the keys
_NUMBER_MAX = 2**63 - 1  # of a record


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page, by its values in the query's order and its address."""

    now_us: int
    values: tuple[bool | int | float | str | None, ...]
    stream: str
    number: int


class BadCursor(ValueError):
    """A text that is no cursor (`bad-cursor`), or not this query's (`cursor-of-another-query`)."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def encode(query: Query, cursor: Cursor) -> str:
    """The text of a cursor of a query."""
    head = [VERSION, query_hash(query), cursor.now_us, cursor.stream, cursor.number]
    return base64.urlsafe_b64encode(orjson.dumps([*head, *cursor.values])).rstrip(b"=").decode()


def decode(text: str, query: Query) -> Cursor:
    """The cursor that a text is, of this query.

    Raises:
        BadCursor: it is none, or another query's.
    """
    parts = _parts(text)
    if parts is None:
        raise BadCursor("bad-cursor", "not a cursor", "give back the cursor of the page before, as it came")
    _, hashed, now_us, stream, number, *values = parts
    if hashed != query_hash(query) or len(values) != len(query.order_by):
        hint = "a cursor goes on with the query that it came from: only :limit and :total may change"
        raise BadCursor("cursor-of-another-query", "the cursor of another query", hint)
    return Cursor(now_us, tuple(values), stream, number)


def now_in(text: str) -> int | None:
    """The `now` in the text of a cursor, whatever query it is of; None where it is no cursor."""
    parts = _parts(text)
    return None if parts is None else int(parts[2])


def cursor_of(query: Query) -> Cursor | None:
    """The cursor of a query that was checked, or None for a first page."""
    return None if query.after is None else decode(query.after, query)


def now_of(query: Query, now_us: int) -> int:
    """The `now` of a query that was checked: of a later page, that of the first."""
    cursor = cursor_of(query)
    return now_us if cursor is None else cursor.now_us


def _parts(text: str) -> list[Any] | None:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        parts = orjson.loads(data)
    except (ValueError, binascii.Error):
        return None
    return parts if isinstance(parts, list) and _is_cursor(parts) else None


def _is_cursor(parts: list[Any]) -> bool:
    if len(parts) <= _HEAD or parts[0] != VERSION:
        return False
    _, hashed, now_us, stream, number, *values = parts
    return (
        isinstance(hashed, str)
        and isinstance(stream, str)
        and type(now_us) is int
        and TIME_US_MIN <= now_us <= TIME_US_MAX
        and type(number) is int
        and 0 <= number <= _NUMBER_MAX
        and all(value is None or isinstance(value, bool | int | float | str) for value in values)
    )
