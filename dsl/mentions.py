"""Which fields a query names, and of what kind the values must be that it can find there.

[:and [:> :latency_ms 500] [:match :message "timeout"]]   ->   latency_ms: number; message: string

With it a query is held against the fields that records really have: a name that none has, or a number sought where
there are only strings, is no mistake of the language, and finds nothing all the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from dsl.aggregates.base import Aggregate, FieldAggregate
from dsl.analysis import kind_of
from dsl.ast import Query
from dsl.explain import parts_of
from dsl.keys.bucket import NumberBucket
from dsl.keys.ranges import RangesKey
from dsl.nodes import Predicate, is_open
from dsl.operators.between import Between
from dsl.operators.comparing import Comparison
from dsl.operators.in_ import In
from dsl.operators.texts import TextPredicate
from dsl.record import EVERY, NUMBER, STREAM, TIMESTAMP

OWN: Final = frozenset({TIMESTAMP, STREAM, NUMBER, EVERY})
"""Names that every record has, or that stand for all fields."""

ANYTHING: Final = frozenset({"string", "number", "boolean"})
_TEXT, _NUMBER = frozenset({"string"}), frozenset({"number"})

# A time is compared with strings that are times; that is what records hold.
_KINDS = {"a string": "string", "a number": "number", "a boolean": "boolean", "a time": "string"}


@dataclass(frozen=True, slots=True)
class Mention:
    """A field where it is named.

    Attributes:
        field: Its path.
        kinds: What its values may be for this to find anything: `string`, `number`, `boolean`.
        by: Whose field it is: `:>` of an operator, `:order-by` of a key of the query.
        span: Where that stands in the text; (0, 0) where it is not known.
        value: What it is compared with, where that is one value.
    """

    field: str
    kinds: frozenset[str]
    by: str
    span: tuple[int, int]
    value: Any = None


def mentions_of(query: Query) -> Iterator[Mention]:
    """The fields of records that a query names; names of groups, in `:having` and in their order, are none."""
    if query.where is not None:
        yield from mentions_in(query.where)
    for key in query.group_by:
        if key.field not in OWN:
            numbers = isinstance(key, NumberBucket | RangesKey)
            yield Mention(key.field, _NUMBER if numbers else ANYTHING, ":group-by", key.span)
    for _, call in query.measured:
        yield from _measured(call)
    if query.grouped:
        return
    for name in query.select or ():
        if name not in OWN:
            yield Mention(name, ANYTHING, ":select", (0, 0))
    for step in query.order_by:
        if step.name not in OWN:
            yield Mention(step.name, ANYTHING, ":order-by", step.span)


def mentions_in(predicate: Predicate) -> Iterator[Mention]:
    """The fields that a condition names."""
    field = getattr(predicate, "field", None)
    if field is None:
        for part in parts_of(predicate):
            yield from mentions_in(part)
    elif field not in OWN:
        value = (
            predicate.value if isinstance(predicate, Comparison) and not is_open(predicate.value) else None
        )
        yield Mention(field, _kinds(predicate), f":{predicate.op}", predicate.span, value)


def _measured(call: Aggregate) -> Iterator[Mention]:
    if isinstance(call, FieldAggregate) and call.field not in OWN:
        yield Mention(call.field, _NUMBER if call.of_numbers else ANYTHING, f":{call.op}", call.span)
    elif call.source is not None and call.source not in OWN:
        yield Mention(call.source, ANYTHING, f":{call.op}", call.span)
    if call.where is not None:
        yield from mentions_in(call.where)


def _kinds(predicate: Predicate) -> frozenset[str]:
    if isinstance(predicate, TextPredicate):
        return _TEXT
    values: tuple[Any, ...] = ()
    if isinstance(predicate, Comparison):
        values = (predicate.value,)
    elif isinstance(predicate, Between):
        values = tuple(end for end in (predicate.low, predicate.high) if end is not None)
    elif isinstance(predicate, In):
        values = predicate.values
    if not values or any(is_open(value) for value in values):
        return ANYTHING
    return frozenset(_KINDS[kind_of(value)] for value in values)
