"""`[:avg f]`: the mean of the numbers of a field; of none, nil."""

from collections.abc import Sequence
from typing import Any, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, build_numeric, real, write_field
from dsl.aggregates.sum import total
from dsl.record import NUMBERS


class Avg(FieldAggregate):
    """The mean of all numbers."""

    op: Literal["avg"] = "avg"

    def native(self, column: str) -> dict[str, Any] | None:
        """The index's mean."""
        return {"avg": {"field": column}}

    def read(self, result: dict[str, Any]) -> float | None:
        """The mean."""
        return real(result["value"])

    def accumulator(self) -> Accumulator:
        """Nothing yet."""
        return _Averaged()


class _Averaged:
    def __init__(self) -> None:
        self.numbers: list[float] = []

    def add(self, values: Sequence[Any]) -> None:
        self.numbers.extend(value for value in values if type(value) in NUMBERS)

    def result(self) -> float | None:
        return total(self.numbers) / len(self.numbers) if self.numbers else None


AVG = AggregateKind(
    name="avg",
    signature="[:avg field]",
    summary="the mean of the numbers of the field; nil when there are none",
    example="[:avg :latency_ms]",
    arguments=1,
    node=Avg,
    build=build_numeric(Avg),
    write=write_field,
)
