"""`[:first f]`: the value of a field in the earliest record that has one, several as a list; of none, nil."""

from typing import ClassVar, Literal

from dsl.aggregates.base import AggregateKind, build_any, write_field
from dsl.aggregates.ends import End


class First(End):
    """The value of the earliest record."""

    op: Literal["first"] = "first"

    last: ClassVar[bool] = False


FIRST = AggregateKind(
    name="first",
    signature="[:first field]",
    summary="the field's value in the earliest record that has one; nil when none has",
    example="[:first :message]",
    arguments=1,
    node=First,
    build=build_any(First),
    write=write_field,
)
