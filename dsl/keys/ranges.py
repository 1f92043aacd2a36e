"""`[:ranges :latency_ms [0 10 100 1000]]`: groups of records whose numbers lie between the same two bounds.

A range has its lower bound and not its upper one. Below the first bound and from the last on there is a range too. Rows
show them as Elasticsearch does: `*-0`, `0-10`, `10-100`, `100-1000`, `1000-*`; they are ordered by their bounds.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, StrictFloat, StrictInt

from dsl.analysis import WRONG, Analysis, WrongType, described, field_form
from dsl.forms import Form, VectorForm
from dsl.keys.base import Key, KeyKind, KeysOf, Show
from dsl.keys.options import read_alias, read_options, split_options, write_key, written_alias, wrong_arity
from dsl.nodes import Open, is_open
from dsl.record import NUMBERS, TIMESTAMP, Record, leaves

SIGNATURE = "[:ranges field [bound bound…]], perhaps with {:as …}"
OPEN = "*"


class RangesKey(Key):
    """The ranges between bounds, by their places: 0 lies below the first bound."""

    op: Literal["ranges"] = "ranges"
    bounds: tuple[Open[StrictInt | StrictFloat], ...] = Field(min_length=1)

    def values(self, frequent: Sequence[Any] = ()) -> KeysOf:
        """The ranges of its numbers; the other values have none."""
        del frequent
        find = leaves(self.field)
        bounds = self.bounds

        def places(record: Record) -> Sequence[int | None]:
            found = {bisect_right(bounds, leaf): None for leaf in find(record) if type(leaf) in NUMBERS}
            return list(found) or [None]

        return places

    def show(self, frequent: Sequence[Any] = ()) -> Show:
        """The bounds as a text."""
        del frequent
        ends = [OPEN, *map(str, self.bounds), OPEN]
        names = [f"{low}-{high}" for low, high in pairwise(ends)]
        return lambda place: None if place is None else names[place]

    def within(self, place: int) -> tuple[int | float | None, int | float | None]:
        """The bounds of a range; None where it is open."""
        ends = [None, *self.bounds, None]
        return ends[place], ends[place + 1]

    @property
    def inner(self) -> range:
        """The places of the ranges that have two bounds."""
        return range(1, len(self.bounds))


def build_ranges(analysis: Analysis, form: Form) -> RangesKey | WrongType:
    """From a field and its bounds, which rise."""
    assert isinstance(form.value, VectorForm)
    parts = split_options(form.value.items[1:], 2)
    if parts is None:
        return wrong_arity(analysis, form, "ranges", "a field and its bounds", SIGNATURE)
    (named, written), last = parts
    field = analysis.field(named, "bad-group")
    options = read_options(analysis, last, "ranges", ("as",))
    alias = WRONG if options is WRONG else read_alias(analysis, options)
    bounds = _bounds(analysis, written)
    if field == TIMESTAMP:
        hint = 'group by [:bucket :timestamp "5m"]'
        field = analysis.wrong("bad-group", "timestamp is a time, not a number", named, hint)
    if field is WRONG or alias is WRONG or bounds is WRONG:
        return WRONG
    return RangesKey(field=field, bounds=bounds, alias=alias)


def _bounds(analysis: Analysis, form: Form) -> tuple[int | float, ...] | WrongType:
    if not isinstance(form.value, VectorForm) or not form.value.items:
        hint = "write numbers that rise: [0 10 100 1000]"
        return analysis.wrong("bad-group", f"{described(form)} is no vector of bounds", form, hint)
    items = form.value.items
    if len(items) > analysis.limits.ranges_max:
        message = f"{len(items)} bounds, more than {analysis.limits.ranges_max}"
        return analysis.wrong("bad-group", message, form, "write fewer, or use :bucket")
    numbers = [analysis.number(item, "a bound") for item in items]
    right = [number for number in numbers if number is not WRONG]
    if len(right) < len(numbers):
        return WRONG
    for (low, high), item in zip(pairwise(right), items[1:], strict=True):
        if not is_open(low) and not is_open(high) and low >= high:
            return analysis.wrong(
                "bad-group", f"the bound {high} does not lie above {low}", item, "write bounds that rise"
            )
    return tuple(right)


RANGES = KeyKind(
    name="ranges",
    signature=SIGNATURE,
    summary="a group for the numbers between each two bounds, the upper one left out",
    example="[:ranges :latency_ms [0 10 100 1000]]",
    nodes=[RangesKey],
    build=build_ranges,
    write=lambda node: write_key(
        "ranges",
        [field_form(node.field), Form(VectorForm(tuple(map(Form, node.bounds))))],
        {"as": written_alias(node.alias)},
    ),
)
