"""One question for groups asked as several, and their answers put together: nothing of it changes.

No group is ever in two answers, and no number of one is made of two: so what cannot be added up, like a sketch of
percentiles, is what it would be in one answer. A question is asked as two, each where that pays,

- by time, where the innermost level are buckets of time: those before a bucket's beginning, and the others. The engine
  keeps both cores busy, and puts together the long lists of buckets of its segments in less time: that grows with the
  square of their number;
- by what is worked out for each group, where one of it is a sketch: they are what such a question costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from tantivy import Query

from dsl.keys.base import Key
from dsl.keys.bucket import TimeBucket
from server.engine.metrics import Metric, Sketched, leaders
from storage.queries import all_of
from storage.side_by_side import cores
from storage.snapshot import Snapshot

KEY = "groups"  # a level inside a question; the engine has "key" itself, and aggregates are called by their place
APART_RECORDS_MIN = 200_000  # fewer take a thread some milliseconds, and asking twice has a price
SEGMENTS_MANY = (
    8  # so many make it worth while to ask twice even in one thread, where a level has buckets in it
)
SKETCH_COST = 2  # the time for a sketch, of that for a sum or a least value

Answer: TypeAlias = dict[str, Any]
Make: TypeAlias = Callable[[Sequence[int]], dict[str, Any]]
"""A question for some of the aggregates, by their places."""


def ask(
    snapshot: Snapshot, query: Query, keys: Sequence[Key], metrics: Mapping[int, Metric], make: Make
) -> Answer:
    """The index's answer to one question, or to two that are one together.

    Args:
        snapshot: What is asked.
        query: Which records.
        keys: The levels, the outermost first.
        metrics: The aggregates that are asked for, by their places.
        make: The question for some of them.

    Raises:
        ResultTooLarge: more groups than the engine can hold.
    """
    places = list(metrics)
    # Sums of floats depend on the order, if only in the last digit, and an answer must not depend on who else asks.
    apart = None if any(metric.adds for metric in metrics.values()) else _by_time(snapshot, keys)
    if apart is not None:
        about = round(snapshot.share(*snapshot.asked_span()))
        levels = snapshot.aggregate_each([(all_of([query, part]), make(places)) for part in apart], about)
        return {KEY: _after_one_another([level[KEY] for level in levels], len(keys))}
    sides = _by_cost(metrics)
    if sides is not None and _has_room(snapshot):
        one, other = snapshot.aggregate_each([(query, make(side)) for side in sides])
        return _beside(one, other, len(keys))
    return snapshot.aggregate(query, make(places))


def may_be_apart(metrics: Mapping[int, Metric]) -> bool:
    """Whether a question for these may be asked as several: not where it counts how many values are listed in all."""
    return not any(metric.lists for metric in metrics.values())


def _has_room(snapshot: Snapshot) -> bool:
    """Whether there is a core to spare, and enough to do for two."""
    return bool(cores().spare) and snapshot.share(*snapshot.asked_span()) >= APART_RECORDS_MIN


def _by_time(snapshot: Snapshot, keys: Sequence[Key]) -> Sequence[Query] | None:
    """What lies before the beginning of a bucket in the middle, and what does not; None where that does not pay."""
    if not keys or not isinstance(keys[-1], TimeBucket) or snapshot.queries is None:
        return None
    many = len(keys) > 1 and snapshot.segments >= SEGMENTS_MANY
    low_us, high_us = snapshot.asked_span()
    if not (many or cores().spare) or snapshot.share(low_us, high_us) < APART_RECORDS_MIN:
        return None
    middle_us = keys[-1].start((low_us + high_us) // 2)
    if middle_us <= low_us:
        return None
    pairs = [snapshot.queries.instants(None, middle_us), snapshot.queries.instants(middle_us, None)]
    return [upper for upper, _ in pairs]


def _by_cost(metrics: Mapping[int, Metric]) -> Sequence[Sequence[int]] | None:
    """Some of the aggregates, and the others, such that both take about as long; None where that does not pay."""
    groups: dict[int, list[int]] = {}
    for place, leader in leaders(metrics).items():
        groups.setdefault(leader, []).append(place)
    costs = {leader: SKETCH_COST if isinstance(metrics[leader], Sketched) else 1 for leader in groups}
    if len(costs) < 2 or max(costs.values()) < SKETCH_COST:
        return None
    sides: list[list[int]] = [[], []]
    for leader in sorted(costs, key=lambda leader: -costs[leader]):
        min(sides, key=lambda side: sum(map(costs.__getitem__, side))).append(leader)
    return [[place for leader in side for place in groups[leader]] for side in sides]


def _after_one_another(levels: Sequence[Answer], depth: int) -> Answer:
    """A level of two answers about one time and the time after it."""
    if depth == 1:
        return {"buckets": [bucket for level in levels for bucket in level["buckets"]]}
    same: dict[Any, list[Answer]] = {}
    for level in levels:
        for bucket in level["buckets"]:
            key = bucket["key"]
            same.setdefault((type(key), key, bucket.get("key_as_string")), []).append(bucket)
    return {
        "sum_other_doc_count": sum(level.get("sum_other_doc_count", 0) for level in levels),
        "buckets": [
            {**some[0], KEY: _after_one_another([bucket[KEY] for bucket in some], depth - 1)}
            for some in same.values()
        ],
    }


def _beside(one: Answer, other: Answer, depth: int) -> Answer:
    """A group, or all of them, of two answers about the same records."""
    if not depth:
        return {**other, **one}
    level, others = one[KEY], other[KEY]["buckets"]
    keys = [(bucket["key"], bucket.get("key_as_string")) for bucket in level["buckets"]]
    assert keys == [(bucket["key"], bucket.get("key_as_string")) for bucket in others]
    buckets = [_beside(*pair, depth - 1) for pair in zip(level["buckets"], others, strict=True)]
    return {**other, **one, KEY: {**level, "buckets": buckets}}
