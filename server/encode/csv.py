"""CSV (RFC 4180): a header line, then a row a line; values that are no scalars are written as JSON."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson

from server.answer import Answer
from server.encode.base import Encoder


def encode(answer: Answer) -> bytes:
    """The columns are those that the query names, or all in the order of their appearance."""
    rows = answer.plain_rows()
    columns = answer.columns or list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([cell(row.get(name)) for name in columns] for row in rows)
    return out.getvalue().encode()


def cell(value: Any) -> str:
    """A value as the text of a cell."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


CSV = Encoder("text/csv", encode)
