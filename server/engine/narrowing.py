"""The slowest hundred of a million, without reading the million: a column's own quantiles say where to look.

For an order by one field whose values are all numbers, the index estimates the number beyond which enough records lie.
Those are read and sorted; if they were enough, nothing that was left out can belong to the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tantivy import Query as IndexQuery

from dsl.ast import Order
from dsl.record import Record
from server.engine.columns import NotNative, column
from server.engine.matching import Matching
from storage.queries import all_of

MARGIN = 3  # how many times as many as needed are aimed at: the estimate is off by a hundredth of the value
READ_SHARE_MAX = 0.5  # of all that match; beyond it narrowing does not pay
TRIES = 3


def candidates(
    matching: Matching, step: Order, needed: int, beyond: float | None
) -> Iterator[Iterator[tuple[Record, int]]]:
    """Ever larger sets of records, each with all that come before those left out; none when narrowing does not pay.

    Each record comes with its bytes.

    Args:
        matching: What matches.
        step: The order.
        needed: How many records the caller wants.
        beyond: The value at which the page before ended.
    """
    queries = matching.snapshot.queries
    if not matching.exact or queries is None:
        return
    try:
        field = column(step.name)
    except NotNative:
        return
    descending = step.direction == "desc"
    base = matching.upper
    if matching.snapshot.count(all_of([base, queries.no_numbers(step.name)])):
        return  # in the order of values they stand before or behind all numbers
    if beyond is not None:
        low, high = (None, beyond) if descending else (beyond, None)
        within, exact = queries.numbers(step.name, low, high, include_low=True, include_high=True)
        if within is not exact:
            return
        base = all_of([base, within])
    share = MARGIN * needed
    for _ in range(TRIES):
        bound = _bound(matching, base, field, share, descending=descending)
        if bound is None:
            return
        low, high = (bound, None) if descending else (None, bound)
        within, exact = queries.numbers(step.name, low, high, include_low=True, include_high=True)
        if within is not exact:
            return
        yield matching.only(all_of([base, within])).weighed()
        share *= 8


def _bound(matching: Matching, base: IndexQuery, field: str, share: int, *, descending: bool) -> float | None:
    """The number beyond which about so many records lie; None where it is not worth while, or cannot be said."""
    counts = matching.snapshot.aggregate(base, {"numbers": {"value_count": {"field": field}}})
    total = counts["numbers"]["value"]
    if not total or share > READ_SHARE_MAX * total:
        return None
    percent = 100 * (1 - share / total) if descending else 100 * share / total
    found = matching.snapshot.aggregate(base, {"p": {"percentiles": {"field": field, "percents": [percent]}}})
    bound = float(next(iter(found["p"]["values"].values())))
    if not math.isfinite(bound):
        return None
    # The estimate may lie beyond the true quantile by a hundredth.
    return bound - abs(bound) / 50 if descending else bound + abs(bound) / 50
