"""The order of rows and groups: total, so that no two rows are ever equal and a page has one next page.

Values: booleans (false first), then numbers, then strings by code point; `:desc` turns that round. What has
no value comes last either way. Of several values the least counts for `:asc`, the greatest for `:desc`. Of a string
only its beginning counts, so that a cursor stays short.

Rows that are equal so far are ordered by their address, as the last step goes: for `:desc` by stream name
rising and number falling (the newest first), for `:asc` the other way round.
"""

from collections.abc import Callable, Sequence
from functools import total_ordering
from typing import Any, TypeAlias

from dsl.ast import Order
from dsl.record import Record, leaves

TEXT_CHARACTERS_MAX = (
    512  # of a string that count for the order: they travel in cursors, and a cursor in a query
)

Rank: TypeAlias = tuple[Any, ...]
"""Something that sorts."""


@total_ordering
class Reversed:
    """A value that sorts the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reversed) and bool(self.value == other.value)

    def __lt__(self, other: "Reversed") -> bool:
        return bool(other.value < self.value)

    def __hash__(self) -> int:
        return hash(self.value)


class RowOrder:
    """The order of the rows of a query."""

    def __init__(self, steps: Sequence[Order]) -> None:
        assert steps
        self.steps = tuple(steps)
        self._values = [_representative(step) for step in steps]
        self._descending = [step.direction == "desc" for step in steps]

    def values(self, record: Record) -> tuple[Any, ...]:
        """A record's value at each step, None where it has none: what a cursor keeps."""
        return tuple(value(record) for value in self._values)

    def key(self, values: Sequence[Any], stream: str, number: int) -> Rank:
        """What a row sorts by, from its values and its address."""
        ranks = map(rank, values, self._descending)
        if self._descending[-1]:
            return (*ranks, stream, -number)
        return (*ranks, Reversed(stream), number)

    def of(self, record: Record) -> Rank:
        """What a record sorts by."""
        return self.key(self.values(record), record.stream, record.number)


def rank(value: Any, descending: bool) -> Rank:
    """What a value sorts by."""
    if value is None:
        return (1,)
    kind = 0 if isinstance(value, bool) else 2 if isinstance(value, str) else 1
    if not descending:
        return 0, kind, value
    return 0, -kind, Reversed(value) if kind == 2 else -value


def _representative(step: Order) -> Callable[[Record], Any]:
    """The value that stands for all of a record's at one step."""
    find = leaves(step.name)
    descending = step.direction == "desc"

    def value(record: Record) -> Any:
        found = find(record)
        if len(found) < 2:
            return _beginning(found[0]) if found else None
        return _beginning(min(found, key=lambda leaf: rank(leaf, descending)))

    return value


def _beginning(value: Any) -> Any:
    return value[:TEXT_CHARACTERS_MAX] if type(value) is str else value
