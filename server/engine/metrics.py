"""One aggregate put to the index: the question inside a group, and the value in its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

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

# The engine's sketch has room for 2048 steps of 2 %: for numbers up to 6e17 times one another. One further away spoils
# all others. What is below 1e-9 counts as 0 in it.
SKETCH_SPAN_MAX = 1e17
SKETCH_SAFE_MAX = 1e8


class Metric(Protocol):
    """How the index is asked for an aggregate.

    Attributes:
        asks: Whether it is asked at all; else the number of records of a group is the value.
        lists: Whether it is asked to list values, which it may cut short.
    """

    @property
    def asks(self) -> bool:
        """See above."""
        ...

    @property
    def lists(self) -> bool:
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


def listing_of(field: str) -> dict[str, Any]:
    """What the index is asked to list all values of a column, as far as it can."""
    return {"field": field, "size": GROUPS_MAX, "segment_size": GROUPS_MAX}


@dataclass(frozen=True, slots=True)
class _Counted:
    """The number of records."""

    asks: bool = False
    lists: bool = False

    def question(self, *, exact: bool) -> dict[str, Any]:
        del exact
        raise NotImplementedError

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> int:
        del found, limits, exact
        return count


@dataclass(frozen=True, slots=True)
class _Plain:
    """An aggregate that the index has as well."""

    call: Aggregate
    field: str
    asks: bool = True
    lists: bool = False

    def question(self, *, exact: bool) -> dict[str, Any]:
        del exact
        asked = self.call.native(self.field)
        assert asked is not None
        return asked

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> Any:
        del count, limits, exact
        if found is None:
            return self.call.empty()
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
    furthest: float = 0.0

    def question(self, *, exact: bool) -> dict[str, Any]:
        """The percentile and both ends, in this order."""
        del exact
        asked = self.call.native(self.field)
        assert asked is not None
        sketch = asked["percentiles"]
        return {"percentiles": {**sketch, "percents": [*sketch["percents"], *_ENDS], "keyed": False}}

    def value(self, found: dict[str, Any] | None, count: int, limits: Limits, *, exact: bool) -> float | None:
        """The percentile; the ends are noted."""
        del count, limits, exact
        if found is None:
            return self.call.empty()  # type: ignore[no-any-return]
        value, least, greatest = (self.call.read({"values": [one]}) for one in found["values"])
        if value is not None and least is not None and greatest is not None:
            self.furthest = max(self.furthest, -least, greatest)
        return value

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
