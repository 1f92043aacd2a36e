"""`[:max f]`: the greatest number of a field, or of `:timestamp` the last time; of none, nil."""

from collections.abc import Sequence
from typing import Any, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, build_any, tidy, write_field
from dsl.aggregates.held import Held
from dsl.record import NUMBERS, TIMESTAMP, Record


class Max(FieldAggregate):
    """The greatest of all numbers."""

    op: Literal["max"] = "max"

    @property
    def gives_time(self) -> bool:
        """Whether it is the last record."""
        return self.field == TIMESTAMP

    def native(self, column: str) -> dict[str, Any] | None:
        """The index's greatest."""
        return {"max": {"field": column}}

    def read(self, result: dict[str, Any]) -> int | float | None:
        """The greatest; whole where it is."""
        return tidy(result["value"])

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        del held
        return _Max()


class _Max:
    def __init__(self) -> None:
        self.found: float | None = None

    def add(self, values: Sequence[Any], record: Record) -> None:
        del record
        for value in values:
            if type(value) in NUMBERS and (self.found is None or value > self.found):
                self.found = value

    def result(self) -> int | float | None:
        return tidy(self.found)


MAX = AggregateKind(
    name="max",
    signature="[:max field]",
    summary="the greatest number of the field; of `:timestamp` the last time; nil when there are none",
    example="[:max :latency_ms]",
    arguments=1,
    node=Max,
    build=build_any(Max),
    write=write_field,
)
