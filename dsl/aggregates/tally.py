"""How often each value of a field is there: what `:top` is, as an aggregate and as a group key, and `:values`.

A value counts once for each record that has it. 1 and 1.0 are one value, 1, "1" and true three.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from dsl.aggregates.base import tidy
from dsl.aggregates.held import Held
from dsl.nodes import Node
from dsl.rank import rank


class Tally:
    """Values and how many records have them, so far."""

    def __init__(self, node: Node, held: Held) -> None:
        self._counts: dict[tuple[bool, Any], int] = {}
        self._node = node
        self._held = held
        self.limits = held.limits

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, values: Iterable[Any], times: int = 1) -> None:
        """Take in the values of one record, or of so many equal ones."""
        seen = {
            (type(value) is bool, tidy(value) if type(value) is float else value): None for value in values
        }
        for place in seen:
            count = self._counts.get(place, 0)
            if not count:
                self._held.values(place[1:], self._node)
            self._counts[place] = count + times

    def most_frequent(self, count: int) -> list[tuple[Any, int]]:
        """The values that most records have, and how many; equally frequent ones in the order of values."""
        ranked = sorted(self._counts.items(), key=lambda item: (-item[1], rank(item[0][1], False)))
        return [(value, times) for (_, value), times in ranked[:count]]

    def in_order(self) -> list[Any]:
        """All values in their order."""
        return sorted((value for _, value in self._counts), key=lambda value: rank(value, False))


def shown_counts(found: Sequence[tuple[Any, int]]) -> list[dict[str, Any]]:
    """What a row shows of values and their counts."""
    return [{"value": value, "count": count} for value, count in found]
