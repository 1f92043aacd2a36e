"""`[:avg f]`: the mean of the numbers of a field; of none, nil."""

from typing import Any, ClassVar, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, build_numeric, real, write_field
from dsl.aggregates.held import Held
from dsl.aggregates.numbers import Numbers
from dsl.aggregates.sum import total


class Avg(FieldAggregate):
    """The mean of all numbers."""

    op: Literal["avg"] = "avg"
    of_numbers: ClassVar[bool] = True

    def native(self, column: str) -> dict[str, Any] | None:
        """The index's mean."""
        return {"avg": {"field": column}}

    def read(self, result: dict[str, Any]) -> float | None:
        """The mean."""
        return real(result["value"])

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        return _Averaged(self, held)


class _Averaged(Numbers):
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
