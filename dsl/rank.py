"""What a value sorts by: booleans (false first), then numbers, then strings by code point; nothing comes last."""

from functools import total_ordering
from typing import Any, TypeAlias

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
