"""A table as JSON, a column at a time: orjson writes whole columns, and the pieces are put together row by row.

A row has as few pieces as can be: where a column repeats its values, each of them is written once, together with the
names around it: `},{"level":"error","n":` and `3`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import orjson

from dsl.table import Table, Texts

_WITHOUT_COMMAS = frozenset({int, float, bool, type(None)})
_TEXTS = frozenset({str, type(None)})


def json_array(table: Table) -> bytes:
    """All rows, as one JSON array of objects."""
    count = table.height
    if not count:
        return b"[]"
    layers = _layers(table)
    width = len(layers)
    pieces = [b""] * (count * width)
    for place, layer in enumerate(layers):
        pieces[place::width] = layer
    pieces[0] = b"[" + pieces[0][2:]
    pieces.append(b"}]")
    return b"".join(pieces)


def json_rows(table: Table) -> list[bytes]:
    """The rows, a JSON object each."""
    if not table.height:
        return []
    return [b"".join(row)[2:] + b"}" for row in zip(*_layers(table), strict=True)]


def _layers(table: Table) -> list[Iterable[bytes]]:
    """The pieces of the rows: the first of each, the second of each, and so on. Every row begins with `},{`."""
    leads = [b"," + orjson.dumps(name) + b":" for name in table.names]
    leads[0] = b"},{" + leads[0][1:]
    repeated = [
        _repeated(column, table.texts.get(name))
        for name, column in zip(table.names, table.columns, strict=True)
    ]
    layers: list[Iterable[bytes]] = []
    for place, (lead, column, written) in enumerate(zip(leads, table.columns, repeated, strict=True)):
        if written is not None:
            # What comes next has its name here, unless it brings it itself.
            rest = leads[place + 1] if None in repeated[place + 1 : place + 2] else b""
            pieces = {value: lead + text + rest for value, text in written.items()}
            layers.append(map(pieces.__getitem__, column))
        else:
            if not place or repeated[place - 1] is None:
                layers.append(repeat(lead, len(column)))
            layers.append(_values(column))
    return layers


def _repeated(column: list[Any], texts: Texts | None) -> dict[Any, bytes] | None:
    """What each of a column's values is as JSON, where they are texts; None where they are something else.

    Texts repeat; numbers are written faster than they are looked up.
    """
    if texts is not None:
        return dict(zip(texts, _texts(texts.values()), strict=True))
    if not set(map(type, column)) <= _TEXTS:
        return None
    different = list(dict.fromkeys(column))
    return dict(zip(different, _texts(different), strict=True))


def _values(column: list[Any]) -> list[bytes]:
    """The values of a column as JSON, not all of them texts."""
    if set(map(type, column)) <= _WITHOUT_COMMAS:
        return orjson.dumps(column)[1:-1].split(b",")
    return [orjson.dumps(value) for value in column]


def _texts(values: Iterable[str | None]) -> Sequence[bytes]:
    """What some texts are as JSON, and what nothing is."""
    listed = list(values)
    written = orjson.dumps(listed)
    # Without a comma inside them, they are apart where there is one.
    if written.count(b",") == len(listed) - 1:
        return written[1:-1].split(b",")
    return [orjson.dumps(value) for value in listed]
