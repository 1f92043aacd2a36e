"""Groups by the index alone: nested aggregations over columns, read back as columns of keys and values.

Some keys are levels of the nesting: a field, a bucket. Fields come first and the bucket of time last, because a term of
a column is cheap to split by and a histogram of ten thousand buckets is not. The others split the question
(`splits.py`): each of their values is a question of its own. So is that of the records without a value, as the index
leaves them out of a level, and so is a condition of one aggregate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product, repeat
from math import prod
from operator import itemgetter
from typing import Any

from tantivy import Query

from dsl.aggregates.base import Aggregate, tidy
from dsl.aggregates.count_distinct import CountDistinct
from dsl.aggregates.ends import End
from dsl.ast import Query as Asked
from dsl.groups import Measured
from dsl.keys.base import Key
from dsl.keys.bucket import NumberBucket, TimeBucket
from dsl.keys.field import FieldKey
from dsl.limits import Limits
from dsl.rank import sortable
from server.engine.columns import NotNative, column, key_of, plain_key
from server.engine.ends import conditions_of_ends, values_of_ends
from server.engine.metrics import Metric, Sketched, leaders, listing_of, metric_of, questions_of
from server.engine.splits import Part, Splitter, is_level
from server.engine.together import KEY, ask, may_be_apart
from storage.errors import ResultTooLarge
from storage.queries import all_of, but_not
from storage.snapshot import Snapshot

PARTS_MAX = 512  # each is a question of its own

_WHOLE = float.__trunc__  # of a histogram's key, in half the time that `int` takes
_KEY_OF, _COUNT_OF = itemgetter("key"), itemgetter("doc_count")


@dataclass(slots=True)
class _Found:
    """Groups found so far, as columns.

    Attributes:
        orders: By which keys the groups of each question come, the outermost first.
    """

    keys: list[list[Any]]
    values: dict[int, list[Any]]
    counts: list[int] = field(default_factory=list)
    orders: list[Sequence[int]] = field(default_factory=list)

    @property
    def order(self) -> Sequence[int] | None:
        """By which keys all of them come; None where they come in no order."""
        alone = len(self.orders) == 1 and len(self.orders[0]) == len(self.keys)
        return self.orders[0] if alone else None


def why_not(query: Asked) -> str | None:
    """What of a query has no column, so that the records must be read; None where only asking can tell."""
    for key in query.group_by:
        try:
            column(key.field)
        except NotNative:
            return f"the index has no column for the key {key.name}"
    for _, call in query.measured:
        try:
            metric_of(call)
        except NotNative:
            return f"the index has no column for :{call.op} of {call.source}"
    return None


class NativeGroups:
    """One grouped query put to the index.

    Attributes:
        approximate: Places of aggregates whose values are not exact; filled while asking.
    """

    def __init__(self, snapshot: Snapshot, query: Asked, limits: Limits) -> None:
        self.approximate: set[int] = set()
        self._snapshot = snapshot
        self._query = query
        self._limits = limits
        self._keys = query.group_by
        self._calls: list[Aggregate] = [call for _, call in query.measured]
        self._metrics: list[Metric] = [metric_of(call) for call in self._calls]

    def ask(self, base: Query, conditions: Sequence[Query | None]) -> Measured:
        """The groups and their aggregates.

        Args:
            base: Which records.
            conditions: For each aggregate the further condition of its own.

        Raises:
            NotNative: the index can't.
            ResultTooLarge: there are more groups than an answer may have.
            QueryError: a group has too many values to show (`too-many-values`).
        """
        conditions = conditions_of_ends(self._snapshot, base, self._calls, conditions)
        splitter = Splitter(self._snapshot, self._query, base, self._limits)
        parts = [splitter.parts(place) for place in range(len(self._keys))]
        if prod(map(len, parts)) > PARTS_MAX:
            raise NotNative
        plain = [i for i, condition in enumerate(conditions) if condition is None]
        found = self._everywhere(base, parts, plain)
        columns = [found.values.get(i, []) for i in range(len(self._calls))]
        for i, condition in enumerate(conditions):
            if condition is None:
                continue
            some = self._everywhere(all_of([base, condition]), parts, [i])
            values = dict(zip(_rows(some), some.values[i], strict=True))
            empty = self._calls[i].empty()
            columns[i] = [values.get(row, empty) for row in _rows(found)]
        self._check_sketches(base)
        for i, call in enumerate(self._calls):
            if isinstance(call, End):
                columns[i] = values_of_ends(self._snapshot, call, columns[i])
        keys = [plain_key(values) for values in found.keys]
        return Measured(len(found.counts), keys, columns, splitter.frequent, found.order)

    def _check_sketches(self, base: Query) -> None:
        """Look whether numbers so far from each other were sketched that the sketch says nothing of the small ones.

        Raises:
            NotNative: they were.
        """
        queries = self._snapshot.queries
        assert queries is not None
        for call, metric in zip(self._calls, self._metrics, strict=True):
            nearest = metric.nearest() if isinstance(metric, Sketched) else None
            if nearest is None or call.source is None:
                continue
            for low, high in ((0, nearest), (-nearest, 0)):
                small, sure = queries.numbers(
                    call.source, low, high, include_low=low < 0, include_high=high > 0
                )
                if small is not sure or self._snapshot.count(all_of([base, small])):
                    raise NotNative

    def _everywhere(self, base: Query, parts: Sequence[Sequence[Part]], places: Sequence[int]) -> _Found:
        """The groups of every combination of parts."""
        found = _Found([[] for _ in self._keys], {i: [] for i in places})
        for chosen in product(*parts):
            query = base
            for part in chosen:
                if part.only is not None:
                    query = all_of([query, part.only])
                if part.without is not None:
                    query = but_not(query, part.without)
            if query is base or self._snapshot.count(query):
                self._ask(query, chosen, places, found)
        return found

    def _ask(self, query: Query, chosen: Sequence[Part], places: Sequence[int], found: _Found) -> None:
        slots = [slot for slot, part in enumerate(chosen) if part.column is not None]
        slots.sort(key=lambda slot: _depth(self._keys[slot]))
        fixed = [part.value for part in chosen]
        asked = [i for i in places if self._metrics[i].asks]
        if not slots and not asked:
            found.orders.append(slots)
            self._one(found, fixed, {}, self._snapshot.count(query), places, exact=True)
            return
        answer, exact = self._answered(query, [chosen[slot].column or "" for slot in slots], slots, asked)
        for i in asked:
            call = self._calls[i]
            if call.approximation and not (exact and isinstance(call, CountDistinct)):
                self.approximate.add(i)
        found.orders.append(slots)
        if slots:
            self._read(answer, slots, fixed, places, found, exact=exact)
        else:
            self._one(found, fixed, answer, self._snapshot.count(query), places, exact=exact)

    def _answered(
        self, query: Query, columns: Sequence[str], slots: Sequence[int], asked: Sequence[int]
    ) -> tuple[dict[str, Any], bool]:
        """The index's answer, and whether distinct values were counted one by one."""
        lists = [i for i in asked if self._metrics[i].lists]
        try:
            answer = self._asked(query, columns, slots, asked)
            if not lists or not _cut_short(answer, lists, len(slots)):
                return answer, True
        except ResultTooLarge:
            if not lists and len(slots) <= 1:
                raise
            if not lists:
                raise NotNative from None  # the buckets around the groups count, too
        if self._query.exact or not all(isinstance(self._calls[i], CountDistinct) for i in lists):
            raise NotNative
        # Counting distinct values one by one was too much: estimate, and say so.
        try:
            return self._snapshot.aggregate(query, self._question(columns, slots, asked, exact=False)), False
        except ResultTooLarge:
            if len(slots) <= 1:
                raise
            raise NotNative from None

    def _asked(
        self, query: Query, columns: Sequence[str], slots: Sequence[int], asked: Sequence[int]
    ) -> dict[str, Any]:
        """The index's answer, where distinct values are to be counted one by one."""
        metrics = {i: self._metrics[i] for i in asked}

        def make(places: Sequence[int]) -> dict[str, Any]:
            return self._question(columns, slots, places, exact=True)

        # What narrows the records down was perhaps dear to find: it is not asked twice.
        if self._query.where is None and may_be_apart(metrics):
            return ask(self._snapshot, query, [self._keys[slot] for slot in slots], metrics, make)
        return self._snapshot.aggregate(query, make(asked))

    def _question(
        self, columns: Sequence[str], slots: Sequence[int], asked: Sequence[int], *, exact: bool
    ) -> dict[str, Any]:
        for i in asked:
            call = self._calls[i]
            if call.approximation and self._query.exact and not isinstance(call, CountDistinct):
                raise NotNative
        inner: dict[str, Any] = dict(questions_of({i: self._metrics[i] for i in asked}, exact=exact))
        for slot, name in zip(reversed(slots), reversed(columns), strict=True):
            outer = _level(self._keys[slot], name)
            if inner:
                outer["aggs"] = inner
            inner = {KEY: outer}
        return inner

    def _names_of(self, places: Sequence[int]) -> dict[int, str]:
        """Under which name the answer has each of some aggregates that are asked for."""
        asked = {i: self._metrics[i] for i in places if self._metrics[i].asks}
        return {i: str(leader) for i, leader in leaders(asked).items()}

    def _one(
        self,
        found: _Found,
        fixed: Sequence[Any],
        answer: dict[str, Any],
        count: int,
        places: Sequence[int],
        *,
        exact: bool,
    ) -> None:
        """Take in one group, unless nothing is in it and it is not the group of all."""
        if not count and self._keys:
            return
        for values, value in zip(found.keys, fixed, strict=True):
            values.append(value)
        found.counts.append(count)
        names = self._names_of(places)
        for i in places:
            found.values[i].append(
                self._metrics[i].value(answer.get(names.get(i, "")), count, self._limits, exact=exact)
            )

    def _read(
        self,
        answer: dict[str, Any],
        slots: Sequence[int],
        fixed: list[Any],
        places: Sequence[int],
        found: _Found,
        *,
        exact: bool,
    ) -> None:
        """Take in the groups of one level, and of those in it."""
        slot = slots[0]
        level = answer[KEY]
        if level.get("sum_other_doc_count"):
            raise ResultTooLarge(
                f"there are more than {self._limits.groups_max} values of {self._keys[slot].name}",
                "group by a field with fewer values, or narrow :where and :time",
            )
        buckets, names = _in_order(self._keys[slot], level["buckets"], innermost=len(slots) == 1)
        if len(slots) > 1:
            for name, bucket in zip(names, buckets, strict=True):
                fixed[slot] = name
                self._read(bucket, slots[1:], fixed, places, found, exact=exact)
            return
        width = len(buckets)
        for place, values in enumerate(found.keys):
            values.extend(names if place == slot else repeat(fixed[place], width))
        counts = list(map(_COUNT_OF, buckets))
        found.counts += counts
        asked = self._names_of(places)
        for i in places:
            metric = self._metrics[i]
            if metric.asks:
                name, value = asked[i], metric.value
                found.values[i] += [
                    value(bucket.get(name), count, self._limits, exact=exact)
                    for bucket, count in zip(buckets, counts, strict=True)
                ]
            else:
                found.values[i] += counts


