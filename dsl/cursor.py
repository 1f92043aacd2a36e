"""Where a page ended, for the next one to go on: base64url of a JSON array, opaque to who carries it.

    [1, hash of the query, now_us, mark, stream, number, key…]

`hash` is that of the query without its page (`query_hash`); `now_us` is the `now` of the first page, which
every page keeps; `mark` is whatever the store knows its streams by, so that a stream that was deleted and made anew
is not taken for the one before; stream and number are the address of the last row; one key for each step of the order
is that row's value there (nil where it has none).
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
_HEAD = 6  # items before the keys
_NUMBER_MAX = 2**63 - 1  # of a record


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row of a page, by its values in the query's order and its address."""

    now_us: int
    values: tuple[bool | int | float | str | None, ...]
    stream: str
    number: int
    mark: str = ""


class BadCursor(ValueError):
    """A text that is no cursor (`bad-cursor`), or one that leads nowhere any more.

    That is the cursor of another query (`cursor-of-another-query`), of another klomp (`cursor-of-another-version`), or
    of a stream that is gone (`cursor-of-another-stream`).
    """

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def encode(query: Query, cursor: Cursor) -> str:
    """The text of a cursor of a query."""
    head = [VERSION, query_hash(query), cursor.now_us, cursor.mark, cursor.stream, cursor.number]
    return base64.urlsafe_b64encode(orjson.dumps([*head, *cursor.values])).rstrip(b"=").decode()


def decode(text: str, query: Query) -> Cursor:
    """The cursor that a text is, of this query.

    Raises:
        BadCursor: it is none, or another query's.
    """
    parts = _parts(text)
    if parts is None:
        raise BadCursor("bad-cursor", "not a cursor", "give back the cursor of the page before, as it came")
    _, hashed, now_us, mark, stream, number, *values = parts
    if hashed != query_hash(query) or len(values) != len(query.order_by):
        hint = "a cursor goes on with the query that it came from: only :limit and :total may change"
        raise BadCursor("cursor-of-another-query", "the cursor of another query", hint)
    return Cursor(now_us, tuple(values), stream, number, mark)


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
    if not isinstance(parts, list):
        return None
    if parts and type(parts[0]) is int and parts[0] != VERSION:
        hint = "begin again with the first page"
        raise BadCursor("cursor-of-another-version", f"a cursor of version {parts[0]}, not {VERSION}", hint)
    return parts if _is_cursor(parts) else None


def _is_cursor(parts: list[Any]) -> bool:
    if len(parts) <= _HEAD or parts[0] != VERSION:
        return False
    _, hashed, now_us, mark, stream, number, *values = parts
    return (
        isinstance(hashed, str)
        and isinstance(mark, str)
        and isinstance(stream, str)
        and type(now_us) is int
        and TIME_US_MIN <= now_us <= TIME_US_MAX
        and type(number) is int
        and 0 <= number <= _NUMBER_MAX
        and all(value is None or isinstance(value, bool | int | float | str) for value in values)
    )
