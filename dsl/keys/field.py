"""`:service`: groups of records with the same value of a field."""

from typing import Literal

from dsl.analysis import WRONG, Analysis, WrongType, field_form
from dsl.forms import Form
from dsl.keys.base import Key, KeyKind, KeysOf, distinct
from dsl.record import TIMESTAMP, leaves


class FieldKey(Key):
    """A value of a field."""

    op: Literal["field"] = "field"

    @property
    def gives_time(self) -> bool:
        """Whether it is the time itself, to the microsecond."""
        return self.field == TIMESTAMP

    def values(self) -> KeysOf:
        """Its different scalars."""
        find = leaves(self.field)
        return lambda record: distinct(find(record))


def build_field(analysis: Analysis, form: Form) -> FieldKey | WrongType:
    """From a field."""
    field = analysis.field(form, "bad-group")
    return WRONG if field is WRONG else FieldKey(field=field)


FIELD = KeyKind(
    name="field",
    signature=":field",
    summary="a group for each value of the field; records without it are the group of nil",
    example=":service",
    nodes=[FieldKey],
    build=build_field,
    write=lambda node: field_form(node.field),
)
