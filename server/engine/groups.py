"""Groups by the index alone: one nested aggregation over columns, read back as a value per group.

The keys that are fields come first, the bucket of time last, because a term of a column is cheap to split by and a
histogram of ten thousand buckets is not. Records without a value for a key are the group of nil: they are asked for
apart, as the index leaves them out. A condition on one aggregate is one more question, with the condition added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

from tantivy import Query

from dsl.aggregates.base import Aggregate, tidy
from dsl.aggregates.count_distinct import CountDistinct
from dsl.aggregates.max import Max
from dsl.aggregates.min import Min
from dsl.aggregates.sum import Sum
from dsl.keys.base import Key
from dsl.keys.bucket import NumberBucket, TimeBucket
from dsl.keys.field import FieldKey
from storage import index as ix
from storage.errors import ResultTooLarge
from storage.queries import all_of, but_not
from storage.snapshot import Snapshot

KEY = "groups"  # a name inside the question; the engine has "key" itself, and aggregates are called by their place
GROUPS_MAX = 65_000  # the engine's own bound on buckets
INTEGER_EXACT_MAX = 2**53  # a column that holds floats too rounds larger integers
FIELD_KEYS_MAX = 4  # each doubles the questions about records without a value

Groups = dict[tuple[Any, ...], list[Any]]


class NotNative(Exception):
    """The index cannot group like this; the records must be read."""


@dataclass(slots=True)
class NativeGroups:
    """One grouped query put to the index.

    Attributes:
        snapshot: What is asked.
        keys: What is grouped by.
        calls: The aggregates, in the order of the columns of the result.
        approximate: Places of aggregates whose values are not exact; filled while asking.
    """

    snapshot: Snapshot
    keys: Sequence[Key]
    calls: Sequence[Aggregate]
    approximate: set[int]

    def why_not(self) -> str | None:
        """What has no column, so that the records must be read; None where only asking can tell."""
        for key in self.keys:
            try:
                if not isinstance(key, TimeBucket):
                    _level(key, _key_column(key))
            except NotNative:
                return f"the index has no column for the key {key.name}"
        for call in self.calls:
            try:
                self._metric(call, exact=True)
            except NotNative:
                return f"the index has no column for :{call.op} of {call.source}"
        if sum(not isinstance(key, TimeBucket) for key in self.keys) > FIELD_KEYS_MAX:
            return f"more than {FIELD_KEYS_MAX} keys are fields"
        return None

    def ask(self, base: Query, conditions: Sequence[Query | None]) -> Groups:
        """The groups and their aggregates.

        Args:
            base: Which records.
            conditions: For each aggregate the further condition of its own.

        Raises:
            NotNative: the index can't.
            ResultTooLarge: there are more groups than an answer may have.
        """
        fields = [key for key in self.keys if not isinstance(key, TimeBucket)]
        if len(fields) > FIELD_KEYS_MAX:
            raise NotNative
        columns = {id(key): _key_column(key) for key in fields}
        if not any(conditions):
            return dict(self._everywhere(base, fields, columns, range(len(self.calls))))
        groups: Groups = {}
        plain = [i for i, condition in enumerate(conditions) if condition is None]
        for key, values in self._everywhere(base, fields, columns, plain):
            row = groups.setdefault(key, [None] * len(self.calls))
            for i, value in zip(plain, values, strict=True):
                row[i] = value
        for i, condition in enumerate(conditions):
            if condition is None:
                continue
            empty = _empty_value(self.calls[i])
            for row in groups.values():
                row[i] = empty
            for key, values in self._everywhere(all_of([base, condition]), fields, columns, [i]):
                groups[key][i] = values[0]
        return groups

    def _everywhere(
        self, base: Query, fields: Sequence[Key], columns: dict[int, str], places: Sequence[int]
    ) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
        """The groups with every key present, then those that lack some."""
        optional = [key for key in fields if columns[id(key)] not in (ix.TIMESTAMP, ix.NUMBER, ix.STREAM)]
        for lacking in chain.from_iterable(combinations(optional, n) for n in range(len(optional) + 1)):
            query = base
            for key in lacking:
                query = but_not(query, Query.exists_query(columns[id(key)], False))
            if lacking and not self.snapshot.count(query):
                continue
            present = [key for key in fields if not any(key is other for other in lacking)]
            yield from self._ask(query, present, columns, places)

    def _ask(
        self, query: Query, present: Sequence[Key], columns: dict[int, str], places: Sequence[int]
    ) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
        levels: list[Key] = [*present, *(key for key in self.keys if isinstance(key, TimeBucket))]
        if not levels and all(self.calls[i].source is None for i in places):
            total = self.snapshot.count(query)
            if total or not self.keys:
                yield (None,) * len(self.keys), [total] * len(places)
            return
        try:
            answer = self.snapshot.aggregate(query, self._question(levels, columns, places, exact=True))
            exact = not any(isinstance(self.calls[i], CountDistinct) for i in places) or not _cut_short(
                answer, places, levels
            )
        except ResultTooLarge:
            if not any(isinstance(self.calls[i], CountDistinct) for i in places):
                raise
            exact = False
        if not exact:
            # Counting distinct values one by one was too much: estimate, and say so.
            answer = self.snapshot.aggregate(query, self._question(levels, columns, places, exact=False))
        for i in places:
            call = self.calls[i]
            if call.approximation and not (isinstance(call, CountDistinct) and exact):
                self.approximate.add(i)
        if not levels:
            total = self.snapshot.count(query)
            if total or not self.keys:
                lacking = (None,) * len(self.keys)
                yield lacking, [self._value(i, answer, total, exact=exact) for i in places]
            return
        slots = [_slot(self.keys, level) for level in levels]
        yield from self._read(answer, levels, slots, [None] * len(self.keys), places, exact=exact)

    def _question(
        self, levels: Sequence[Key], columns: dict[int, str], places: Sequence[int], *, exact: bool
    ) -> dict[str, Any]:
        inner: dict[str, Any] = {}
        for i in places:
            question = self._metric(self.calls[i], exact=exact)
            if question is not None:
                inner[str(i)] = question
        for level in reversed(levels):
            outer = _level(level, columns.get(id(level), ix.TIMESTAMP))
            if inner:
                outer["aggs"] = inner
            inner = {KEY: outer}
        return inner

    @staticmethod
    def _metric(call: Aggregate, *, exact: bool) -> dict[str, Any] | None:
        if call.source is None:
            return None
        field = column(call.source)
        if isinstance(call, CountDistinct) and exact:
            return {"terms": {"field": field, "size": GROUPS_MAX, "segment_size": GROUPS_MAX}}
        return call.native(field)

    def _value(self, i: int, bucket: dict[str, Any], count: int, *, exact: bool) -> Any:
        call = self.calls[i]
        if call.source is None:
            return count
        found = bucket.get(str(i))
        if found is None:
            return _empty_value(call)
        if isinstance(call, CountDistinct) and exact:
            return len({_bucket_key(b) for b in found["buckets"]})
        value = call.read(found)
        if isinstance(call, Max | Min | Sum) and value is not None and abs(value) >= INTEGER_EXACT_MAX:
            raise NotNative  # worked out in floats, where whole numbers had to be exact
        return value

    def _read(
        self,
        answer: dict[str, Any],
        levels: Sequence[Key],
        slots: Sequence[int],
        key: list[Any],
        places: Sequence[int],
        *,
        exact: bool,
    ) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
        level, slot = levels[0], slots[0]
        found = answer[KEY]
        if found.get("sum_other_doc_count"):
            raise ResultTooLarge(
                f"there are more than {GROUPS_MAX} values of {level.name}",
                "group by a field with fewer values, or narrow :where and :time",
            )
        buckets = found["buckets"]
        if len(levels) > 1:
            for bucket in buckets:
                key[slot] = _read_key(level, bucket)
                yield from self._read(bucket, levels[1:], slots[1:], key, places, exact=exact)
            return
        before, after = tuple(key[:slot]), tuple(key[slot + 1 :])
        names = [_read_key(level, bucket) for bucket in buckets]
        if all(self.calls[i].source is None for i in places):
            width = len(places)
            for name, bucket in zip(names, buckets, strict=True):
                yield (*before, name, *after), [bucket["doc_count"]] * width
            return
        for name, bucket in zip(names, buckets, strict=True):
            count = bucket["doc_count"]
            yield (*before, name, *after), [self._value(i, bucket, count, exact=exact) for i in places]


def _slot(keys: Sequence[Key], level: Key) -> int:
    return next(i for i, key in enumerate(keys) if key is level)


def _key_column(key: Key) -> str:
    if isinstance(key, FieldKey | NumberBucket):
        return column(key.field)
    raise NotNative


def column(path: str) -> str:
    """The column of a field.

    Raises:
        NotNative: it has none.
    """
    own = {"timestamp": ix.TIMESTAMP, "_stream": ix.STREAM, "_number": ix.NUMBER}.get(path)
    if own:
        return own
    if path == ix.MESSAGE or not ix.path_is_indexed(path):
        raise NotNative
    return f"{ix.ATTRIBUTES}.{path}"


def _level(key: Key, column: str) -> dict[str, Any]:
    if isinstance(key, TimeBucket):
        histogram = {
            "field": ix.TIMESTAMP,
            "interval": key.width_us,
            "offset": key.origin_us,
            "min_doc_count": 1,
        }
        return {"histogram": histogram}
    if isinstance(key, NumberBucket):
        raise NotNative
    return {"terms": {"field": column, "size": GROUPS_MAX, "segment_size": GROUPS_MAX}}


def _read_key(level: Key, bucket: dict[str, Any]) -> Any:
    if isinstance(level, TimeBucket):
        return int(bucket["key"])
    return _bucket_key(bucket)


def _bucket_key(bucket: dict[str, Any]) -> Any:
    key = bucket["key"]
    if type(key) is str:
        if len(key) > ix.COLUMN_BYTES_MAX // 4 and len(key.encode()) >= ix.COLUMN_BYTES_MAX - 3:
            raise NotNative  # it may have been cut
        return ix.decode_text(key)
    text = bucket.get("key_as_string")
    if text in ("true", "false"):
        return _TRUE if text == "true" else _FALSE
    if abs(key) >= INTEGER_EXACT_MAX:
        raise NotNative
    return tidy(key) if type(key) is float else key


class _Boolean:
    """True or false as part of a group's key, where Python would find it equal to 1 or 0."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


_TRUE, _FALSE = _Boolean(True), _Boolean(False)  # what they are


def plain_key(value: Any) -> Any:
    """A value of a group's key as rows have it."""
    return value.value if type(value) is _Boolean else value


def _empty_value(call: Aggregate) -> Any:
    return call.accumulator().result()


def _cut_short(answer: dict[str, Any], places: Sequence[int], levels: Sequence[Key]) -> bool:
    """Whether some list of distinct values was cut, so that its length says nothing."""
    if levels:
        return any(_cut_short(bucket, places, levels[1:]) for bucket in answer[KEY]["buckets"])
    return any(
        isinstance(found, dict) and found.get("sum_other_doc_count", 0) > 0
        for found in (answer.get(str(i)) for i in places)
    )
