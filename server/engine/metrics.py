"""One aggregate put to the index: the question inside a group, and the value in its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from dsl.aggregates.base import Aggregate
from dsl.aggregates.count_distinct import CountDistinct
from dsl.aggregates.ends import End
from dsl.aggregates.held import Held
from dsl.aggregates.max import Max
from dsl.aggregates.median import Median
from dsl.aggregates.min import Min
from dsl.aggregates.percentile import Percentile
from dsl.aggregates.stddev import Stddev
from dsl.aggregates.sum import Sum
from dsl.aggregates.tally import Tally
from dsl.aggregates.top import Top
from dsl.aggregates.values import Values
from dsl.limits import GROUPS_MAX, Limits
from server.engine.columns import INTEGER_EXACT_MAX, NotNative, column, key_of, plain_keys
from storage import index as ix

STATS, PERCENTILES = "stats", "percentiles"  # as the engine calls them

# The engine's sketch has room for 2048 steps of 2 %: for numbers up to 6e17 times one another. One further away spoils
# all others. What is below 1e-9 counts as 0 in it.
SKETCH_SPAN_MAX = 1e17
SKETCH_SAFE_MAX = 1e8


Shared: TypeAlias = tuple[str, str]
"""What the index calls a question, and the column that it is about."""


class Metric(Protocol):
    """How the index is asked for an aggregate.

    Attributes:
        asks: Whether it is asked at all; else the number of records of a group is the value.
        lists: Whether it is asked to list values, which it may cut short.
        adds: Whether it adds numbers up, so that in another order the last digit may be another.
        shares: With which others one question will do, as that takes about the time of one of them: those that say
            the same; None with none.
    """

    @property
    def asks(self) -> bool:
        """See above."""
        ...

    @property
    def lists(self) -> bool:
        """See above."""
        ...

    @property
    def adds(self) -> bool:
        """See above."""
        ...

    @property
    def shares(self) -> Shared | None:
        """See above."""
        ...

    def question(self, *, exact: bool) -> dict[str, Any]:
        """What is asked in each group; `exact`: not for an estimate, where there is a choice."""
        ...

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> Any:
        """The value, from the answer and the number of records of the group.

        Raises:
            NotNative: it is not exact, where it had to be.
        """
        ...


def metric_of(call: Aggregate) -> Metric:
    """How the index is asked for an aggregate.

    Raises:
        NotNative: it has no column for it.
    """
    if call.source is None:
        return _Counted()
    if isinstance(call, End):
        return _Placed(last=call.last)
    field = column(call.source)
    if isinstance(call, CountDistinct | Top | Values):
        return _Listed(call, field)
    if isinstance(call, Sum):
        return _Summed(call, field)
    if isinstance(call, Percentile | Median):
        return Sketched(call, field)
    return _Plain(call, field)


def leaders(metrics: Mapping[int, Metric]) -> dict[int, int]:
    """For each of some aggregates, by their places, the first that asks the same: it asks for all of them."""
    first: dict[Shared, int] = {}
    return {
        place: place if metric.shares is None else first.setdefault(metric.shares, place)
        for place, metric in sorted(metrics.items())
    }


def questions_of(metrics: Mapping[int, Metric], *, exact: bool) -> dict[str, dict[str, Any]]:
    """What is asked in each group for some aggregates, by the places of their leaders."""
    asked: dict[str, dict[str, Any]] = {}
    for place, leader in leaders(metrics).items():
        metric, name = metrics[place], str(leader)
        question = metric.question(exact=exact)
        asked[name] = question if name not in asked else _both(asked[name], question, metric.shares)
    return asked


def _both(one: dict[str, Any], other: dict[str, Any], shared: Shared | None) -> dict[str, Any]:
    """The question for what two that may be shared ask for."""
    assert shared is not None
    kind, field = shared
    if kind == STATS:
        return {STATS: {"field": field}}
    sketch = one[kind]
    percents = dict.fromkeys([*sketch["percents"], *other[kind]["percents"]])
    return {kind: {**sketch, "percents": list(percents)}}


def listing_of(field: str) -> dict[str, Any]:
    """What the index is asked to list all values of a column, as far as it can."""
    return {"field": field, "size": GROUPS_MAX, "segment_size": GROUPS_MAX}


@dataclass(frozen=True, slots=True)
class _Counted:
    """The number of records."""

    asks: bool = False
    lists: bool = False
    adds: bool = False
    shares: Shared | None = None

    def question(self, *, exact: bool) -> dict[str, Any]:
        del exact
        raise NotImplementedError

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> int:
        del found, limits, exact
        return count


_IN_STATS = frozenset({"avg", "min", "max"})
"""Questions whose answers are in that to the question for statistics too, each under its own name."""


@dataclass(frozen=True, slots=True)
class _Plain:
    """An aggregate that the index has as well."""

    call: Aggregate
    field: str
    asks: bool = True
    lists: bool = False

    @property
    def adds(self) -> bool:
        """All but the least and the greatest do."""
        return not isinstance(self.call, Max | Min)

    @property
    def shares(self) -> Shared | None:
        """What is asked for by its own name alone is in one answer."""
        return (STATS, self.field) if self.question(exact=False).keys() & _IN_STATS else None

    def question(self, *, exact: bool) -> dict[str, Any]:
        del exact
        asked = self.call.native(self.field)
        assert asked is not None
        return asked

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> Any:
        del count, limits
        if found is None:
            return self.call.empty()
        if self.shares is not None and "value" not in found:
            (name,) = self.question(exact=exact)
            found = {"value": found[name]}
        value = self.call.read(found)
        if isinstance(self.call, Max | Min) and value is not None and abs(value) >= INTEGER_EXACT_MAX:
            raise NotNative  # worked out in floats, where whole numbers had to be exact
        if isinstance(self.call, Stddev) and value is None and found["count"]:
            raise NotNative  # the squares of such numbers are beyond all floats; the result may not be
        return value


@dataclass(slots=True)
class Sketched:
    """A percentile, beside the least and the greatest number of the same sketch.

    Attributes:
        furthest: The largest number that any sketch had, without its sign.
    """

    call: Percentile | Median
    field: str
    asks: bool = True
    lists: bool = False
    adds: bool = False
    furthest: float = 0.0

    @property
    def shares(self) -> Shared:
        """One sketch has all percentiles."""
        return PERCENTILES, self.field

    def question(self, *, exact: bool) -> dict[str, Any]:
        """The percentile and both ends."""
        del exact
        wanted = dict.fromkeys([self._percent, *_ENDS])
        return {PERCENTILES: {"field": self.field, "percents": list(wanted), "keyed": False}}

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> float | None:
        """The percentile; the ends are noted."""
        del count, limits, exact
        if found is None:
            return self.call.empty()  # type: ignore[no-any-return]
        by_percent = {one["key"]: self.call.read({"values": [one]}) for one in found["values"]}
        value, least, greatest = (by_percent[percent] for percent in (self._percent, *_ENDS))
        if value is not None and least is not None and greatest is not None:
            self.furthest = max(self.furthest, -least, greatest)
        return value

    @property
    def _percent(self) -> float:
        asked = self.call.native(self.field)
        assert asked is not None
        return float(asked[PERCENTILES]["percents"][0])

    def nearest(self) -> float | None:
        """How small a number may be that a sketch had to put together with others; None where none can be."""
        return None if self.furthest < SKETCH_SAFE_MAX else self.furthest / SKETCH_SPAN_MAX


_ENDS = (0.0, 100.0)


@dataclass(frozen=True, slots=True)
class _Summed:
    """A sum, and how large what was added up may have been on the way: the index adds floats."""

    call: Sum
    field: str
    asks: bool = True
    lists: bool = False
    adds: bool = True

    @property
    def shares(self) -> Shared:
        """The sum is in one answer with other things."""
        return STATS, self.field

    def question(self, *, exact: bool) -> dict[str, Any]:
        del exact
        return self.call.native(self.field)

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> int | float:
        del count, limits, exact
        if found is None or not found["count"]:
            return 0  # the sum of nothing
        low, high = found["min"], found["max"]
        largest = abs(found["sum"])
        if low < 0 < high:
            largest = found["count"] * max(-low, high)  # they may have cancelled one another
        if largest >= INTEGER_EXACT_MAX:
            raise NotNative
        return self.call.read(found)


@dataclass(frozen=True, slots=True)
class _Listed:
    """What is worked out from all values of a column."""

    call: CountDistinct | Top | Values
    field: str
    asks: bool = True
    lists: bool = True
    adds: bool = False
    shares: Shared | None = None

    def question(self, *, exact: bool) -> dict[str, Any]:
        asked = None if exact else self.call.native(self.field)
        return {"terms": listing_of(self.field)} if asked is None else asked

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> Any:
        del count
        if found is None:
            return self.call.empty()
        if isinstance(self.call, CountDistinct):
            if not exact:
                return self.call.read(found)
            return len({key_of(bucket) for bucket in found["buckets"]})
        buckets = found["buckets"]
        tally = Tally(self.call, Held(limits))
        for value, bucket in zip(plain_keys(buckets), buckets, strict=True):
            tally.add((value,), bucket["doc_count"])
        return self.call.tallied(tally)


@dataclass(frozen=True, slots=True)
class _Placed:
    """The number of the record that comes first or last."""

    last: bool
    asks: bool = True
    lists: bool = False
    adds: bool = False
    shares: Shared | None = None

    def question(self, *, exact: bool) -> dict[str, Any]:
        del exact
        way = "desc" if self.last else "asc"
        return {
            "top_hits": {
                "size": 1,
                "sort": [{ix.TIMESTAMP: way}, {ix.NUMBER: way}],
                "docvalue_fields": [ix.NUMBER],
            }
        }

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> int | None:
        del count, limits, exact
        hits = [] if found is None else found["hits"]
        return int(hits[0]["docvalue_fields"][ix.NUMBER][0]) if hits else None
