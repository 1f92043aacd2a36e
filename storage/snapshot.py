"""A snapshot: what was published of some streams at one moment, to be searched, counted, aggregated and fetched from.

It keeps answering from that state while records pour in and segments are dropped or replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import tantivy
from tantivy import FieldType, Query

from storage import index as ix
from storage.catalog import Catalog
from storage.datafiles import Stored, StreamData, Swept, sweep
from storage.errors import ResultTooLarge
from storage.pruning import ANYTHING, Within
from storage.queries import FieldQueries, all_of, any_of
from storage.side_by_side import cores
from storage.stop import Stop, panics_named
from storage.tiers import TIER_RECORDS, Part, tiers, windows
from storage.time_slots import between
from storage.weight import NANOSECOND_S, PASSED_NS, Scale, weigh

Result = TypeVar("Result")

SCAN_FIRST = 4096  # candidates that the index is asked for at first, so that reading them begins soon
SCAN_CHUNK = (
    16384  # and then at once: each question goes through all that match, and holds 150 bytes for each
)


@dataclass(slots=True)
class Work:
    """What was asked of a snapshot so far, and how long that took."""

    searches: int = 0
    aggregations: int = 0
    index_s: float = 0.0
    fetched: int = 0
    fetched_bytes: int = 0
    fetch_s: float = 0.0


class Address(NamedTuple):
    """One record in a snapshot: its time, number and stream."""

    time_us: int
    number: int
    stream: str


@dataclass(frozen=True, slots=True)
class Slice:
    """An open index over some segments.

    Attributes:
        owners: The stream of each index segment, in the searcher's order; or of all of them.
    """

    index: tantivy.Index
    searcher: tantivy.Searcher
    owners: tuple[str, ...]

    def stream_of(self, place: tantivy.DocAddress) -> str:
        """The stream of a record."""
        return self.owners[place.segment_ord] if len(self.owners) > 1 else self.owners[0]


class Snapshot:
    """The published records of some streams at one moment.

    Args:
        catalogs: What is published of each stream.
        data: Their data files.
        whole: The index over all segments that are asked; None where there are none.
        parts: Those segments.
        open_slice: Opens an index over some of them; None where they have been replaced meanwhile.
        strings: How many different strings a column has in them, at most; 0 of a column that has none.
        within: The times and numbers that are asked about.
        stop: When questions are given up.
    """

    def __init__(
        self,
        catalogs: dict[str, Catalog],
        data: dict[str, StreamData],
        whole: Slice | None,
        parts: Sequence[Part] = (),
        open_slice: Callable[[Sequence[Part]], Slice | None] = lambda _: None,
        *,
        strings: Callable[[str], int] = lambda _: 0,
        within: Within = ANYTHING,
        stop: Stop | None = None,
    ) -> None:
        self._within = within
        self.catalogs = catalogs
        self.parts = parts
        self._data = data
        self._whole = whole
        self._open_slice = open_slice
        self._strings = strings
        self._single = next(iter(data)) if len(data) == 1 else None
        self._index = whole.index if whole else None
        self._searcher = whole.searcher if whole else None
        self.stop = stop or Stop()
        self.work = Work()
        self._unreadable: set[tuple[str, int]] = (
            set()
        )  # records that were found and could not be read, so far
        self.queries = (
            FieldQueries(whole.index, whole.searcher, self.stop.check, self.stop.begin, self._span())
            if whole
            else None
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is published at all."""
        return self._searcher is None or not self._searcher.num_docs

    @property
    def records(self) -> int:
        """All records."""
        return self._searcher.num_docs if self._searcher else 0

    def count(self, query: Query) -> int:
        """How many records match, exactly."""
        if self.queries is not None and query is self.queries.all()[0]:
            return self.records  # the engine would go through all of them
        return int(self._search(self._whole, query, 1, count=True).count or 0)  # type: ignore[attr-defined]

    def newest(
        self,
        query: Query,
        limit: int,
        *,
        after: Address | None = None,
        oldest_first: bool = False,
        all_of_time: bool = False,
    ) -> list[Address]:
        """The next records by falling time; equal ones by rising stream name, then by falling number.

        Args:
            query: What must match.
            limit: How many at most, at least 1.
            after: Where the records before ended.
            oldest_first: The whole order turned round.
            all_of_time: Whether all records of the snapshot's time match: then a short stretch of it is likely to do.
        """
        beyond = [] if after is None else [self._beyond(after, oldest_first=oldest_first)]
        if beyond:
            query = all_of([query, *beyond])
        if self._whole is None:
            return []
        after_us = None if after is None else after.time_us
        if all_of_time:
            first_us, last_us = self._span()
            apart_us = (last_us - first_us) // max(self.records, 1)
            span = self._wanted_span(after_us, oldest_first=oldest_first)
            for low, high in windows(span, self.records, apart_us, limit, oldest_first=oldest_first):
                near = all_of([self._between(low, high + 1), *beyond])
                found = self._newest(self._whole, near, limit, oldest_first=oldest_first)
                if len(found) == limit:
                    return found
        if self.records <= TIER_RECORDS:
            return self._newest(self._whole, query, limit, oldest_first=oldest_first)
        for tier in tiers(self.parts, oldest_first=oldest_first, after_us=after_us, first=TIER_RECORDS):
            if tier.edge_us is None:
                break
            part = self._open_slice(tier.parts)
            if part is None:
                break
            found = self._newest(part, query, limit, oldest_first=oldest_first)
            # At the same time as the edge there may be others that come before.
            if len(found) == limit and (
                found[-1].time_us < tier.edge_us if oldest_first else found[-1].time_us > tier.edge_us
            ):
                return found
        return self._newest(self._whole, query, limit, oldest_first=oldest_first)

    @property
    def segments(self) -> int:
        """How many segments the index has: each is gone through by itself, and what is found then put together."""
        return self._searcher.num_segments if self._searcher else 0

    def asked_span(self) -> tuple[int, int]:
        """The first and the last time that a record may have of those that are asked about; none, if it is later."""
        return self._wanted_span(None, oldest_first=False)

    def share(self, low_us: int, high_us: int) -> float:
        """How many of all records may lie between two times, both included, if they are spread evenly."""
        first_us, last_us = self._span()
        return self.records * (high_us - low_us + 1) / (last_us - first_us + 1)

    def _span(self) -> tuple[int, int]:
        """The first and the last time of all records."""
        low = min((part.entry.min_us for part in self.parts if part.entry.min_us is not None), default=0)
        return low, max(
            (part.entry.max_us for part in self.parts if part.entry.max_us is not None), default=0
        )

    def _wanted_span(self, after_us: int | None, *, oldest_first: bool) -> tuple[int, int]:
        """The first and the last time that the records of a page behind another may have."""
        low, high = self._span()
        first_us, until_us = self._within.low_us, self._within.high_us
        low = low if first_us is None else max(low, first_us)
        high = high if until_us is None else min(high, until_us - 1)
        if after_us is None:
            return low, high
        return (max(low, after_us), high) if oldest_first else (low, min(high, after_us))

    def _newest(self, part: Slice, query: Query, limit: int, *, oldest_first: bool) -> list[Address]:
        """The next records of some segments."""
        found = self._ordered(query, limit + 1, ix.TIMESTAMP, oldest_first=oldest_first, part=part)
        if len(found) > limit and found[limit - 1].time_us == found[limit].time_us:
            # Equal times cross the edge of the page, and the engine promises no order among them: ask for those again.
            edge = found[limit].time_us
            found = [address for address in found if address.time_us != edge]
            at_edge = self._between(edge, edge + 1)
            for stream in sorted(self._data, reverse=oldest_first):
                room = limit - len(found)
                if room > 0:
                    wanted = all_of([query, at_edge, *self._of_stream([stream])])
                    found += self._ordered(
                        wanted, room, ix.NUMBER, oldest_first=oldest_first, time_us=edge, part=part
                    )
        found.sort(
            key=lambda address: (-address.time_us, address.stream, -address.number), reverse=oldest_first
        )
        return found[:limit]

    def scan(self, query: Query) -> Iterator[list[Address]]:
        """All records that match, in chunks, the highest numbers first; their `time_us` is not filled in."""
        for chunk in self._numbers(query):
            yield [Address(0, number, stream) for stream, numbers in chunk.items() for number in numbers]

    def sweep(self, query: Query, look: Callable[[Swept], Result]) -> Iterator[Result]:
        """What is made of all records that match, a frame at a time, in no promised order; unreadable ones are counted.

        It is for going through many: several frames are unpacked and looked at side by side.

        Args:
            query: Which records.
            look: Looks at those of one frame, in some thread.
        """
        batches = (
            batch
            for chunk in self._numbers(query)
            for stream, numbers in chunk.items()
            for batch in self._data[stream].batches(numbers)
        )
        looked = sweep(batches, lambda swept: _looked_at(swept, look))
        while True:
            self.check_deadline()
            begun_s, index_s = time.perf_counter(), self.work.index_s
            one = next(looked, None)
            self.work.fetch_s += time.perf_counter() - begun_s - (self.work.index_s - index_s)
            if one is None:
                return
            self._unreadable.update(one.unreadable)
            self.work.fetched += one.records
            self.work.fetched_bytes += one.bytes
            yield one.found

    def _numbers(self, query: Query) -> Iterator[dict[str, list[int]]]:
        """The numbers of all records that match, by stream, each rising; in chunks, those of the highest first."""
        if self._whole is None:
            return
        bounded, size = query, SCAN_FIRST
        while True:
            hits = self._highest(bounded, size + 1)
            if len(hits) <= size:
                yield self._by_stream(hits)
                return
            # Records of several streams may share the last number: leave all of it to the next chunk, unless it
            # is all there is.
            edge = int(hits[-1][0])
            if hits[0][0] == edge:
                at_edge = all_of([query, self._range(ix.NUMBER, FieldType.Unsigned, edge, edge)])
                yield self._by_stream(self._highest(at_edge, len(self._data)))
                edge -= 1
                if edge < 0:
                    return
            else:
                while hits[-1][0] == edge:
                    hits.pop()
                yield self._by_stream(hits)
            bounded = all_of([query, self._range(ix.NUMBER, FieldType.Unsigned, 0, edge)])
            size = SCAN_CHUNK

    def _highest(self, query: Query, limit: int) -> list[tuple[Any, tantivy.DocAddress]]:
        """The highest numbers of all that match, falling, each with its place in the index."""
        limit = min(limit, max(self.records, 1))  # the engine makes room for as many at once
        found = self._search(
            self._whole, query, limit, count=False, order_by_field=ix.NUMBER, order=tantivy.Order.Desc
        )
        return list(found.hits)

    def _by_stream(self, hits: Sequence[tuple[Any, tantivy.DocAddress]]) -> dict[str, list[int]]:
        assert self._whole is not None
        if len(self._whole.owners) == 1:
            return {self._whole.owners[0]: [number for number, _ in reversed(hits)]}
        numbers: dict[str, list[int]] = {}
        for number, place in reversed(hits):
            numbers.setdefault(self._whole.stream_of(place), []).append(number)
        return numbers

    @property
    def incomplete(self) -> str | None:
        """Why an answer from here may miss records; None when it misses none."""
        if self._unreadable:
            return f"{len(self._unreadable)} records that match cannot be read: their data is damaged"
        return next((c.incomplete for c in self.catalogs.values() if c.incomplete), None)

    def check_deadline(self) -> None:
        """Go on only while there is time.

        Raises:
            QueryTimeout: there is none left.
            QueryAbandoned: nobody waits for the answer.
        """
        self.stop.check()

    def fetch(self, addresses: Iterable[Address]) -> list[Stored]:
        """The records at these addresses, in their order; those that cannot be read are left out and counted.

        It is for a page: others near them are likely to be wanted soon.
        """
        self.check_deadline()
        begun_s = time.perf_counter()
        wanted = list(addresses)
        out: list[Stored | None] = [None] * len(wanted)
        for stream in {address.stream for address in wanted}:
            places = [i for i, address in enumerate(wanted) if address.stream == stream]
            stored = self._data[stream].fetch([wanted[i].number for i in places])
            for i, record in zip(places, stored, strict=True):
                out[i] = record
        found = [record for record in out if record is not None]
        if len(found) < len(out):
            self._unreadable.update(
                (address.stream, address.number)
                for address, record in zip(wanted, out, strict=True)
                if record is None
            )
        self.work.fetched += len(found)
        self.work.fetched_bytes += sum(len(record.line) for record in found)
        self.work.fetch_s += time.perf_counter() - begun_s
        return found

    def aggregate(self, query: Query, aggregations: dict[str, Any]) -> dict[str, Any]:
        """The engine's aggregations over the records that match.

        Raises:
            ResultTooLarge: more groups than the engine can hold.
        """
        return self.aggregate_each([(query, aggregations)])[0]

    def aggregate_each(
        self, questions: Sequence[tuple[Query, dict[str, Any]]], records: int | None = None
    ) -> list[dict[str, Any]]:
        """The engine's answers to several questions, asked side by side where cores are free.

        Args:
            questions: Each about some of the records.
            records: How many those are in all, about, where that is known: else they may be counted.

        Raises:
            ResultTooLarge: more groups than the engine can hold, for one of them.
        """
        for question in questions:
            self._begin_aggregation(*question, records)
        begun_s = time.perf_counter()
        self.work.aggregations += len(questions)
        try:
            return cores().each([partial(self._aggregated, *question) for question in questions])
        finally:
            self.work.index_s += time.perf_counter() - begun_s

    def _aggregated(self, query: Query, aggregations: dict[str, Any]) -> dict[str, Any]:
        assert self._searcher is not None
        self.check_deadline()
        try:
            with panics_named():
                return dict(self._searcher.aggregate(query, aggregations))
        except ValueError as error:
            if "bucket" in str(error).lower() or "memory" in str(error).lower():
                raise ResultTooLarge(
                    "the groups are more than the 65 000 that an answer may have",
                    "group by fewer fields, take a larger bucket or a narrower :time",
                ) from error
            raise

    def _begin_search(self, records: int) -> None:
        made_ns = 0 if self.queries is None else self.queries.record_ns
        self.stop.begin(records * (PASSED_NS + made_ns) * NANOSECOND_S)

    def _begin_aggregation(
        self, query: Query, aggregations: dict[str, Any], known: int | None = None
    ) -> None:
        """Weigh a question, closely only where at first sight it may be long."""
        first_us, last_us = self._span()
        records = self.records
        scale = Scale(records, lambda _: records, last_us - first_us)
        self._begin_search(records)
        if self.stop.is_long(*weigh(aggregations, scale)):
            scale = scale._replace(
                records=self.count(query) if known is None else known, strings=self._strings
            )
            self.stop.begin(*weigh(aggregations, scale))

    def _search(self, part: Slice | None, query: Query, limit: int, **options: Any) -> tantivy.SearchResult:
        assert part is not None
        self._begin_search(part.searcher.num_docs)
        begun_s = time.perf_counter()
        self.work.searches += 1
        try:
            with panics_named():
                return part.searcher.search(query, limit=limit, **options)
        finally:
            self.work.index_s += time.perf_counter() - begun_s

    def _ordered(
        self,
        query: Query,
        limit: int,
        field: str,
        *,
        oldest_first: bool,
        time_us: int | None = None,
        part: Slice | None = None,
    ) -> list[Address]:
        """Matches by one column; `time_us` is the time of all of them where the column is another."""
        part = part or self._whole
        if part is None:
            return []
        order = tantivy.Order.Asc if oldest_first else tantivy.Order.Desc
        limit = min(limit, max(part.searcher.num_docs, 1))  # the engine makes room for as many at once
        hits = self._search(part, query, limit, count=False, order_by_field=field, order=order).hits
        places = [place for _, place in hits]
        streams = [part.stream_of(place) for place in places]
        if field == ix.NUMBER:
            return [
                Address(time_us or 0, int(key), stream)
                for (key, _), stream in zip(hits, streams, strict=True)
            ]
        numbers = part.searcher.fast_field_values(ix.NUMBER, places)
        return [
            Address(int(key), int(number), stream)  # type: ignore[arg-type]
            for (key, _), number, stream in zip(hits, numbers, streams, strict=True)
        ]

    def _between(self, low_us: int, high_us: int) -> Query:
        """Records with a time in [low, high)."""
        assert self._index is not None
        return between(self._index.schema, low_us, high_us, self._span())

    def _range(self, field: str, kind: FieldType, low: int | None, high: int | None) -> Query:
        assert self._index is not None
        return Query.range_query(self._index.schema, field, kind, low, high, True, True)

    def _beyond(self, after: Address, *, oldest_first: bool) -> Query:
        """Records that come behind an address in the order."""
        step = 1 if oldest_first else -1

        def side(field: str, kind: FieldType, value: int) -> Query:
            bounds = (value, None) if oldest_first else (None, value)
            return self._range(field, kind, *bounds)

        same_time = self._between(after.time_us, after.time_us + 1)
        queries = [side(ix.TIMESTAMP, FieldType.Integer, after.time_us + step)]
        if oldest_first or after.number > 0:
            same_stream = self._of_stream([after.stream])
            queries.append(
                all_of([same_time, *same_stream, side(ix.NUMBER, FieldType.Unsigned, after.number + step)])
            )
        behind = [
            name for name in self._data if (name < after.stream if oldest_first else name > after.stream)
        ]
        if behind:
            queries.append(all_of([same_time, *self._of_stream(behind)]))
        return any_of(queries)

    def _of_stream(self, names: Sequence[str]) -> list[Query]:
        """What restricts a query to some of the streams; nothing where there is only one."""
        if self._single is not None:
            return []
        assert self._index is not None
        return [any_of([Query.term_query(self._index.schema, ix.STREAM, name) for name in names])]


class _Looked(NamedTuple, Generic[Result]):
    """What came of the records of one frame.

    Attributes:
        unreadable: The stream and number of each that could not be read.
        records: How many could.
        bytes: Of their lines.
        found: What was made of them.
    """

    unreadable: Sequence[tuple[str, int]]
    records: int
    bytes: int
    found: Result


def _looked_at(swept: Swept, look: Callable[[Swept], Result]) -> _Looked[Result]:
    """Look at those records of a frame that could be read."""
    stream, numbers, times_us, lines = swept
    unreadable: list[tuple[str, int]] = []
    if not all(lines):
        unreadable = [(stream, number) for number, line in zip(numbers, lines, strict=True) if not line]
        places = [i for i, line in enumerate(lines) if line]
        swept = Swept(
            stream, [numbers[i] for i in places], [times_us[i] for i in places], [lines[i] for i in places]
        )
    return _Looked(unreadable, len(swept.lines), sum(map(len, swept.lines)), look(swept))
