"""`[:percentile f 95]`: the number of a field that 95 in a hundred do not exceed; of none, nil.

Exactly: the numbers in order, counted from 0, it is the one at floor(percent / 100 * (count - 1)). The index
answers from a DDSketch (https://www.vldb.org/pvldb/vol12/p2195-masson.pdf) with the same rank.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictFloat, StrictInt

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, numeric_field, real
from dsl.aggregates.held import Held
from dsl.aggregates.numbers import Numbers
from dsl.analysis import WRONG, Analysis, WrongType, field_form
from dsl.forms import Form
from dsl.nodes import Node, Open, Predicate, is_open

PERCENT_MAX = 100


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
    def __init__(self, node: Node, held: Held, percent: float) -> None:
        super().__init__(node, held)
        self._percent = percent

    def result(self) -> float | None:
        if not self.numbers:
            return None
        rank = math.floor(self._percent / PERCENT_MAX * (len(self.numbers) - 1))
        return sorted(self.numbers)[rank]


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
