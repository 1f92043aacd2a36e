"""`[:bucket :timestamp "5m"]`, `[:bucket :latency_ms 50]`: groups of records near in time, or in a number.

A bucket is named by its beginning, which belongs to it. Buckets of time begin at whole multiples of their
width since 1970 UTC (of whole weeks: since a Monday), those of numbers at whole multiples of theirs;
`{:offset …}` shifts them. `{:fill true}` shows those without records too, `{:fill false}` none of them.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat, StrictInt

from dsl.aggregates.base import tidy
from dsl.analysis import WRONG, Analysis, WrongType, described, duration_form, field_form
from dsl.forms import Form, VectorForm
from dsl.keys.base import Key, KeyKind, KeysOf, distinct
from dsl.keys.options import (
    read_alias,
    read_flag,
    read_options,
    split_options,
    write_key,
    written_alias,
    wrong_arity,
)
from dsl.nodes import Open, is_open
from dsl.record import NUMBERS, TIMESTAMP, leaves
from dsl.time import UNITS_US, WEEK_ORIGIN_US

SIGNATURE = '[:bucket :timestamp "5m"] or [:bucket field width], each perhaps with {:offset … :fill … :as …}'


class TimeBucket(Key):
    """A stretch of time: `width_us` wide, and shifted by `offset_us`."""

    op: Literal["time-bucket"] = "time-bucket"
    field: Literal["timestamp"] = "timestamp"
    width_us: Open[Annotated[int, Field(gt=0)]]
    offset_us: Open[int] = 0
    fill: Open[bool | None] = None

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

    def values(self, frequent: Sequence[Any] = ()) -> KeysOf:
        """The one bucket of the record's time."""
        del frequent
        start = self.start
        return lambda record: [start(record.timestamp_us)]


class NumberBucket(Key):
    """A range of numbers: `width` wide, and shifted by `offset`."""

    op: Literal["number-bucket"] = "number-bucket"
    width: Open[Annotated[StrictInt | StrictFloat, Field(gt=0)]]
    offset: Open[StrictInt | StrictFloat] = 0
    fill: Open[bool | None] = None

    def start(self, number: float) -> int | float | None:
        """The beginning of the bucket that holds a number, worked out in floats as the index does."""
        width, offset = float(self.width), float(self.offset)
        steps = (float(number) - offset) / width
        if not math.isfinite(steps):
            return tidy(float(number))  # so narrow that every number has a bucket of its own
        return self.at_step(math.floor(steps))

    def at_step(self, step: int) -> int | float | None:
        """The beginning of a bucket by how many lie between it and the offset."""
        return tidy(step * float(self.width) + float(self.offset))

    def values(self, frequent: Sequence[Any] = ()) -> KeysOf:
        """The buckets of its numbers; the other values have none."""
        del frequent
        find = leaves(self.field)
        start = self.start
        return lambda record: distinct([start(leaf) for leaf in find(record) if type(leaf) in NUMBERS])


def build_bucket(analysis: Analysis, form: Form) -> TimeBucket | NumberBucket | WrongType:
    """From a field, a width, and perhaps options."""
    assert isinstance(form.value, VectorForm)
    parts = split_options(form.value.items[1:], 2)
    if parts is None:
        return wrong_arity(analysis, form, "bucket", "a field and a width", SIGNATURE)
    (named, width), last = parts
    field = analysis.field(named, "bad-group")
    options = read_options(analysis, last, "bucket", ("offset", "fill", "as"))
    if field is WRONG or options is WRONG:
        return WRONG
    alias, fill = read_alias(analysis, options), read_flag(analysis, options, "fill")
    build = _time if field == TIMESTAMP else _number
    made = build(analysis, field, width, options.get("offset"))
    if made is WRONG or alias is WRONG or fill is WRONG:
        return WRONG
    return made.model_copy(update={"alias": alias, "fill": fill})


def _time(analysis: Analysis, _: str, width: Form, offset: Form | None) -> TimeBucket | WrongType:
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


def write_bucket(node: TimeBucket | NumberBucket) -> Form:
    """To its field, its width, and what is not as usual."""
    if isinstance(node, TimeBucket):
        width, offset = duration_form(node.width_us), duration_form(node.offset_us)
        shifted = node.offset_us != 0
    else:
        width, offset, shifted = Form(node.width), Form(node.offset), node.offset != 0
    options = {
        "offset": offset if shifted else None,
        "fill": None if node.fill is None else Form(node.fill),
        "as": written_alias(node.alias),
    }
    return write_key("bucket", [field_form(node.field), width], options)


BUCKET: KeyKind[TimeBucket | NumberBucket] = KeyKind(
    name="bucket",
    signature=SIGNATURE,
    summary="a group for each stretch of time, or each range of numbers, named by its beginning",
    example='[:bucket :timestamp "5m"]',
    nodes=[TimeBucket, NumberBucket],
    build=build_bucket,
    write=write_bucket,
)
