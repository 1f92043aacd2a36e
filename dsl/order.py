"""The order of rows and groups: total, so that no two rows are ever equal and a page has one next page.

Values: booleans (false first), then numbers, then strings by code point; `:desc` turns that round. What has
no value comes last either way. Of several values the least counts for `:asc`, the greatest for `:desc`. Of a string
only its beginning counts, so that a cursor stays short.

Rows that are equal so far are ordered by their address, as the last step goes: for `:desc` by stream name
rising and number falling (the newest first), for `:asc` the other way round.
"""

from collections.abc import Callable, Sequence
from typing import Any

from dsl.ast import Order
from dsl.rank import Rank, Reversed, rank
from dsl.record import Record, leaves

TEXT_CHARACTERS_MAX = (
    512  # of a string that count for the order: they travel in cursors, and a cursor in a query
)


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
