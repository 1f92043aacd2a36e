"""`[:sum f]`: the numbers of a field added up; of none, 0."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, build_numeric, tidy, write_field
from dsl.aggregates.held import Held
from dsl.analysis import INTEGER_MAX, INTEGER_MIN
from dsl.record import Record


class Sum(FieldAggregate):
    """The sum of all numbers."""

    op: Literal["sum"] = "sum"
    of_numbers: ClassVar[bool] = True

    def native(self, column: str) -> dict[str, Any]:
        """The index's sum, and beside it how large the numbers are."""
        return {"stats": {"field": column}}

    def read(self, result: dict[str, Any]) -> int | float:
        """The sum; whole where it is."""
        return tidy(result["sum"]) or 0

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        del held
        return _Summed()


class _Summed:
    """Whole numbers and others apart: the first stay exact."""

    def __init__(self) -> None:
        self.whole = 0
        self.others: list[float] = []

    def add(self, values: Sequence[Any], record: Record) -> None:
        del record
        for value in values:
            if type(value) is int:
                self.whole += value
            elif type(value) is float:
                self.others.append(value)

    def result(self) -> int | float | None:
        if self.others:
            return tidy(self.whole + total(self.others))
        return self.whole if INTEGER_MIN <= self.whole <= INTEGER_MAX else float(self.whole)


def total(values: Sequence[float]) -> float:
    """The sum of floats, rounded once; infinite where it passes all floats, as adding one by one gives."""
    try:
        return math.fsum(values)
    except OverflowError:
        return sum(values)


SUM = AggregateKind(
    name="sum",
    signature="[:sum field]",
    summary="the numbers of the field added up; 0 when there are none",
    example="[:sum :bytes]",
    arguments=1,
    node=Sum,
    build=build_numeric(Sum),
    write=write_field,
)
