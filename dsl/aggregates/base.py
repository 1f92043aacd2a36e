"""What an aggregate is: its node in the tree, how it is read and printed, and the two ways to work it out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from dsl.aggregates.held import Held
from dsl.analysis import WRONG, Analysis, WrongType, field_form
from dsl.forms import Form
from dsl.nodes import Node, Predicate
from dsl.record import TIMESTAMP, Record

if TYPE_CHECKING:
    AnyPredicate: TypeAlias = Predicate

FLOAT_INTEGERS_MAX = 2**53  # up to here a float that is whole is the integer


class Accumulator(Protocol):
    """One aggregate of one group, as records come."""

    def add(self, values: Sequence[Any], record: Record) -> None:
        """Take in one record, and beside it the scalars of the aggregate's field; of no field, none.

        Raises:
            QueryError: it would hold too much (`answer-too-large`).
        """
        ...

    def result(self) -> Any:
        """The aggregate of what was taken in."""
        ...


class Aggregate(Node):
    """One value for a group of records, of those among them for which `where` holds.

    Attributes:
        approximation: how far the index's answer may be from the exact one; None where it is exact.
        gives_maps: whether its value is a list of maps.
        per_second: whether what is worked out is divided by the seconds of the group.
    """

    op: str = ""
    where: "AnyPredicate | None" = None

    approximation: ClassVar[str | None] = None
    gives_maps: ClassVar[bool] = False
    per_second: ClassVar[bool] = False

    @property
    def source(self) -> str | None:
        """The field that it is worked out from; None when it only counts records."""
        return None

    @property
    def gives_time(self) -> bool:
        """Whether the result is a time, in microseconds."""
        return False

    def native(self, column: str) -> dict[str, Any] | None:
        """What the index is asked, of a column; None when it is not asked by one plain question."""
        raise NotImplementedError

    def read(self, result: dict[str, Any]) -> Any:
        """The value in the index's answer; None when there is none."""
        raise NotImplementedError

    def accumulator(self, held: Held) -> Accumulator:
        """An empty one, that counts what it holds."""
        raise NotImplementedError

    def empty(self) -> Any:
        """Its value for no records at all."""
        return self.accumulator(Held()).result()


class FieldAggregate(Aggregate):
    """An aggregate of the values of a field.

    Attributes:
        of_numbers: whether only its numbers count.
    """

    field: str

    of_numbers: ClassVar[bool] = False

    @property
    def source(self) -> str | None:
        """The field."""
        return self.field


A = TypeVar("A", bound=Aggregate)
F = TypeVar("F", bound=FieldAggregate)


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateKind(Generic[A]):
    """One kind of aggregate.

    Attributes:
        name: without the colon; the node's `op`.
        signature: how it is written, for messages.
        summary: what it is.
        example: one that reads.
        arguments: how many it takes, the last predicate not counted.
        node: its kind in the tree.
        build: from the arguments (and the last predicate) to a node, or the mistakes noted.
        write: from a node to the arguments, without the last predicate.
    """

    name: str
    signature: str
    summary: str
    example: str
    arguments: int
    node: type[A]
    build: Callable[[Analysis, Sequence[Form], Predicate | None], A | WrongType]
    write: Callable[[A], Sequence[Form]]


def build_numeric(node: type[F]) -> Callable[[Analysis, Sequence[Form], Predicate | None], F | WrongType]:
    """From a field of numbers."""

    def build(analysis: Analysis, arguments: Sequence[Form], where: Predicate | None) -> F | WrongType:
        field = numeric_field(analysis, arguments[0])
        return WRONG if field is WRONG else node(field=field, where=where)

    return build


def build_any(node: type[F]) -> Callable[[Analysis, Sequence[Form], Predicate | None], F | WrongType]:
    """From a field of anything."""

    def build(analysis: Analysis, arguments: Sequence[Form], where: Predicate | None) -> F | WrongType:
        field = analysis.field(arguments[0])
        return WRONG if field is WRONG else node(field=field, where=where)

    return build


def numeric_field(analysis: Analysis, form: Form) -> str | WrongType:
    """A field that may have numbers."""
    field = analysis.field(form)
    if field == TIMESTAMP:
        hint = "for times there are :min, :max, :count and :count-distinct"
        return analysis.wrong("bad-field", "timestamp is a time, not a number", form, hint)
    return field


def write_field(node: FieldAggregate) -> Sequence[Form]:
    """To its field."""
    return [field_form(node.field)]


def tidy(value: float | None) -> int | float | None:
    """A number as rows have it: whole where it is; None for none."""
    if value is None or value != value:  # noqa: PLR0124  # only NaN differs from itself
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) <= FLOAT_INTEGERS_MAX:
        return int(value)
    return value


def real(value: float | None) -> float | None:
    """A number as rows have it that is seldom whole: always a float; None for none."""
    return None if value is None or value != value else float(value)  # noqa: PLR0124
