"""The tree of a query: what `{:from :nginx :where […] :limit 10}` says, checked, defaults filled in."""

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field

from dsl.aggregates import ANY_AGGREGATE
from dsl.aggregates.base import Aggregate
from dsl.arithmetic import Arithmetic
from dsl.keys import ANY_KEY
from dsl.keys.base import Key
from dsl.nodes import Node, Open, Predicate
from dsl.operators import ANY_PREDICATE
from dsl.record import TIMESTAMP
from dsl.time import Time

if TYPE_CHECKING:
    AnyPredicate: TypeAlias = Predicate
    AnyAggregate: TypeAlias = Aggregate
    AnyKey: TypeAlias = Key
else:
    AnyPredicate, AnyAggregate, AnyKey = ANY_PREDICATE, ANY_AGGREGATE, ANY_KEY

EVERY_STREAM: Final = "*"
DEFAULT_STREAM: Final = "main"
DEFAULT_LIMIT: Final = 100  # rows: a screen or two; who wants more says so


class Order(Node):
    """One step of an order: by a field, or by a group's key or aggregate."""

    name: str
    direction: Literal["asc", "desc"] = "asc"


class Named(Node):
    """An aggregate, or arithmetic over others, and the name that rows have it under."""

    name: str
    call: AnyAggregate | Arithmetic


NEWEST_FIRST: Final = (Order(name=TIMESTAMP, direction="desc"),)


class Query(Node):
    """A query for rows, or for groups when `aggregate` is there.

    Attributes:
        from_: the streams by name, in order; `*` is every stream whose name does not begin with `_`.
        time: which time the records are of; None is any.
        where: what holds for them; None is all.
        select: the paths that rows show; None is the whole record.
        order_by: of rows, never empty; of groups, by their keys when empty.
        limit: of rows a number; of groups None is all.
        after: the cursor of the page before, as it was given out.
        total: whether all that match are counted too (of groups: the groups).
        group_by: what groups are made by; none is one group of all.
        aggregate: what is worked out for each group, at least one; None is a query for rows.
        timeout_us: how long it may take, microseconds; None is as long as the server lets it.
        on_timeout: when time is up: `fail` is an error, `partial` an answer that says it is not complete.
        having: what holds for the groups that are shown, by the names of keys and aggregates; None is all.
        exact: whether nothing may be an estimate, however long that takes.
    """

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    from_: Open[tuple[str, ...] | Literal["*"]] = Field(default=(DEFAULT_STREAM,), alias="from")
    time: Time | None = None
    where: AnyPredicate | None = None
    select: tuple[str, ...] | None = None
    order_by: tuple[Order, ...] = NEWEST_FIRST
    limit: Open[int | None] = DEFAULT_LIMIT
    after: str | None = None
    total: Open[bool] = False
    group_by: tuple[AnyKey, ...] = ()
    aggregate: tuple[Named, ...] | None = None
    timeout_us: Open[int] | None = None
    on_timeout: Literal["fail", "partial"] = "fail"
    having: AnyPredicate | None = None
    exact: Open[bool] = False

    @property
    def grouped(self) -> bool:
        """Whether it asks for groups, not for rows."""
        return self.aggregate is not None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what rows of groups have, in order."""
        return (*(key.name for key in self.group_by), *(one.name for one in self.aggregate or ()))

    @property
    def measured(self) -> tuple[tuple[str, Aggregate], ...]:
        """The aggregates of records by their names, arithmetic left out."""
        named = self.aggregate or ()
        return tuple((one.name, one.call) for one in named if isinstance(one.call, Aggregate))

    def reads(self, stream: str) -> bool:
        """Whether it is asked of a stream."""
        return not stream.startswith("_") if self.from_ == EVERY_STREAM else stream in self.from_
