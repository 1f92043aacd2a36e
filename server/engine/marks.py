"""What a cursor remembers of its streams: eight hexadecimal digits of each, from when it was made.

A stream that was deleted and made anew begins again with number 1: a cursor would go on somewhere in the middle of
other records. With `:from :*` only the stream of the last row is remembered, as others may come and go.
"""

from __future__ import annotations

import hashlib

from dsl.ast import EVERY_STREAM, Query
from dsl.cursor import Cursor
from storage.snapshot import Snapshot

DIGITS = 8  # of each stream: that two of them are alike by chance is one in four thousand million
NOTHING = "0" * DIGITS  # of a stream without records: whatever comes into it, came later


def mark_of(query: Query, snapshot: Snapshot, last: str) -> str:
    """What a cursor remembers that ends with a row of stream `last`."""
    names = [last] if query.from_ == EVERY_STREAM else query.from_
    return "".join(_digits(snapshot, name) for name in names)


def is_outdated(cursor: Cursor, query: Query, snapshot: Snapshot) -> bool:
    """Whether a stream is not the one any more that the cursor remembers."""
    now = mark_of(query, snapshot, cursor.stream)
    return any(
        then != found and NOTHING not in (then, found)
        for then, found in zip(_pieces(cursor.mark), _pieces(now), strict=False)
    )


def _pieces(mark: str) -> list[str]:
    return [mark[start : start + DIGITS] for start in range(0, len(mark), DIGITS)]


def _digits(snapshot: Snapshot, name: str) -> str:
    catalog = snapshot.catalogs.get(name)
    if catalog is None or not catalog.born_us:
        return NOTHING
    return hashlib.blake2b(str(catalog.born_us).encode(), digest_size=DIGITS // 2).hexdigest()
