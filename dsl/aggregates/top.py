"""`[:top f 5]`: the most frequent values of a field, each with the number of records that have it."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictInt

from dsl.aggregates.base import Accumulator, AggregateKind, FieldAggregate
from dsl.aggregates.held import Held
from dsl.aggregates.tally import Tally, shown_counts
from dsl.analysis import WRONG, Analysis, WrongType, described, field_form
from dsl.forms import Form
from dsl.nodes import Open, Predicate
from dsl.record import TIMESTAMP, Record


class Top(FieldAggregate):
    """The most frequent values, the first of them the most frequent; equal ones in the order of values."""

    op: Literal["top"] = "top"
    most: Open[Annotated[StrictInt, Field(gt=0)]]

    gives_maps: ClassVar[bool] = True

    def native(self, column: str) -> dict[str, Any] | None:
        """No plain question: the index lists all values."""
        del column
        return None

    def read(self, result: dict[str, Any]) -> Any:
        """Nothing: the index has no such value."""
        raise NotImplementedError

    def tallied(self, tally: Tally) -> list[dict[str, Any]]:
        """The value, from all values and their counts."""
        return shown_counts(tally.most_frequent(self.most))

    def accumulator(self, held: Held) -> Accumulator:
        """Nothing yet."""
        return _Topped(self, held)


class _Topped:
    def __init__(self, node: Top, held: Held) -> None:
        self._node = node
        self._tally = Tally(node, held)

    def add(self, values: Sequence[Any], record: Record) -> None:
        del record
        self._tally.add(values)

    def result(self) -> list[dict[str, Any]]:
        return self._node.tallied(self._tally)


def build_top(analysis: Analysis, arguments: Sequence[Form], where: Predicate | None) -> Top | WrongType:
    """From a field and how many of its values."""
    field = untimed_field(analysis, arguments[0])
    most = how_many(analysis, arguments[1])
    return WRONG if field is WRONG or most is WRONG else Top(field=field, most=most, where=where)


def untimed_field(analysis: Analysis, form: Form, code: str = "bad-field") -> str | WrongType:
    """A field that may have the same value twice."""
    field = analysis.field(form, code)
    if field == TIMESTAMP:
        hint = 'group by [:bucket :timestamp "5m"]'
        return analysis.wrong(code, "hardly two records have the same timestamp", form, hint)
    return field


def how_many(analysis: Analysis, form: Form, code: str = "bad-value") -> int | WrongType:
    """How many of the most frequent values."""
    if (param := analysis.param(form, "count")) is not None:
        return param
    value = form.value
    most = analysis.limits.top_max
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        hint = f"write a whole number from 1 to {most}"
        return analysis.wrong(code, f"{described(form)} is no number of values", form, hint)
    return value


TOP = AggregateKind(
    name="top",
    signature="[:top field n]",
    summary="the n most frequent values of the field, each with the number of records that have it",
    example="[:top :http.path 5]",
    arguments=2,
    node=Top,
    build=build_top,
    write=lambda node: [field_form(node.field), Form(node.most)],
)
