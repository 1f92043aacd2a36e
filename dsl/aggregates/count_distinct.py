"""`[:count-distinct f]`: how many different values a field has; 1 and 1.0 are one, 1, "1" and true three."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, build_any, write_field
from dsl.aggregates.held import Held
from dsl.nodes import Node
from dsl.record import Record


class CountDistinct(FieldAggregate):
    """How many different values."""

    op: Literal["count-distinct"] = "count-distinct"

    approximation: ClassVar[str | None] = "an estimate, seldom more than 5 % off"

    def native(self, column: str) -> dict[str, Any] | None:
        """The index's estimate, a HyperLogLog."""
        return {"cardinality": {"field": column}}

    def read(self, result: dict[str, Any]) -> int:
        """The estimate, rounded."""
        return round(result["value"] or 0)

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        return _Distinct(self, held)


class _Distinct:
    def __init__(self, node: Node, held: Held) -> None:
        self._seen: set[tuple[bool, Any]] = set()
        self._node = node
        self._held = held

    def add(self, values: Sequence[Any], record: Record) -> None:
        del record
        # True equals 1 in Python; no string equals a number.
        for value in values:
            place = (type(value) is bool, value)
            if place not in self._seen:
                self._seen.add(place)
                self._held.values((value,), self._node)

    def result(self) -> int:
        return len(self._seen)


COUNT_DISTINCT = AggregateKind(
    name="count-distinct",
    signature="[:count-distinct field]",
    summary="how many different values the field has",
    example="[:count-distinct :user.id]",
    arguments=1,
    node=CountDistinct,
    build=build_any(CountDistinct),
    write=write_field,
)
