"""How long one step of the index engine will take, about: nothing can stop it once it runs, so somebody asks before.

The figures are of one core and a million records of services, most with an unusual trace id. They are meant to be
right within a factor of three, and rather too high: what is wrongly taken for long is only answered elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

# Nanoseconds for each record that a step passes.
PASSED_NS = 3  # by a search of a few words
RANGE_NS = 3  # a range of numbers: it looks at the column
NEAR_NS = 10  # a word that may differ
BEGINNING_NS = 40  # words that begin alike
WALK_NS = 80  # a walk over all words of messages
STRINGS_WALK_NS = 300  # a walk over all other strings
LISTED_NS = 350  # the different strings of a column held against a pattern
BUCKET_NS = 30  # finding the group that a record belongs to
METRIC_NS = 15
SKETCH_NS = 60
# Nanoseconds for each group that is made.
STRINGS_MADE_NS = 1000  # of strings: each is looked up in the dictionary of its column
NESTED_STRINGS_MADE_NS = 12_000  # within other groups: each of these looks its own up
MADE_NS = 500
NESTED_MADE_NS = 1000
SKETCH_MADE_NS = 3000
# Bytes for each group.
GROUP_BYTES = 200
SKETCH_BYTES = 32 << 10

NANOSECOND_S = 1e-9


class Weight(NamedTuple):
    """What a step takes.

    Attributes:
        seconds: Of one core.
        held_bytes: Of memory that is the engine's own.
    """

    seconds: float
    held_bytes: float


class Scale(NamedTuple):
    """What a question's weight depends on.

    Attributes:
        records: How many match.
        strings: How many different strings a column has, at most; 0 of a column that has none.
        span_us: From the first time to the last.
    """

    records: int
    strings: Callable[[str], int]
    span_us: int


def weigh(aggregations: Mapping[str, Any], scale: Scale) -> Weight:
    """What it takes to answer aggregations in the engine's own form.

    Args:
        aggregations: By name; each may have others within its groups, as `aggs`.
        scale: Of what.
    """
    nanoseconds, held_bytes = _inside(aggregations, 1, scale)
    return Weight(nanoseconds * NANOSECOND_S, held_bytes)


def _inside(aggregations: Mapping[str, Any], groups: float, scale: Scale) -> tuple[float, float]:
    """The nanoseconds and bytes of aggregations in each of so many groups."""
    nanoseconds = held_bytes = 0.0
    for asked in aggregations.values():
        kind = next(name for name in asked if name != "aggs")
        levels = _LEVELS.get(kind)
        if levels is None:
            is_sketch = kind in {"percentiles", "top_hits"}
            nanoseconds += scale.records * (SKETCH_NS if is_sketch else METRIC_NS)
            nanoseconds += groups * (SKETCH_MADE_NS if is_sketch else MADE_NS)
            held_bytes += groups * (SKETCH_BYTES if is_sketch else GROUP_BYTES)
            continue
        values, of_strings = levels(asked[kind], scale)
        made = min(groups * values, scale.records)
        if groups == 1:
            each = STRINGS_MADE_NS if of_strings else MADE_NS
        else:
            each = NESTED_STRINGS_MADE_NS if of_strings else NESTED_MADE_NS
        inner_nanoseconds, inner_bytes = _inside(asked.get("aggs", {}), made, scale)
        nanoseconds += scale.records * BUCKET_NS + made * each + inner_nanoseconds
        held_bytes += made * GROUP_BYTES + inner_bytes
    return nanoseconds, held_bytes


def _terms(asked: Mapping[str, Any], scale: Scale) -> tuple[float, bool]:
    """How many different values there may be, and whether they are strings."""
    strings = scale.strings(asked["field"])
    return (strings, True) if strings else (scale.records, False)


def _histogram(asked: Mapping[str, Any], scale: Scale) -> tuple[float, bool]:
    """How many buckets there may be; of numbers nobody knows how far apart they are."""
    is_time = type(asked["interval"]) is int
    return (scale.span_us / asked["interval"] + 2 if is_time else scale.records), False


_LEVELS: Mapping[str, Callable[[Mapping[str, Any], Scale], tuple[float, bool]]] = {
    "terms": _terms,
    "cardinality": _terms,
    "histogram": _histogram,
}
