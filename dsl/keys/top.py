"""`[:top :service 10]`: a group for each of the most frequent values of a field, and one for all others.

How frequent a value is, is how many of the query's records have it, whatever else they are grouped by; equally frequent
ones are taken in the order of values. Rows show the group of the others as `{"other": true}`: no value of a field is a
map, so it is not mistaken for one. Groups are ordered by how frequent the value is, the others behind, nil last.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictInt

from dsl.aggregates.top import how_many, untimed_field
from dsl.analysis import WRONG, Analysis, WrongType, field_form
from dsl.forms import Form, VectorForm
from dsl.keys.base import Key, KeyKind, KeysOf, Show
from dsl.keys.options import read_alias, read_options, split_options, write_key, written_alias, wrong_arity
from dsl.nodes import Open
from dsl.record import Record, leaves

SIGNATURE = "[:top field n], perhaps with {:as …}"
OTHER = {"other": True}


class TopKey(Key):
    """The most frequent values, by their places from 0; the others have the place after the last."""

    op: Literal["top"] = "top"
    most: Open[Annotated[StrictInt, Field(gt=0)]]

    gives_maps: ClassVar[bool] = True

    @property
    def ranked(self) -> int:
        """So many."""
        return self.most

    def values(self, frequent: Sequence[Any] = ()) -> KeysOf:
        """The places of its values."""
        find = leaves(self.field)
        places = {(type(value) is bool, value): place for place, value in enumerate(frequent)}
        others = len(frequent)

        def found(record: Record) -> Sequence[int | None]:
            seen = {places.get((type(leaf) is bool, leaf), others): None for leaf in find(record)}
            return list(seen) or [None]

        return found

    def shows(self, record: Record, shown: Any) -> bool:
        """Whether a record has the value; of the others that cannot be told from it alone."""
        return any(type(leaf) is type(shown) and leaf == shown for leaf in leaves(self.field)(record))

    def show(self, frequent: Sequence[Any] = ()) -> Show:
        """The value, or a map that says that it is another."""
        names = [*frequent, OTHER]
        return lambda place: None if place is None else names[place]


def build_top(analysis: Analysis, form: Form) -> TopKey | WrongType:
    """From a field and how many of its values."""
    assert isinstance(form.value, VectorForm)
    parts = split_options(form.value.items[1:], 2)
    if parts is None:
        return wrong_arity(analysis, form, "top", "a field and how many of its values", SIGNATURE)
    (named, count), last = parts
    field = untimed_field(analysis, named, "bad-group")
    most = how_many(analysis, count, "bad-group")
    options = read_options(analysis, last, "top", ("as",))
    alias = WRONG if options is WRONG else read_alias(analysis, options)
    if field is WRONG or most is WRONG or alias is WRONG:
        return WRONG
    return TopKey(field=field, most=most, alias=alias)


TOP = KeyKind(
    name="top",
    signature=SIGNATURE,
    summary="a group for each of the n most frequent values of the field, and one for all others",
    example="[:top :service 10]",
    nodes=[TopKey],
    build=build_top,
    write=lambda node: write_key(
        "top", [field_form(node.field), Form(node.most)], {"as": written_alias(node.alias)}
    ),
)
