"""What a value sorts by: booleans (false first), then numbers, then strings by code point; nothing comes last."""

from collections.abc import Sequence
from functools import total_ordering
from typing import Any, TypeAlias

from dsl.record import NUMBERS

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


def rank(value: Any, descending: bool) -> Rank:
    """What a value sorts by."""
    if value is None:
        return (1,)
    kind = 0 if isinstance(value, bool) else 2 if isinstance(value, str) else 1
    if not descending:
        return 0, kind, value
    return 0, -kind, Reversed(value) if kind == 2 else -value


def sortable(column: list[Any], descending: bool) -> tuple[Sequence[Any], bool]:
    """What the values of a column sort by, and whether that must fall. Of a list one value counts.

    Args:
        column: The values; lists of values among them, too.
        descending: Whether the greatest comes first.
    """
    types = set(map(type, column))
    if types == {str} or types <= NUMBERS:
        return column, descending
    if list in types:
        column = [_representative(value, descending) for value in column]
    # Nil, or values of several types. They repeat, so each is ranked once.
    kinds = {(type(value) is bool, value): None for value in column}
    ranks = {kind: rank(kind[1], descending) for kind in kinds}
    return [ranks[type(value) is bool, value] for value in column], False


def _representative(value: Any, descending: bool) -> Any:
    """Of a list the value that stands for it, as in the order of rows: the least, or for falling the greatest."""
    if type(value) is not list:
        return value
    return min(value, key=lambda one: rank(one, descending), default=None)
