"""`[:count-distinct f]`: how many different values a field has; 1 and 1.0 are one, 1, "1" and true three."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, build_any, weight, write_field


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

    def accumulator(self) -> Accumulator:
        """Nothing yet."""
        return _Distinct()


class _Distinct:
    def __init__(self) -> None:
        self.seen: set[tuple[bool, Any]] = set()

    def add(self, values: Sequence[Any]) -> None:
        # True equals 1 in Python; no string equals a number.
        self.seen.update((type(value) is bool, value) for value in values)

    def held_bytes(self) -> int:
        return weight(value for _, value in self.seen)

    def result(self) -> int:
        return len(self.seen)


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
