"""`[:bucket :timestamp "5m"]`, `[:bucket :latency_ms 50]`: groups of records near in time, or in a number.

A bucket is named by its beginning, which belongs to it. Buckets of time begin at whole multiples of their
width since 1970 UTC (of whole weeks: since a Monday), those of numbers at whole multiples of theirs;
`{:offset …}` shifts them.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from dsl.aggregates.base import tidy
from dsl.analysis import WRONG, Analysis, WrongType, described, duration_form, field_form, name_of
from dsl.forms import Form, Keyword, MapForm, VectorForm
from dsl.keys.base import Key, KeyKind, KeysOf, distinct
from dsl.nodes import Open, is_open
from dsl.record import NUMBERS, TIMESTAMP, leaves
from dsl.time import UNITS_US, WEEK_ORIGIN_US

SIGNATURE = '[:bucket :timestamp "5m"] or [:bucket field width], each with an optional {:offset …}'


class TimeBucket(Key):
    """A stretch of time: `width_us` wide, and shifted by `offset_us`."""

    op: Literal["time-bucket"] = "time-bucket"
    field: Literal["timestamp"] = "timestamp"
    width_us: Open[Annotated[int, Field(gt=0)]]
    offset_us: Open[int] = 0

    @property
    def gives_time(self) -> bool:
        """It is named by its beginning."""
        return True

    @property
    def origin_us(self) -> int:
        """An instant at which a bucket begins, at most one width from 1970."""
        weeks = WEEK_ORIGIN_US if self.width_us % UNITS_US["w"] == 0 else 0
        return (weeks + self.offset_us) % self.width_us

    def start(self, us: int) -> int:
        """The beginning of the bucket that holds an instant."""
        return us - (us - self.origin_us) % self.width_us

    def values(self) -> KeysOf:
        """The one bucket of the record's time."""
        start = self.start
        return lambda record: [start(record.timestamp_us)]


class NumberBucket(Key):
    """A range of numbers: `width` wide, and shifted by `offset`."""

    op: Literal["number-bucket"] = "number-bucket"
    width: Open[Annotated[StrictInt | StrictFloat, Field(gt=0)]]
    offset: Open[StrictInt | StrictFloat] = 0

    def start(self, number: float) -> int | float | None:
        """The beginning of the bucket that holds a number, worked out in floats as the index does."""
        width, offset = float(self.width), float(self.offset)
        steps = (float(number) - offset) / width
        if not math.isfinite(steps):
            return tidy(float(number))  # so narrow that every number has a bucket of its own
        return tidy(math.floor(steps) * width + offset)

    def values(self) -> KeysOf:
        """The buckets of its numbers; the other values have none."""
        find = leaves(self.field)
        start = self.start
        return lambda record: distinct([start(leaf) for leaf in find(record) if type(leaf) in NUMBERS])


def build_bucket(analysis: Analysis, form: Form) -> TimeBucket | NumberBucket | WrongType:
    """From a field, a width, and perhaps an offset."""
    assert isinstance(form.value, VectorForm)
    arguments = form.value.items[1:]
    if not 2 <= len(arguments) <= 3:
        message = f":bucket takes a field and a width, not {len(arguments)} arguments"
        return analysis.wrong("wrong-arity", message, form, f"write {SIGNATURE}")
    field = analysis.field(arguments[0], "bad-group")
    offset = _offset_form(analysis, arguments[2]) if len(arguments) == 3 else None
    if field is WRONG or offset is WRONG:
        return WRONG
    return (
        _time(analysis, arguments[1], offset)
        if field == TIMESTAMP
        else _number(analysis, field, arguments[1], offset)
    )


def _time(analysis: Analysis, width: Form, offset: Form | None) -> TimeBucket | WrongType:
    width_us = analysis.duration(width)
    offset_us = 0 if offset is None else analysis.duration(offset, least_us=0)
    if width_us is WRONG or offset_us is WRONG:
        return WRONG
    known = not is_open(width_us) and not is_open(offset_us)
    return TimeBucket(width_us=width_us, offset_us=offset_us % width_us if known else offset_us)


def _number(analysis: Analysis, field: str, width: Form, offset: Form | None) -> NumberBucket | WrongType:
    if isinstance(width.value, str):
        hint = "write a number; only :timestamp has buckets of time"
        return analysis.wrong("bad-group", f"{described(width)} is no width of numbers", width, hint)
    number = analysis.number(width, "the width of a bucket")
    shift = 0 if offset is None else analysis.number(offset, "the offset of a bucket")
    if number is not WRONG and not is_open(number) and number <= 0:
        number = analysis.wrong("bad-group", "a bucket without width", width, "write a number above 0")
    return (
        WRONG if number is WRONG or shift is WRONG else NumberBucket(field=field, width=number, offset=shift)
    )


def _offset_form(analysis: Analysis, options: Form) -> Form | WrongType | None:
    """The form after `:offset`."""
    if not isinstance(options.value, MapForm):
        return analysis.wrong(
            "bad-group", f"{described(options)} is no map of options", options, "write {:offset …}"
        )
    found: Form | None = None
    for key, item in options.value.pairs:
        name = name_of(key)
        if name != "offset":
            analysis.wrong(
                "unknown-key", f"no option {described(key)} of :bucket", key, "the only option is :offset"
            )
            return WRONG
        found = item
    return found


def write_bucket(node: TimeBucket | NumberBucket) -> Form:
    """To its field, its width, and its offset where it has one."""
    if isinstance(node, TimeBucket):
        width, offset = duration_form(node.width_us), duration_form(node.offset_us)
        shifted = node.offset_us != 0
    else:
        width, offset, shifted = Form(node.width), Form(node.offset), node.offset != 0
    options = [Form(MapForm(((Form(Keyword("offset")), offset),)))] if shifted else []
    return Form(VectorForm((Form(Keyword("bucket")), field_form(node.field), width, *options)))


BUCKET: KeyKind[TimeBucket | NumberBucket] = KeyKind(
    name="bucket",
    signature=SIGNATURE,
    summary="a group for each stretch of time, or each range of numbers, named by its beginning",
    example='[:bucket :timestamp "5m"]',
    nodes=[TimeBucket, NumberBucket],
    build=build_bucket,
    write=write_bucket,
)