def _rows(found: _Found) -> Iterable[tuple[Any, ...]]:
    """What tells the groups apart."""
    return zip(*found.keys, strict=True) if found.keys else repeat((), len(found.counts))


def _depth(key: Key) -> int:
    """How far inside a level stands."""
    return 2 if isinstance(key, TimeBucket) else 1 if isinstance(key, NumberBucket) else 0


def _level(key: Key, name: str) -> dict[str, Any]:
    assert is_level(key)
    if isinstance(key, TimeBucket):
        width, offset = key.width_us, key.origin_us
        return {"histogram": {"field": name, "interval": width, "offset": offset, "min_doc_count": 1}}
    if isinstance(key, NumberBucket):
        histogram = {
            "field": name,
            "interval": float(key.width),
            "offset": float(key.offset),
            "min_doc_count": 1,
        }
        return {"histogram": histogram}
    return {"terms": listing_of(name)}


def _in_order(
    key: Key, buckets: Sequence[dict[str, Any]], *, innermost: bool
) -> tuple[Sequence[dict[str, Any]], list[Any]]:
    """The buckets of a level, rising, and the value of the key for each."""
    names = _names(key, buckets)
    if innermost and not isinstance(key, FieldKey):
        return buckets, names  # of a histogram they come so
    by, _ = sortable(plain_key(names), descending=False)
    places = sorted(range(len(names)), key=by.__getitem__)
    return [buckets[place] for place in places], [names[place] for place in places]


def _names(key: Key, buckets: Sequence[dict[str, Any]]) -> list[Any]:
    """The value of the key for each bucket."""
    if isinstance(key, TimeBucket):
        return list(map(_WHOLE, map(_KEY_OF, buckets)))
    if isinstance(key, NumberBucket):
        return list(map(tidy, map(_KEY_OF, buckets)))
    return [key_of(bucket) for bucket in buckets]


def _cut_short(answer: dict[str, Any], lists: Sequence[int], levels: int) -> bool:
    """Whether some list of distinct values was cut, so that its length says nothing."""
    if levels:
        return any(_cut_short(bucket, lists, levels - 1) for bucket in answer[KEY]["buckets"])
    return any(
        isinstance(found, dict) and found.get("sum_other_doc_count", 0) > 0
        for found in (answer.get(str(i)) for i in lists)
    )
