"""EDN: `{:rows [{:timestamp #inst "…" …} …], :cursor nil, :complete true, …}`."""

from __future__ import annotations

import re
from typing import Any

from server.answer import Answer
from server.encode.base import Encoder

# A name that can stand as a keyword; any other is written as a string.
_KEYWORD = re.compile(
    r"[A-Za-z_*!?$%&=<>.+-][\w*!?$%&=<>.+#-]*(/[A-Za-z_*!?$%&=<>.+-][\w*!?$%&=<>.+#-]*)?\Z", re.ASCII
)
_DIGIT_SECOND = re.compile(r"[-+.]\d")


def encode(answer: Answer) -> bytes:
    """Names become keywords where they can, the times of a row an #inst."""
    times = frozenset(("timestamp",) if answer.times is None else answer.times)
    rows = " ".join(_row(row, times) for row in answer.plain_rows())
    head = write(answer.head())
    return f"{{:rows [{rows}] {head[1:]}".encode()


def _row(row: dict[str, Any], times: frozenset[str]) -> str:
    parts = (
        f"{name(key)} #inst {write(value)}"
        if key in times and type(value) is str
        else f"{name(key)} {write(value)}"
        for key, value in row.items()
    )
    return "{" + ", ".join(parts) + "}"


def write(value: Any) -> str:
    """A JSON value as EDN."""
    if value is None:
        return "nil"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        return string(value)
    if isinstance(value, list):
        return "[" + " ".join(map(write, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name(key)} {write(item)}" for key, item in value.items()) + "}"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"{value}N"
    return repr(value)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')


def string(text: str) -> str:
    """A string with its escapes."""
    return '"' + _ESCAPED.sub(lambda c: _ESCAPES.get(c.group()) or f"\\u{ord(c.group()):04x}", text) + '"'


def name(key: str) -> str:
    """A map key: a keyword where the name can be one."""
    return f":{key}" if _KEYWORD.match(key) and not _DIGIT_SECOND.match(key) else string(key)


EDN = Encoder("application/edn", encode)
