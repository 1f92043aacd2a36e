"""`[:min f]`: the least number of a field, or of `:timestamp` the first time; of none, nil."""

from collections.abc import Sequence
from typing import Any, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, build_any, tidy, write_field
from dsl.aggregates.held import Held
from dsl.record import NUMBERS, TIMESTAMP, Record


class Min(FieldAggregate):
    """The least of all numbers."""

    op: Literal["min"] = "min"

    @property
    def gives_time(self) -> bool:
        """Whether it is the first record."""
        return self.field == TIMESTAMP

    def native(self, column: str) -> dict[str, Any] | None:
        """The index's least."""
        return {"min": {"field": column}}

    def read(self, result: dict[str, Any]) -> int | float | None:
        """The least; whole where it is."""
        return tidy(result["value"])

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        del held
        return _Min()


class _Min:
    def __init__(self) -> None:
        self.found: float | None = None

    def add(self, values: Sequence[Any], record: Record) -> None:
        del record
        for value in values:
            if type(value) in NUMBERS and (self.found is None or value < self.found):
                self.found = value

    def result(self) -> int | float | None:
        return tidy(self.found)


MIN = AggregateKind(
    name="min",
    signature="[:min field]",
    summary="the least number of the field; of `:timestamp` the first time; nil when there are none",
    example="[:min :latency_ms]",
    arguments=1,
    node=Min,
    build=build_any(Min),
    write=write_field,
)
