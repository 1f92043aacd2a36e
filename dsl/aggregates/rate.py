"""`[:rate]`: how many records a second; `[:rate p]`: how many of them for which a predicate holds.

The seconds are those of the group: of its bucket of time, as far as it lies in the query's range, else of the range.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from dsl.aggregates.base import Accumulator, Aggregate, AggregateKind
from dsl.aggregates.count import Counted
from dsl.aggregates.held import Held
from dsl.analysis import Analysis
from dsl.forms import Form
from dsl.nodes import Predicate


class Rate(Aggregate):
    """How many records a second; counted here, divided when the groups are finished."""

    op: Literal["rate"] = "rate"

    per_second: ClassVar[bool] = True

    def native(self, column: str) -> dict[str, Any] | None:
        """Nothing: a group has the number of its records."""
        del column
        return None

    def read(self, result: dict[str, Any]) -> int:
        """The number of records of a group."""
        return int(result["doc_count"])

    def accumulator(self, held: Held) -> Accumulator:
        """Zero."""
        del held
        return Counted()


def build_rate(_: Analysis, __: Sequence[Form], where: Predicate | None) -> Rate:
    """From nothing but the predicate."""
    return Rate(where=where)


RATE = AggregateKind(
    name="rate",
    signature="[:rate]",
    summary="how many records a second, over the query's range or the group's bucket of time",
    example="[:rate [:>= :http.status 500]]",
    arguments=0,
    node=Rate,
    build=build_rate,
    write=lambda _: [],
)
