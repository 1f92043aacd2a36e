"""`[:median f]`: the number in the middle, the lower of two; of none, nil. The same as `[:percentile f 50]`."""

from typing import Any, ClassVar, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, build_numeric, write_field
from dsl.aggregates.held import Held
from dsl.aggregates.percentile import Percentile

MIDDLE = 50  # percent


class Median(FieldAggregate):
    """The number in the middle of all numbers."""

    op: Literal["median"] = "median"
    of_numbers: ClassVar[bool] = True

    approximation: ClassVar[str | None] = Percentile.approximation

    def native(self, column: str) -> dict[str, Any] | None:
        """The index's sketch."""
        return self._percentile.native(column)

    def read(self, result: dict[str, Any]) -> float | None:
        """The only percentile asked for."""
        return self._percentile.read(result)

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        return self._percentile.accumulator(held)

    @property
    def _percentile(self) -> Percentile:
        return Percentile(field=self.field, percent=MIDDLE).at(*self.span)


MEDIAN = AggregateKind(
    name="median",
    signature="[:median field]",
    summary="the number in the middle, within 1 %; nil when there are none",
    example="[:median :latency_ms]",
    arguments=1,
    node=Median,
    build=build_numeric(Median),
    write=write_field,
)
