"""One log record as the evaluator sees it, and the walk from a dotted name to its values.

A name is a path: `a.b` finds {"a": {"b": 1}} and {"a.b": 1} alike, at every level. Arrays are walked: the
values of a path are all scalars reached through any nesting of arrays. A field exists when a scalar is at
its path or below it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

TIMESTAMP = "timestamp"  # the record's time, microseconds
STREAM = "_stream"  # its stream's name; with the number its address
NUMBER = "_number"  # its number, unique and rising in its stream

EVERY = "*"  # no field is called so: it stands for all of them

NUMBERS = frozenset({int, float})
"""The types of a number; `bool` is none of them, as its type is its own."""


@dataclass(slots=True)
class Record:
    """A record: its time in microseconds since 1970, its address, and all else as it came."""

    timestamp_us: int
    stream: str
    number: int
    fields: dict[str, Any]


Test: TypeAlias = Callable[[Any], bool]
Matcher: TypeAlias = Callable[[Record], bool]


def leaves(path: str) -> Callable[[Record], list[Any]]:
    """A function from a record to the scalars at a path, nil left out; of `timestamp` its microseconds."""
    if path == TIMESTAMP:
        return lambda record: [record.timestamp_us]
    if path == STREAM:
        return lambda record: [record.stream]
    if path == NUMBER:
        return lambda record: [record.number]
    nested = "." in path

    def find(record: Record) -> list[Any]:
        found: list[Any] = []
        if nested:
            _walk(record.fields, path, found)
        else:
            value = record.fields.get(path)
            if value is not None:
                _flatten(value, found)
        return found

    return find


def some_leaf(path: str, test: Test) -> Matcher:
    """Whether a test holds for one of the scalars at a path (of `timestamp`: its microseconds).

    The test may be given a dict, which is no scalar: it must be false for it.
    """
    if path == TIMESTAMP:
        return lambda record: test(record.timestamp_us)
    if path == STREAM:
        return lambda record: test(record.stream)
    if path == NUMBER:
        return lambda record: test(record.number)
    if "." in path:
        find = leaves(path)

        def match_nested(record: Record) -> bool:
            return any(map(test, find(record)))

        return match_nested

    def match(record: Record) -> bool:
        value = record.fields.get(path)
        if value is None:
            return False
        if type(value) is list:
            found: list[Any] = []
            _flatten(value, found)
            return any(map(test, found))
        return test(value)

    return match


def some_string(path: str, test: Callable[[str], bool]) -> Matcher:
    """Whether a test holds for one of the strings at a path; of `*`, for one anywhere in the record."""
    if path == EVERY:
        return lambda record: _some_below(record.fields, test)
    return some_leaf(path, lambda leaf: type(leaf) is str and test(leaf))


def exists(path: str) -> Matcher:
    """Whether a record has a value that is not nil at a path or below it."""
    if path in {TIMESTAMP, STREAM, NUMBER}:
        return lambda _: True
    below = path + "."
    return lambda record: _has_below(record.fields, path, below)


def select(path: str) -> Callable[[dict[str, Any]], list[Any]]:
    """A function from a record's fields to what is stored at a path, whatever it is, nil left out."""

    def find(fields: dict[str, Any]) -> list[Any]:
        found: list[Any] = []
        _reach(fields, path, found)
        return found

    return find


def _walk(fields: dict[str, Any], path: str, found: list[Any]) -> None:
    """Gather the scalars at a path: it may be one key, or begin with one, up to any of its dots."""
    value = fields.get(path)
    if value is not None:
        _flatten(value, found)
    dot = path.find(".")
    while dot >= 0:
        below = fields.get(path[:dot])
        if type(below) is dict:
            _walk(below, path[dot + 1 :], found)
        elif type(below) is list:
            for item in _dicts(below):
                _walk(item, path[dot + 1 :], found)
        dot = path.find(".", dot + 1)


def _reach(fields: dict[str, Any], path: str, found: list[Any]) -> None:
    """Gather what is stored at a path, whatever it is."""
    value = fields.get(path)
    if value is not None:
        found.append(value)
    dot = path.find(".")
    while dot >= 0:
        below = fields.get(path[:dot])
        if type(below) is dict:
            _reach(below, path[dot + 1 :], found)
        elif type(below) is list:
            for item in _dicts(below):
                _reach(item, path[dot + 1 :], found)
        dot = path.find(".", dot + 1)


def _has_below(fields: dict[str, Any], path: str, below: str) -> bool:
    """Whether a scalar is at a path or below it; `below` is the path and a dot, as longer keys begin with it."""
    if any((name == path or name.startswith(below)) and _has_scalar(item) for name, item in fields.items()):
        return True
    dot = path.find(".")
    while dot >= 0:
        inner = fields.get(path[:dot])
        maps = [inner] if type(inner) is dict else _dicts(inner) if type(inner) is list else []
        if any(_has_below(item, path[dot + 1 :], below[dot + 1 :]) for item in maps):
            return True
        dot = path.find(".", dot + 1)
    return False


def _some_below(value: Any, test: Callable[[str], bool]) -> bool:
    if type(value) is str:
        return test(value)
    if type(value) is dict:
        return any(_some_below(item, test) for item in value.values())
    return type(value) is list and any(_some_below(item, test) for item in value)


def _flatten(value: Any, found: list[Any]) -> None:
    if type(value) is list:
        for item in value:
            _flatten(item, found)
    elif value is not None and type(value) is not dict:
        found.append(value)


def _dicts(value: list[Any]) -> list[dict[str, Any]]:
    """The maps in an array, through any nesting of arrays."""
    found: list[dict[str, Any]] = []
    for item in value:
        if type(item) is dict:
            found.append(item)
        elif type(item) is list:
            found.extend(_dicts(item))
    return found


def _has_scalar(value: Any) -> bool:
    if type(value) is dict:
        return any(map(_has_scalar, value.values()))
    if type(value) is list:
        return any(map(_has_scalar, value))
    return value is not None
