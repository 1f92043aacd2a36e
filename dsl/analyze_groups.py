"""From the forms after `:group-by` and `:aggregate` to keys and aggregates, and what holds of them together.

{:group-by [:service [:bucket :timestamp "5m"]] :aggregate {:errors [:count [:= :level "error"]]}}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dsl import arithmetic
from dsl.aggregates import AGGREGATES
from dsl.aggregates.base import Aggregate
from dsl.aggregates.values import Values
from dsl.analysis import WRONG, Analysis, WrongType, described, name_of
from dsl.arithmetic import Arithmetic
from dsl.ast import Named, Order
from dsl.errors import quoted
from dsl.forms import Form, MapForm, VectorForm
from dsl.having import column_of, fields_of
from dsl.keys import KEYS
from dsl.keys.base import Key
from dsl.keys.bucket import TimeBucket
from dsl.nodes import Predicate
from dsl.record import EVERY
from dsl.time import Time

Given = dict[str, tuple[Form, Form]]
"""The key and the value of each name."""

COUNT_ONLY = (Named(name="count", call=AGGREGATES["count"].node()),)
"""What groups have where no aggregate is asked for."""

# What others call the aggregates.
_MEANT_AGGREGATES = {
    "count-if": "count",
    "countif": "count",
    "count-over-time": "count",
    "mean": "avg",
    "average": "avg",
    "minimum": "min",
    "maximum": "max",
    "total": "sum",
    "uniq": "count-distinct",
    "unique": "count-distinct",
    "distinct": "count-distinct",
    "std": "stddev",
    "deviation": "stddev",
    "per-second": "rate",
    "earliest": "first",
    "latest": "last",
    "topk": "top",
    "terms": "top",
    "collect": "values",
    "list": "values",
    "div": "/",
    "divide": "/",
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "cardinality": "count-distinct",
    "quantile": "percentile",
    "p50": "median",
    "p90": "percentile",
    "p95": "percentile",
    "p99": "percentile",
}

# What others call the kinds of group keys.
_MEANT_KEYS = {
    **dict.fromkeys(
        (
            "date-histogram",
            "histogram",
            "interval",
            "bin",
            "time",
            "date-trunc",
            "step",
            "span",
            "minute",
            "hour",
            "day",
            "week",
        ),
        "bucket",
    ),
    **dict.fromkeys(("terms", "topk", "limit"), "top"),
    **dict.fromkeys(("range", "case", "buckets"), "ranges"),
    **dict.fromkeys(("term", "by", "key"), "field"),
}


def group_by(analysis: Analysis, form: Form) -> tuple[Key, ...] | WrongType:
    """The keys that a vector names."""
    if not isinstance(form.value, VectorForm):
        hint = f"write [{described(form)}]" if name_of(form) else 'write [:service [:bucket :timestamp "5m"]]'
        return analysis.wrong("bad-group", f"{described(form)} is no vector of group keys", form, hint)
    items = form.value.items
    if _is_key(items):
        hint = 'write it in a vector of its own: [[:bucket :timestamp "5m"]]'
        return analysis.wrong("bad-group", "group keys are a vector of keys", form, hint)
    if len(items) > analysis.limits.group_keys_max:
        message = f"{len(items)} group keys, more than {analysis.limits.group_keys_max}"
        return analysis.wrong("bad-group", message, form, "leave some out, or ask several queries")
    keys = [_key(analysis, item) for item in items]
    right = [key for key in keys if key is not WRONG]
    if len(right) < len(keys):
        return WRONG
    names: set[str] = set()
    for key, item in zip(right, items, strict=True):
        if key.name in names:
            hint = "name one of them otherwise, with {:as …} at its end"
            return analysis.wrong("bad-group", f"two group keys of {described(Form(key.name))}", item, hint)
        names.add(key.name)
    return tuple(right)


def _is_key(items: Sequence[Form]) -> bool:
    """Whether they are the parts of one key: `[:bucket :timestamp "5m"]` without a vector around it."""
    head = name_of(items[0]) if items else None
    return head in set(KEYS) - {"field"} and len(items) > (1 if head == "bucket" else 2)


def _key(analysis: Analysis, form: Form) -> Key | WrongType:
    made: Key | WrongType
    if not isinstance(form.value, VectorForm):
        made = KEYS["field"].build(analysis, form)
        return made if made is WRONG else made.at(form.start, form.end)
    head = name_of(form.value.items[0]) if form.value.items else None
    if head not in KEYS:
        meant = _MEANT_KEYS.get((head or "").lower().replace("_", "-"))
        hint = (
            (f"did you mean :{meant}? Write {KEYS[meant].signature}" if meant else None)
            or analysis.near(head or "", KEYS, ":")
            or f"write {'; or '.join(kind.signature for kind in KEYS.values())}"
        )
        place = form.value.items[0] if form.value.items else form
        return analysis.wrong("bad-group", f"{described(place)} is no kind of group key", place, hint)
    made = KEYS[head].build(analysis, form)
    return made if made is WRONG else made.at(form.start, form.end)


def aggregate(analysis: Analysis, form: Form) -> tuple[Named, ...] | WrongType:
    """The aggregates that a map names."""
    if not isinstance(form.value, MapForm) or not form.value.pairs:
        hint = "write {:requests [:count] :p95 [:percentile :latency_ms 95]}"
        return analysis.wrong(
            "bad-aggregate", f"{described(form)} is no map from names to aggregates", form, hint
        )
    if len(form.value.pairs) > analysis.limits.aggregates_max:
        message = f"{len(form.value.pairs)} aggregates, more than {analysis.limits.aggregates_max}"
        return analysis.wrong("bad-aggregate", message, form, "ask several queries")
    made = [_named(analysis, key, item) for key, item in form.value.pairs]
    right = [named for named in made if named is not WRONG]
    names: set[str] = set()
    for named, (key, _) in zip(made, form.value.pairs, strict=True):
        if named is not WRONG and named.name in names:
            return analysis.wrong(
                "duplicate-key", f"two aggregates named {described(key)}", key, "rename one of them"
            )
        names.add(named.name if named is not WRONG else "")
    return tuple(right) if len(right) == len(made) else WRONG


def _named(analysis: Analysis, key: Form, item: Form) -> Named | WrongType:
    name = name_of(key)
    if name is None:
        hint = "write it as a keyword, :requests, or as a string for odd names"
        analysis.wrong("bad-aggregate", f"{described(key)} is no name for an aggregate", key, hint)
    call = _call(analysis, item)
    return WRONG if name is None or call is WRONG else Named(name=name, call=call).at(key.start, item.end)


def _call(analysis: Analysis, form: Form) -> Aggregate | Arithmetic | WrongType:
    """`[:avg :latency_ms]`, perhaps with a predicate at its end, or `[:/ :errors :requests]`."""
    if not isinstance(form.value, VectorForm) or not form.value.items:
        hint = "write [:count]" if name_of(form) == "count" else "write it as [:avg :latency_ms]"
        return analysis.wrong("bad-aggregate", f"{described(form)} is no aggregate", form, hint)
    head, *arguments = form.value.items
    name = name_of(head)
    if name in arithmetic.SIGNATURES:
        return arithmetic.build(analysis, form)
    if name not in AGGREGATES:
        meant = _MEANT_AGGREGATES.get(name or "")
        near = f"did you mean :{meant}?" if meant else analysis.near(name or "", AGGREGATES, ":")
        hint = near or "the aggregates are " + " ".join(
            f":{known}" for known in (*AGGREGATES, *arithmetic.SIGNATURES)
        )
        shown = described(head) if name is None else f":{quoted(name)}"
        return analysis.wrong("unknown-aggregate", f"no aggregate {shown}", head, hint)
    kind = AGGREGATES[name]
    where = None
    if len(arguments) == kind.arguments + 1 and isinstance(arguments[-1].value, VectorForm | MapForm):
        where = analysis.predicate(arguments.pop())
    if len(arguments) != kind.arguments:
        takes = f"{kind.arguments} argument{'s' if kind.arguments != 1 else ''}"
        message = f":{name} takes {takes} and perhaps a predicate, not {len(arguments)}"
        hint = f"write {kind.signature}"
        if name == "count" and len(arguments) == 1 and name_of(arguments[0]) == EVERY:
            hint = "write [:count]: it counts records"
        elif name == "count" and len(arguments) == 1 and name_of(arguments[0]) is not None:
            hint = f"to count the records that have it, write [:count [:exists {described(arguments[0])}]]"
        return analysis.wrong("wrong-arity", message, form, hint)
    if where is WRONG:
        return WRONG
    made: Aggregate | WrongType = kind.build(analysis, arguments, where)
    return made if made is WRONG else made.at(form.start, form.end)


def check_groups(analysis: Analysis, given: Given, read: Mapping[str, Any]) -> None:
    """What only groups have, and what they do not have."""
    for name in ("select", "after"):
        if name in given:
            hint = {
                "select": "rows of groups have their keys and aggregates",
                "after": "groups have no pages: order them and write a :limit",
            }[name]
            analysis.wrong("key-not-here", f":{name} with groups", given[name][0], hint)
    keys, named = read.get("group-by", ()), read.get("aggregate", COUNT_ONLY)
    if keys is WRONG or named is WRONG:
        return
    if not keys and "aggregate" not in given:
        hint = "name a field, or write :aggregate for one group of all"
        analysis.wrong("bad-group", "no group key", given["group-by"][1], hint)
        return
    key_names = {key.name for key in keys}
    for one in named:
        if one.name in key_names:
            place = Form(None, *one.span)
            message = f"{described(Form(one.name))} is the name of a group key and of an aggregate"
            analysis.wrong("duplicate-key", message, place, "rename the aggregate")
    columns = _Columns(keys, named)
    _check_arithmetic(analysis, columns)
    _check_rates(analysis, columns, read.get("time"))
    _check_order(analysis, columns, read.get("order-by", ()))
    wanted = read.get("having")
    if wanted is not None and wanted is not WRONG:
        _check_having(analysis, columns, wanted)


def having(analysis: Analysis, form: Form, read: Mapping[str, Any]) -> Predicate | WrongType:
    """A predicate over the rows of groups, of which some columns are times.

    Args:
        analysis: Where mistakes are noted.
        form: As read.
        read: The values of `:group-by` and `:aggregate`, where they stand.
    """
    keys, named = read.get("group-by", ()), read.get("aggregate", COUNT_ONLY)
    of_records = analysis.times
    if keys is not WRONG and named is not WRONG:
        times = {key.name for key in keys if key.gives_time}
        analysis.times = times | _Columns(keys, named).times
    made = analysis.predicate(form)
    analysis.times = of_records
    return made


def check_rows(analysis: Analysis, given: Given) -> None:
    """What rows do not have."""
    for name in ("having", "exact"):
        if name in given:
            hint = {"having": "write it into :where", "exact": "rows are always exact: leave it out"}[name]
            analysis.wrong("key-not-here", f":{name} without groups", given[name][0], hint)


class _Columns:
    """What rows of groups will have, and what can be done with it."""

    def __init__(self, keys: Sequence[Key], named: Sequence[Named]) -> None:
        self.keys = {key.name: key for key in keys}
        self.aggregates = {one.name: one for one in named}
        self.names = [*self.keys, *self.aggregates]
        self.formulas = {one.name: one.call for one in named if isinstance(one.call, Arithmetic)}
        calls = {one.name: one.call for one in named if isinstance(one.call, Aggregate)}
        self.calls = calls
        self.times = {name for name, call in calls.items() if call.gives_time}
        self.maps = {name for name, call in calls.items() if call.gives_maps}


def _check_arithmetic(analysis: Analysis, columns: _Columns) -> None:
    """Every name is one of an aggregate that is a number, and nothing is worked out from itself."""
    right = True
    for formula in columns.formulas.values():
        for part in arithmetic.names(formula):
            place, shown = Form(None, *part.span), described(Form(part.name))
            if part.name not in columns.aggregates:
                right = False
                message = f"{shown} is no aggregate of this query"
                hint = analysis.near(part.name, columns.aggregates, ":") or "the aggregates are " + " ".join(
                    f":{quoted(name)}" for name in columns.aggregates
                )
                if part.name in columns.keys:
                    message, hint = f"{shown} is a group key", "work with aggregates, such as [:max …]"
                analysis.wrong("unknown-name", message, place, hint)
            elif part.name in columns.maps or isinstance(columns.calls.get(part.name), Values):
                analysis.wrong("type-clash", f"{shown} is a list, not a number", place, "count it instead")
        for part in arithmetic.misused_times(formula, columns.times):
            hint = "with two times there is only [:- later earlier], in seconds"
            message = f"{described(Form(part.name))} is a time, not a number"
            analysis.wrong("type-clash", message, Form(None, *part.span), hint)
    if not right:
        return
    try:
        arithmetic.in_order(columns.formulas)
    except arithmetic.Circular as error:
        place = Form(None, *columns.aggregates[error.path[0]].span)
        message = f"{quoted(error.path[0])} is worked out from itself: {error}"
        analysis.wrong("bad-aggregate", message, place, "begin with aggregates of records")


def _check_rates(analysis: Analysis, columns: _Columns, time: Time | WrongType | None) -> None:
    """The seconds that a rate is divided by are known."""
    if time is WRONG or any(isinstance(key, TimeBucket) for key in columns.keys.values()):
        return
    if time is not None and time.has_both_ends:
        return
    for call in columns.calls.values():
        if call.per_second:
            hint = 'write :time {:last "1h"}, or group by [:bucket :timestamp "5m"]'
            message = f":{call.op} without a range of time that has both ends"
            analysis.wrong("bad-aggregate", message, Form(None, *call.span), hint)


def _check_order(analysis: Analysis, columns: _Columns, steps: Sequence[Order] | WrongType) -> None:
    for step in () if steps is WRONG else steps:
        place = Form(None, *step.span)
        if step.name not in columns.names:
            every = "order by " + ", ".join(quoted(name) for name in columns.names)
            message = f"{quoted(step.name)} is neither a group key nor an aggregate"
            analysis.wrong("unknown-name", message, place, analysis.near(step.name, columns.names) or every)
        elif step.name in columns.maps:
            message = f"{quoted(step.name)} is a list of values and their counts, which has no order"
            analysis.wrong("bad-order", message, place, "order by something else")


def _check_having(analysis: Analysis, columns: _Columns, wanted: Predicate) -> None:
    """Every field is one of the rows."""
    maps = columns.maps | {name for name, key in columns.keys.items() if key.gives_maps}
    for field, part in fields_of(wanted):
        if field != EVERY and column_of(field, columns.names, maps) is None:
            every = "the rows have " + ", ".join(quoted(name) for name in columns.names)
            message = f"{quoted(field)} is neither a group key nor an aggregate"
            hint = analysis.near(field, columns.names, ":") or every
            analysis.wrong("unknown-name", message, Form(None, *part.span), hint)
