"""What is worked out from all numbers of a field at once: they are kept, eight bytes each."""

from array import array
from collections.abc import Sequence
from typing import Any

from dsl.aggregates.held import Held
from dsl.nodes import Node
from dsl.record import NUMBERS, Record


class Numbers:
    """The numbers so far, as floats."""

    def __init__(self, node: Node, held: Held) -> None:
        self.numbers = array("d")
        self._node = node
        self._held = held

    def add(self, values: Sequence[Any], record: Record) -> None:
        """Keep the numbers of one record."""
        del record
        before = len(self.numbers)
        self.numbers.extend(value for value in values if type(value) in NUMBERS)
        self._held.numbers(len(self.numbers) - before, self._node)
