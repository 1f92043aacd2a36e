"""How a group key parts the records: into levels of one question, or into questions of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tantivy import Query

from dsl.aggregates.held import Held
from dsl.aggregates.tally import Tally
from dsl.ast import Query as Asked
from dsl.groups import Frequent
from dsl.keys.base import Key
from dsl.keys.bucket import NumberBucket, TimeBucket
from dsl.keys.field import FieldKey
from dsl.keys.ranges import RangesKey
from dsl.keys.top import TopKey
from dsl.limits import Limits
from server.engine.columns import INTEGER_EXACT_MAX, NotNative, column, is_always_there, plain_keys
from server.engine.metrics import listing_of
from storage import index as ix
from storage.columns import Pair
from storage.errors import ResultTooLarge
from storage.queries import all_of, any_of
from storage.snapshot import Snapshot

LISTED_MAX = 4096  # values that a question may name


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the records, by one key.

    Attributes:
        value: Their value for the key, where all have the same.
        column: The column whose values part them further, where not.
        only: Which records; None is all.
        without: Which not.
    """

    value: Any = None
    column: str | None = None
    only: Query | None = None
    without: Query | None = None


def is_level(key: Key) -> bool:
    """Whether a key can be a level of a question."""
    return isinstance(key, FieldKey | TimeBucket | NumberBucket)


class Splitter:
    """Parts the records of one query by its keys.

    Attributes:
        frequent: The most frequent values of keys that need them; filled while parting.
    """

    def __init__(self, snapshot: Snapshot, query: Asked, base: Query, limits: Limits) -> None:
        assert snapshot.queries is not None
        self.frequent: Frequent = {}
        self._snapshot = snapshot
        self._queries = snapshot.queries
        self._keys = query.group_by
        self._base = base
        self._limits = limits

    def parts(self, place: int) -> Sequence[Part]:
        """The parts by the key at a place.

        Raises:
            NotNative: the index can't part by it.
        """
        key = self._keys[place]
        if isinstance(key, TimeBucket):
            return [Part(column=ix.TIMESTAMP)]
        if isinstance(key, NumberBucket):
            return self._by_bucket(key)
        if isinstance(key, RangesKey):
            return self._by_ranges(key)
        if isinstance(key, TopKey):
            return self._by_frequency(key, place)
        if not isinstance(key, FieldKey):
            raise NotNative
        name = column(key.field)
        if is_always_there(name):
            return [Part(column=name)]
        return [Part(column=name), Part(without=Query.exists_query(name, False))]

    def _by_bucket(self, key: NumberBucket) -> Sequence[Part]:
        """A histogram; it counts a record with several numbers wrongly, so none may have."""
        name = column(key.field)
        if not 0 <= key.offset < key.width:
            raise NotNative
        numbers = any_of(
            [_exact(self._numbers(key.field, None, 0)), _exact(self._numbers(key.field, 0, None))]
        )
        found = self._snapshot.aggregate(self._base, {"numbers": {"stats": {"field": name}}})["numbers"]
        if found["count"] != self._snapshot.count(all_of([self._base, numbers])):
            raise NotNative
        if found["count"] and max(-found["min"], found["max"]) / float(key.width) >= INTEGER_EXACT_MAX:
            raise NotNative
        return [Part(column=name, only=numbers), Part(without=numbers)]

    def _by_ranges(self, key: RangesKey) -> Sequence[Part]:
        queries = [_exact(self._numbers(key.field, *key.within(i))) for i in range(len(key.bounds) + 1)]
        return [
            *(Part(value=i, only=query) for i, query in enumerate(queries)),
            Part(without=any_of(queries)),
        ]

    def _by_frequency(self, key: TopKey, place: int) -> Sequence[Part]:
        name = column(key.field)
        try:
            found = self._snapshot.aggregate(self._base, {"values": {"terms": listing_of(name)}})["values"]
        except ResultTooLarge:
            raise NotNative from None
        if found["sum_other_doc_count"]:
            raise NotNative
        buckets = found["buckets"]
        tally = Tally(key, Held(self._limits))
        for value, bucket in zip(plain_keys(buckets), buckets, strict=True):
            tally.add((value,), bucket["doc_count"])
        ranked = [value for value, _ in tally.most_frequent(len(tally))]
        chosen, others = ranked[: key.most], ranked[key.most :]
        if len(others) > LISTED_MAX:
            raise NotNative
        self.frequent = {**self.frequent, place: chosen}
        parts = [
            Part(value=i, only=_exact(self._queries.equal(key.field, value)))
            for i, value in enumerate(chosen)
        ]
        if others:
            parts.append(Part(value=len(chosen), only=_exact(self._queries.any_of(key.field, others))))
        if is_always_there(name):
            return parts
        return [*parts, Part(without=Query.exists_query(name, False))]

    def _numbers(self, path: str, low: float | None, high: float | None) -> Pair:
        return self._queries.numbers(path, low, high, include_low=True, include_high=False)


def _exact(pair: Pair) -> Query:
    """The query that both of a pair are.

    Raises:
        NotNative: they are two.
    """
    upper, lower = pair
    if upper is not lower:
        raise NotNative
    return upper
