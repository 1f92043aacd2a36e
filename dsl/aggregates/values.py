"""`[:values f]`: the different values of a field in their order, as a list."""

from collections.abc import Sequence
from typing import Any, Literal

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate, write_field
from dsl.aggregates.held import Held
from dsl.aggregates.tally import Tally
from dsl.aggregates.top import untimed_field
from dsl.analysis import WRONG, Analysis, WrongType
from dsl.errors import Mistake, QueryError
from dsl.forms import Form
from dsl.nodes import Predicate
from dsl.record import Record


class Values(FieldAggregate):
    """The different values: booleans, numbers, strings, each kind in its order."""

    op: Literal["values"] = "values"

    def native(self, column: str) -> dict[str, Any] | None:
        """No plain question: the index lists all values."""
        del column
        return None

    def read(self, result: dict[str, Any]) -> Any:
        """Nothing: the index has no such value."""
        raise NotImplementedError

    def tallied(self, tally: Tally) -> list[Any]:
        """The value, from all values.

        Raises:
            QueryError: there are too many (`too-many-values`).
        """
        most = tally.limits.values_shown_max
        if len(tally) > most:
            message = f"more than {most} values of {self.field} in one group"
            hint = "count them with :count-distinct, or take the most frequent with :top"
            raise QueryError([Mistake("too-many-values", message, *self.span, hint)])
        return tally.in_order()

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        return _Valued(self, held)


class _Valued:
    def __init__(self, node: Values, held: Held) -> None:
        self._node = node
        self._tally = Tally(node, held)

    def add(self, values: Sequence[Any], record: Record) -> None:
        del record
        self._tally.add(values)
        if len(self._tally) > self._tally.limits.values_shown_max:
            self._node.tallied(self._tally)

    def result(self) -> list[Any]:
        return self._node.tallied(self._tally)


def build_values(
    analysis: Analysis, arguments: Sequence[Form], where: Predicate | None
) -> Values | WrongType:
    """From a field."""
    field = untimed_field(analysis, arguments[0])
    return WRONG if field is WRONG else Values(field=field, where=where)


VALUES = AggregateKind(
    name="values",
    signature="[:values field]",
    summary="the different values of the field, at most 1 000",
    example="[:values :http.status]",
    arguments=1,
    node=Values,
    build=build_values,
    write=write_field,
)
