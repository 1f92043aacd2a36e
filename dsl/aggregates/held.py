"""What the accumulators of one query hold in memory, and the bound on it."""

from collections.abc import Iterable
from typing import Any

from dsl.errors import Mistake, QueryError
from dsl.limits import DEFAULT, Limits
from dsl.nodes import Node

NUMBER_BYTES = 40  # eight in an array, and the rest while they are put in order
VALUE_BYTES = (
    200  # of a value in a set, about: the value, its pair and its place; a text has its characters too
)


class Held:
    """Bytes held so far, by all groups together; about, as Python does not say."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.limits = limits
        self._held = 0

    def numbers(self, count: int, node: Node) -> None:
        """Take room for so many numbers, held for a part of the query.

        Raises:
            QueryError: there is none left (`answer-too-large`).
        """
        self._take(count * NUMBER_BYTES, node)

    def values(self, values: Iterable[Any], node: Node, besides: int = 0) -> None:
        """Take room for values of any kind, and so many bytes besides.

        Raises:
            QueryError: there is none left (`answer-too-large`).
        """
        texts = (len(value) if type(value) is str else 0 for value in values)
        self._take(besides + sum(VALUE_BYTES + length for length in texts), node)

    def _take(self, size: int, node: Node) -> None:
        self._held += size
        most = self.limits.held_bytes_max
        if self._held > most:
            message = f"the groups and their different values hold more than {most} bytes"
            hint = "group by less, take out what needs all values, or narrow it with :where and :time"
            raise QueryError([Mistake("answer-too-large", message, *node.span, hint)])
