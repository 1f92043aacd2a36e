"""`[:last f]`: the value of a field in the latest record that has one, several as a list; of none, nil."""

from typing import ClassVar, Literal

from dsl.aggregates.base import AggregateKind, build_any, write_field
from dsl.aggregates.ends import End


class Last(End):
    """The value of the latest record."""

    op: Literal["last"] = "last"

    last: ClassVar[bool] = True


LAST = AggregateKind(
    name="last",
    signature="[:last field]",
    summary="the field's value in the latest record that has one; nil when none has",
    example="[:last :message]",
    arguments=1,
    node=Last,
    build=build_any(Last),
    write=write_field,
)
