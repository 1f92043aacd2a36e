"""`[:count]`: how many records; `[:count p]`: for how many of them a predicate holds."""

from collections.abc import Sequence
from typing import Any, Literal

from dsl.aggregates.base import Accumulator, Aggregate, AggregateKind
from dsl.aggregates.held import Held
from dsl.analysis import Analysis
from dsl.forms import Form
from dsl.nodes import Predicate
from dsl.record import Record


class Count(Aggregate):
    """How many records."""

    op: Literal["count"] = "count"

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


class Counted:
    """How many records were taken in."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, values: Sequence[Any], record: Record) -> None:
        """One more."""
        del values, record
        self.count += 1

    def result(self) -> int:
        """How many."""
        return self.count


def build_count(_: Analysis, __: Sequence[Form], where: Predicate | None) -> Count:
    """From nothing but the predicate."""
    return Count(where=where)


COUNT = AggregateKind(
    name="count",
    signature="[:count]",
    summary="how many records",
    example="[:count [:>= :http.status 500]]",
    arguments=0,
    node=Count,
    build=build_count,
    write=lambda _: [],
)
