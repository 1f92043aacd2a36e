"""A table as JSON, a column at a time: orjson writes whole columns, and the pieces are put together row by row."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import orjson

from dsl.table import Table

_WITHOUT_COMMAS = frozenset({int, float, bool, type(None)})
_TEXTS = frozenset({str, type(None)})


def json_array(table: Table) -> bytes:
    """All rows, as one JSON array of objects."""
    columns = [_values(column) for column in table.columns]
    count = len(columns[0]) if columns else 0
    if not count:
        return b"[]"
    width = 2 * len(columns)
    pieces = [b""] * (count * width)
    for place, (name, values) in enumerate(zip(table.names, columns, strict=True)):
        pieces[2 * place :: width] = repeat((b"," if place else b"},{") + orjson.dumps(name) + b":", count)
        pieces[2 * place + 1 :: width] = values
    pieces[0] = b"[" + pieces[0][2:]
    pieces.append(b"}]")
    return b"".join(pieces)


def json_rows(table: Table) -> list[bytes]:
    """The rows, a JSON object each."""
    names = [orjson.dumps(name) for name in table.names]
    columns = [
        [b"%b:%b" % (name, value) for value in _values(column)]
        for name, column in zip(names, table.columns, strict=True)
    ]
    return [b"{" + b",".join(parts) + b"}" for parts in zip(*columns, strict=True)]


def _values(column: list[Any]) -> list[bytes]:
    """The values of a column as JSON."""
    types = set(map(type, column))
    if column and types <= _WITHOUT_COMMAS:
        return orjson.dumps(column)[1:-1].split(b",")
    if types <= _TEXTS:
        written = _texts([value for value in dict.fromkeys(column) if value is not None])  # they repeat
        return [written[value] for value in column]
    return [orjson.dumps(value) for value in column]


def _texts(values: list[str]) -> dict[str | None, bytes]:
    """What each of some different texts is as JSON, and what nothing is."""
    written = orjson.dumps(values)
    if b'\\"' in written:
        parts = [orjson.dumps(value) for value in values]
    else:
        # Without a quote inside them, the texts are apart where one ends and the next begins.
        parts = [b'"%b"' % part for part in written[2:-2].split(b'","')] if values else []
    return {None: b"null", **dict(zip(values, parts, strict=True))}
