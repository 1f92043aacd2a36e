"""From the forms after `:group-by` and `:aggregate` to keys and aggregates, and what holds of them together.

{:group-by [:service [:bucket :timestamp "5m"]] :aggregate {:errors [:count [:= :level "error"]]}}
"""

from collections.abc import Mapping
from typing import Any

from dsl.aggregates import AGGREGATES
from dsl.aggregates.base import Aggregate
from dsl.analysis import WRONG, Analysis, WrongType, described, name_of
from dsl.ast import Named
from dsl.errors import quoted
from dsl.forms import Form, MapForm, VectorForm
from dsl.keys import KEYS
from dsl.keys.base import Key

Given = dict[str, tuple[Form, Form]]
"""The key and the value of each name."""

COUNT_ONLY = (Named(name="count", call=AGGREGATES["count"].node()),)
"""What groups have where no aggregate is asked for."""

# What others call the aggregates.
_MEANT_AGGREGATES = {
    "mean": "avg",
    "average": "avg",
    "minimum": "min",
    "maximum": "max",
    "total": "sum",
    "uniq": "count-distinct",
    "unique": "count-distinct",
    "distinct": "count-distinct",
    "cardinality": "count-distinct",
    "quantile": "percentile",
    "p95": "percentile",
    "p99": "percentile",
}


def group_by(analysis: Analysis, form: Form) -> tuple[Key, ...] | WrongType:
    """The keys that a vector names."""
    if not isinstance(form.value, VectorForm):
        hint = f"write [{described(form)}]" if name_of(form) else 'write [:service [:bucket :timestamp "5m"]]'
        return analysis.wrong("bad-group", f"{described(form)} is no vector of group keys", form, hint)
    items = form.value.items
    if items and name_of(items[0]) in set(KEYS) - {"field"} and len(items) > 1:
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
            hint = "rows have each key under the name of its field"
            return analysis.wrong("bad-group", f"two group keys of {described(Form(key.name))}", item, hint)
        names.add(key.name)
    return tuple(right)


def _key(analysis: Analysis, form: Form) -> Key | WrongType:
    made: Key | WrongType
    if not isinstance(form.value, VectorForm):
        made = KEYS["field"].build(analysis, form)
        return made if made is WRONG else made.at(form.start, form.end)
    head = name_of(form.value.items[0]) if form.value.items else None
    kinds = {name: kind for name, kind in KEYS.items() if name != "field"}
    if head not in kinds:
        hint = (
            analysis.near(head or "", kinds, ":")
            or f"write {' or '.join(kind.signature for kind in kinds.values())}"
        )
        place = form.value.items[0] if form.value.items else form
        return analysis.wrong("bad-group", f"{described(place)} is no kind of group key", place, hint)
    made = kinds[head].build(analysis, form)
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


def _call(analysis: Analysis, form: Form) -> Aggregate | WrongType:
    """`[:avg :latency_ms]`, perhaps with a predicate at its end."""
    if not isinstance(form.value, VectorForm) or not form.value.items:
        hint = "write [:count]" if name_of(form) == "count" else "write it as [:avg :latency_ms]"
        return analysis.wrong("bad-aggregate", f"{described(form)} is no aggregate", form, hint)
    head, *arguments = form.value.items
    name = name_of(head)
    if name not in AGGREGATES:
        meant = _MEANT_AGGREGATES.get(name or "")
        near = f"did you mean :{meant}?" if meant else analysis.near(name or "", AGGREGATES, ":")
        hint = near or "the aggregates are " + " ".join(f":{known}" for known in AGGREGATES)
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
        if name == "count" and len(arguments) == 1 and name_of(arguments[0]) is not None:
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
    names = [*(key.name for key in keys), *(one.name for one in named)]
    steps = read.get("order-by", ())
    for step in () if steps is WRONG else steps:
        if step.name not in names:
            hint = analysis.near(step.name, names) or "order by " + ", ".join(quoted(name) for name in names)
            message = f"{quoted(step.name)} is neither a group key nor an aggregate"
            analysis.wrong("unknown-name", message, Form(None, *step.span), hint)
