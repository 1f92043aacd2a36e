"""`:service`: groups of records with the same value of a field; `[:field :service {:as :name}]` under another name."""

from collections.abc import Sequence
from typing import Any, Literal

from dsl.analysis import WRONG, Analysis, WrongType, field_form
from dsl.forms import Form, VectorForm
from dsl.keys.base import Key, KeyKind, KeysOf, distinct
from dsl.keys.options import read_alias, read_options, split_options, write_key, written_alias, wrong_arity
from dsl.record import TIMESTAMP, leaves

SIGNATURE = ":field, or [:field field {:as name}]"


class FieldKey(Key):
    """A value of a field."""

    op: Literal["field"] = "field"

    @property
    def gives_time(self) -> bool:
        """Whether it is the time itself, to the microsecond."""
        return self.field == TIMESTAMP

    def values(self, frequent: Sequence[Any] = ()) -> KeysOf:
        """Its different scalars."""
        del frequent
        find = leaves(self.field)
        return lambda record: distinct(find(record))


def build_field(analysis: Analysis, form: Form) -> FieldKey | WrongType:
    """From a field, or a vector with a field and another name."""
    if not isinstance(form.value, VectorForm):
        field = analysis.field(form, "bad-group")
        return WRONG if field is WRONG else FieldKey(field=field)
    parts = split_options(form.value.items[1:], 1)
    if parts is None:
        return wrong_arity(analysis, form, "field", "a field and options", SIGNATURE)
    field = analysis.field(parts[0][0], "bad-group")
    options = read_options(analysis, parts[1], "field", ("as",))
    alias = WRONG if options is WRONG else read_alias(analysis, options)
    return WRONG if field is WRONG or alias is WRONG else FieldKey(field=field, alias=alias)


def write_field_key(node: FieldKey) -> Form:
    """To its field, or a vector where it has another name."""
    field = field_form(node.field)
    return field if node.alias is None else write_key("field", [field], {"as": written_alias(node.alias)})


FIELD = KeyKind(
    name="field",
    signature=SIGNATURE,
    summary="a group for each value of the field; records without it are the group of nil",
    example=":service",
    nodes=[FieldKey],
    build=build_field,
    write=write_field_key,
)
