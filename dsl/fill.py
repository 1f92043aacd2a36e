"""Groups without records that are shown all the same: the gaps between buckets, and ranges that nothing lies in.

Where a bucket is the only key, the gaps are filled unless it says `{:fill false}`; beside other keys only where it
says `{:fill true}`: then every combination of the other keys has all buckets.
"""

import math
from itertools import product
from typing import Any

from dsl.ast import Query
from dsl.groups import Measured, too_many_groups
from dsl.keys.base import Key
from dsl.keys.bucket import NumberBucket, TimeBucket
from dsl.keys.ranges import RangesKey
from dsl.limits import Limits

_STEP_MAX = 2**50  # beyond it floats no more tell each bucket from the next

Notes = list[dict[str, str]]


def filled(query: Query, measured: Measured, now_us: int, limits: Limits) -> tuple[Measured, Notes]:
    """The groups and those to be shown without records, and what is to be said of it.

    Buckets of time are filled from the beginning of the query's time range, or the first one found where it has none;
    likewise to its end. Buckets of numbers are filled from the first one found to the last.

    Raises:
        QueryError: that would be too many (`too-many-groups`).
    """
    alone = len(query.group_by) == 1
    wanted: list[list[Any] | None] = []
    notes: Notes = []
    for key, found in zip(query.group_by, measured.keys, strict=True):
        all_values: list[Any] | None = None
        if isinstance(key, RangesKey) and alone:
            all_values = list(key.inner)
        elif isinstance(key, TimeBucket | NumberBucket) and (alone if key.fill is None else key.fill):
            first, end = _steps(query, key, found, now_us)
            most = limits.groups_max if key.fill or isinstance(key, TimeBucket) else limits.rows_max
            if end - first <= most:
                all_values = _starts(key, first, end)
            elif most == limits.groups_max:
                raise too_many_groups(query, limits)
            else:
                notes.append(_not_filled(key, end - first))
        wanted.append(all_values)
    if not any(wanted):
        return measured, notes
    return _with_empty(query, measured, wanted, limits), notes


def _not_filled(key: Key, count: int) -> dict[str, str]:
    return {
        "code": "gaps-not-filled",
        "message": f"buckets of {key.name} without records are left out: there would be {count} in all",
        "hint": "take a larger width, or say {:fill false}",
    }


def _steps(query: Query, key: TimeBucket | NumberBucket, found: list[Any], now_us: int) -> tuple[int, int]:
    """The first bucket to be shown and the one behind the last, counted from the one that begins at the offset."""
    if isinstance(key, NumberBucket):
        width, offset = float(key.width), float(key.offset)
        steps = [(start - offset) / width for start in found if start is not None]
        if not steps or not all(abs(step) < _STEP_MAX for step in steps):
            return 0, 0
        return round(min(steps)), round(max(steps)) + 1
    low_us, high_us = (None, None) if query.time is None else query.time.resolve(now_us)
    first = min(found, default=None) if low_us is None else key.start(low_us)
    last = max(found, default=None) if high_us is None else key.start(high_us - 1)
    if first is None or last is None or first > last:
        return 0, 0
    return (first - key.origin_us) // key.width_us, (last - key.origin_us) // key.width_us + 1


def _starts(key: TimeBucket | NumberBucket, first: int, end: int) -> list[Any]:
    """Where the buckets begin from one to before another, counted from the one that begins at the offset."""
    if isinstance(key, NumberBucket):
        return [key.at_step(step) for step in range(first, end)]
    width_us, origin_us = key.width_us, key.origin_us
    return list(range(first * width_us + origin_us, end * width_us + origin_us, width_us))


def _with_empty(query: Query, measured: Measured, wanted: list[list[Any] | None], limits: Limits) -> Measured:
    """The groups, and each combination of wanted values with what was found of the other keys."""
    others = [place for place, values in enumerate(wanted) if values is None]
    beside = dict.fromkeys(zip(*(_told_apart(measured.keys[place]) for place in others), strict=True))
    combinations: list[tuple[Any, ...]] = list(beside) if others else [()]
    inner = [values for values in wanted if values is not None]
    if len(combinations) * math.prod(map(len, inner)) > limits.groups_max:
        raise too_many_groups(query, limits)
    missing: list[tuple[Any, ...]] = []
    if len(wanted) == 1:
        found = set(measured.keys[0])  # of numbers: no boolean is one of a bucket or a range
        missing = [(value,) for value in inner[0] if value not in found]
    else:
        have = set(zip(*map(_told_apart, measured.keys), strict=True))
        for combination in combinations:
            parts = iter(combination)
            choices = [
                [next(parts)] if values is None else [(False, value) for value in values] for values in wanted
            ]
            missing += [tuple(value for _, value in keys) for keys in product(*choices) if keys not in have]
    if not missing:
        return measured
    return Measured(
        count=measured.count + len(missing),
        keys=[[*column, *(keys[place] for keys in missing)] for place, column in enumerate(measured.keys)],
        values=[
            [*column, *(call.empty() for _ in missing)]
            for (_, call), column in zip(query.measured, measured.values, strict=True)
        ],
        frequent=measured.frequent,
    )


def _told_apart(column: list[Any]) -> list[tuple[bool, Any]]:
    """Values that are equal only when they are the same: True equals 1 in Python."""
    return [(type(value) is bool, value) for value in column]
