"""`[:stddev f]`: the standard deviation of the numbers of a field, of all of them (not of a sample); of none, nil.

The root of the mean of the squared distances from the mean, as in Prometheus, ClickHouse (`stddevPop`) and
Elasticsearch (`std_deviation`).
"""

import math
from typing import Any, ClassVar, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, build_numeric, real, write_field
from dsl.aggregates.held import Held
from dsl.aggregates.numbers import Numbers
from dsl.aggregates.sum import total


class Stddev(FieldAggregate):
    """The standard deviation of all numbers."""

    op: Literal["stddev"] = "stddev"
    of_numbers: ClassVar[bool] = True

    def native(self, column: str) -> dict[str, Any] | None:
        """The index's, which it works out by the distances from the mean so far."""
        return {"extended_stats": {"field": column}}

    def read(self, result: dict[str, Any]) -> float | None:
        """The one of all numbers."""
        found = real(result["std_deviation_population"])
        return found if found is None or math.isfinite(found) else None

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        return _Deviating(self, held)


class _Deviating(Numbers):
    def result(self) -> float | None:
        if not self.numbers:
            return None
        mean = total(self.numbers) / len(self.numbers)
        try:
            squares = total([(number - mean) ** 2 for number in self.numbers])
        except OverflowError:
            return None
        found = math.sqrt(squares / len(self.numbers))
        return found if math.isfinite(found) else None


STDDEV = AggregateKind(
    name="stddev",
    signature="[:stddev field]",
    summary="the standard deviation of the numbers of the field, of all, not of a sample; nil for none",
    example="[:stddev :latency_ms]",
    arguments=1,
    node=Stddev,
    build=build_numeric(Stddev),
    write=write_field,
)
