"""The columns of the index: which field has which, and what their values are to a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsl.aggregates.base import tidy
from storage import index as ix

INTEGER_EXACT_MAX = 2**53  # a column that holds floats too rounds larger integers


class NotNative(Exception):
    """The index cannot group like this; the records must be read."""


def column(path: str) -> str:
    """The column of a field.

    Raises:
        NotNative: it has none.
    """
    own = {"timestamp": ix.TIMESTAMP, "_stream": ix.STREAM, "_number": ix.NUMBER}.get(path)
    if own:
        return own
    if path == ix.MESSAGE or not ix.path_is_indexed(path):
        raise NotNative
    return f"{ix.ATTRIBUTES}.{path}"


def is_always_there(name: str) -> bool:
    """Whether every record has a value in this column."""
    return name in (ix.TIMESTAMP, ix.NUMBER, ix.STREAM)


def key_of(bucket: dict[str, Any]) -> Any:
    """The value that a bucket of terms stands for; booleans so that Python tells them from 1 and 0.

    Raises:
        NotNative: it may have been cut or rounded.
    """
    key = bucket["key"]
    if type(key) is str:
        if len(key) > ix.COLUMN_BYTES_MAX // 4 and len(key.encode()) >= ix.COLUMN_BYTES_MAX - 3:
            raise NotNative
        return ix.decode_text(key)
    text = bucket.get("key_as_string")
    if text in ("true", "false"):
        return _TRUE if text == "true" else _FALSE
    if abs(key) >= INTEGER_EXACT_MAX:
        raise NotNative
    return tidy(key) if type(key) is float else key


class _Boolean:
    """True or false as part of a group's key, where Python would find it equal to 1 or 0."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


_TRUE, _FALSE = _Boolean(True), _Boolean(False)  # what they are


def plain_key(values: list[Any]) -> list[Any]:
    """The values of a key as rows have them."""
    if _Boolean not in set(map(type, values)):
        return values
    return [value.value if type(value) is _Boolean else value for value in values]


def plain_keys(buckets: Sequence[dict[str, Any]]) -> list[Any]:
    """The values that buckets of terms stand for, as rows have them."""
    return plain_key([key_of(bucket) for bucket in buckets])
