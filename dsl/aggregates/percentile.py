"""`[:percentile f 95]`: the number of a field that 95 in a hundred do not exceed; of none, nil.

Exactly: the numbers in order, counted from 0, it is the one at floor(percent / 100 * (count - 1)). The index
answers from a DDSketch (https://www.vldb.org/pvldb/vol12/p2195-masson.pdf) with the same rank.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictFloat, StrictInt

from dsl.aggregates.base import (
    FLOAT_INTEGERS_MAX,
    Accumulator,
    AggregateKind,
    FieldAggregate,
    numeric_field,
    real,
)
from dsl.aggregates.held import Held
from dsl.aggregates.numbers import Numbers
from dsl.analysis import WRONG, Analysis, WrongType, field_form
from dsl.forms import Form
from dsl.nodes import Node, Open, Predicate, is_open
from dsl.record import Record

PERCENT_MAX = 100
LARGE_NUMBERS = 2  # an integer in a list counts as so many floats in an array


class Percentile(FieldAggregate):
    """The number at a rank among all numbers."""

    op: Literal["percentile"] = "percentile"
    of_numbers: ClassVar[bool] = True
    percent: Open[Annotated[StrictInt | StrictFloat, Field(ge=0, le=PERCENT_MAX)]]

    approximation: ClassVar[str | None] = "within 1 %"

    def native(self, column: str) -> dict[str, Any] | None:
        """The index's sketch."""
        return {"percentiles": {"field": column, "percents": [float(self.percent)]}}

    def read(self, result: dict[str, Any]) -> float | None:
        """The only percentile asked for."""
        values = result["values"]
        found = next(iter(values.values())) if isinstance(values, dict) else values[0]["value"]
        return real(found)

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        return _Ranked(self, held, float(self.percent))


class _Ranked(Numbers):
    """The numbers as floats, and apart the whole ones that no float holds, such as nanoseconds since 1970."""

    def __init__(self, node: Node, held: Held, percent: float) -> None:
        super().__init__(node, held)
        self._percent = percent
        self._large: list[int] = []

    def add(self, values: Sequence[Any], record: Record) -> None:
        large = [value for value in values if type(value) is int and abs(value) > FLOAT_INTEGERS_MAX]
        if large:
            values = [value for value in values if type(value) is not int or abs(value) <= FLOAT_INTEGERS_MAX]
            self._large += large
            self._held.numbers(len(large) * LARGE_NUMBERS, self._node)
        super().add(values, record)

    def result(self) -> int | float | None:
        count = len(self.numbers) + len(self._large)
        if not count:
            return None
        rank = math.floor(self._percent / PERCENT_MAX * (count - 1))
        return sorted([*self.numbers, *self._large] if self._large else self.numbers)[rank]


def build_percentile(
    analysis: Analysis, arguments: Sequence[Form], where: Predicate | None
) -> Percentile | WrongType:
    """From a field of numbers and a percentage."""
    field = numeric_field(analysis, arguments[0])
    percent = analysis.number(arguments[1], "a percentage")
    if percent is not WRONG and not is_open(percent) and not 0 <= percent <= PERCENT_MAX:
        percent = analysis.wrong(
            "bad-value", f"{percent} is no percentage", arguments[1], "write one from 0 to 100"
        )
    return (
        WRONG if field is WRONG or percent is WRONG else Percentile(field=field, percent=percent, where=where)
    )


PERCENTILE = AggregateKind(
    name="percentile",
    signature="[:percentile field percent]",
    summary="the number that so many in a hundred do not exceed, within 1 %; nil when there are none",
    example="[:percentile :latency_ms 95]",
    arguments=2,
    node=Percentile,
    build=build_percentile,
    write=lambda node: [field_form(node.field), Form(node.percent)],
)
