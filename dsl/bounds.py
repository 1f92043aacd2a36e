"""The times and numbers that a query can be about: which parts of a store it need not look at."""

from dataclasses import dataclass

from dsl.ast import Query
from dsl.nodes import Predicate
from dsl.operators.and_ import And
from dsl.operators.between import Between
from dsl.operators.comparing import Comparison
from dsl.record import NUMBER, TIMESTAMP
from dsl.time import Instant, Relative


@dataclass(frozen=True, slots=True)
class Bounds:
    """What every record that matches lies within; half-open, None is an open end."""

    low_us: int | None = None
    high_us: int | None = None
    first: int | None = None
    until: int | None = None


def bounds_of(query: Query, now_us: int) -> Bounds:
    """The times and numbers that a query can be about: by its `:time`, and by what must hold of them."""
    low_us, high_us = (None, None) if query.time is None else query.time.resolve(now_us)
    bounds = Bounds(low_us, high_us)
    where = query.where
    for node in where.parts if isinstance(where, And) else [where]:
        if node is not None:
            bounds = _narrowed(bounds, node, now_us)
    return bounds


def _narrowed(bounds: Bounds, node: Predicate, now_us: int) -> Bounds:
    """The bounds of records for which this holds too."""
    if isinstance(node, Between):
        low, high = node.low, node.high
    elif isinstance(node, Comparison) and node.op in _ENDS:
        has_low, has_high = _ENDS[node.op]
        low, high = (node.value if has_low else None), (node.value if has_high else None)
    else:
        return bounds
    if node.field == TIMESTAMP:
        ends = [
            value.resolve(now_us) if isinstance(value, Instant | Relative) else None for value in (low, high)
        ]
        return Bounds(
            _most(bounds.low_us, ends[0]), _least(bounds.high_us, _after(ends[1])), bounds.first, bounds.until
        )
    if node.field == NUMBER:
        numbers = [value if type(value) is int else None for value in (low, high)]
        return Bounds(
            bounds.low_us,
            bounds.high_us,
            _most(bounds.first, numbers[0]),
            _least(bounds.until, _after(numbers[1])),
        )
    return bounds


_ENDS = {"=": (True, True), ">": (True, False), ">=": (True, False), "<": (False, True), "<=": (False, True)}
"""Which ends a comparison gives a field. The end itself always counts: bounds may be wider than what matches."""


def _after(end: int | None) -> int | None:
    return None if end is None else end + 1


def _most(one: int | None, other: int | None) -> int | None:
    return max((end for end in (one, other) if end is not None), default=None)


def _least(one: int | None, other: int | None) -> int | None:
    return min((end for end in (one, other) if end is not None), default=None)
