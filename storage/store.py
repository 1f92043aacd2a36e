"""Reading: snapshots of one or several streams, to be searched, counted, aggregated and fetched from.

A snapshot is what was published at one moment. It keeps answering from that state while records pour in.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tantivy
from tantivy import FieldType, Query

from storage import index as ix
from storage.catalog import Catalog, CatalogFile
from storage.errors import (
    FrameDamaged,
    IndexBusy,
    IndexPanic,
    QueryTimeout,
    ResultTooLarge,
    UnknownStream,
)
from storage.format import FrameHeader, FrameRecords
from storage.paths import DataDirectory, StreamDirectory, check_stream_name
from storage.queries import FieldQueries, all_of, any_of
from storage.scan import FrameDirectory
from storage.times import format_time
from storage.view import publish, read_meta

log = logging.getLogger(__name__)

OPEN_TRIES = 50  # an index may be replaced while it is opened; every try takes some milliseconds
FRAME_CACHE_BYTES_MAX = 32 << 20  # decoded frames kept: the newest pages read the same ones again and again
UNUSED_S = 60.0  # what nobody asked for so long is closed: opening it again takes milliseconds
SCAN_CHUNK = 4096  # candidates looked at between two questions to the index


class Address(NamedTuple):
    """One record in a snapshot: its time, number and stream."""

    time_us: int
    number: int
    stream: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it is kept: `line` is the JSON of everything but its time."""

    time_us: int
    number: int
    stream: str
    line: bytes


class _SegmentData:
    """The data file of a segment, open for reading."""

    def __init__(self, path: Path, first: int) -> None:
        self.first = first
        self.is_live = True
        self._fd = os.open(path, os.O_RDONLY)
        self.frames = FrameDirectory(self._fd, first)
        self._lock = threading.Lock()
        self.damaged: set[int] = set()  # offsets of frames that could not be read

    def find(self, number: int) -> FrameHeader | None:
        """The frame that holds a number."""
        with self._lock:
            return self.frames.find(number)

    def __del__(self) -> None:
        os.close(self._fd)


class _FrameCache:
    """Decoded frames, the least recently used dropped first. Keeps their files, so that an `id` stays theirs."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[int, int], tuple[_SegmentData, FrameRecords, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def forget(self, segments: Iterable[_SegmentData]) -> None:
        """Let go of all frames of some files for good: the files close when the last query has read them."""
        gone = set()
        with self._lock:
            for segment in segments:
                segment.is_live = False
                gone.add(id(segment))
            if not gone:
                return
            for key in [key for key in self._frames if key[0] in gone]:
                self._bytes -= self._frames.pop(key)[2]

    def get(self, key: tuple[int, int]) -> FrameRecords | None:
        with self._lock:
            found = self._frames.get(key)
            if found is None:
                return None
            self._frames.move_to_end(key)
            return found[1]

    def put(self, key: tuple[int, int], segment: _SegmentData, frame: FrameRecords, size: int) -> None:
        with self._lock:
            if key in self._frames or not segment.is_live:
                return
            self._frames[key] = (segment, frame, size)
            self._bytes += size
            while self._bytes > FRAME_CACHE_BYTES_MAX:
                _, (_, _, dropped) = self._frames.popitem(last=False)
                self._bytes -= dropped


class _StreamFiles:
    """The data files of one stream that is live."""

    def __init__(self, directory: StreamDirectory, cache: _FrameCache) -> None:
        self._directory = directory
        self._cache = cache
        self._open: dict[tuple[int, int], _SegmentData] = {}
        self._generation = -1
        self._born_us = -1
        self.used_s = time.monotonic()

    def of(self, catalog: Catalog) -> list[_SegmentData]:
        """The files of a catalog's segments, in its order. Those of dropped ones close when nobody reads them.

        Raises:
            FileNotFoundError: the catalog is old, and a segment of it gone.
        """
        self.used_s = time.monotonic()
        if catalog.born_us != self._born_us:
            self.close()  # the stream, or its catalog alone, was made anew: the same numbers may be other records
            self._born_us = catalog.born_us
        if catalog.generation != self._generation:
            old = self._open
            self._open = {
                (entry.first, entry.generation): self._open.get((entry.first, entry.generation))
                or _SegmentData(self._directory.segment(entry.first, entry.generation).data, entry.first)
                for entry in catalog.segments
            }
            self._generation = catalog.generation
            self._cache.forget(segment for key, segment in old.items() if key not in self._open)
        return list(self._open.values())

    def close(self) -> None:
        """Let go of all files; queries that read them keep them open for themselves."""
        self._cache.forget(self._open.values())
        self._open, self._generation = {}, -1


class _StreamData:
    """The data files of one stream at one moment: they stay readable whatever is dropped or replaced meanwhile."""

    def __init__(self, name: str, segments: list[_SegmentData], cache: _FrameCache) -> None:
        self._name = name
        self._segments = segments
        self._firsts = [segment.first for segment in segments]
        self._cache = cache

    def fetch(self, numbers: Sequence[int]) -> list[Stored | None]:
        """The records of these numbers, in their order; None for one that cannot be read."""
        found: list[Stored | None] = [None] * len(numbers)
        current: FrameRecords | None = None
        for at in sorted(range(len(numbers)), key=numbers.__getitem__):
            number = numbers[at]
            if current is None or not current.first <= number < current.first + len(current.lines):
                current = self._frame(number)
                if current is None:
                    continue
            i = number - current.first
            if current.lines[i]:
                found[at] = Stored(current.times_us[i], number, self._name, current.lines[i])
        return found

    def _frame(self, number: int) -> FrameRecords | None:
        at = bisect_right(self._firsts, number) - 1
        if at < 0:
            return None
        segment = self._segments[at]
        header = segment.find(number)
        if header is None:
            return None
        key = (id(segment), header.offset)
        frame = self._cache.get(key)
        if frame is None:
            try:
                frame = segment.frames.load(header)
            except FrameDamaged as error:
                if header.offset not in segment.damaged:
                    segment.damaged.add(header.offset)
                    log.error("stream %s: %s", self._name, error.message)  # noqa: TRY400  # the place says all
                return None
            self._cache.put(key, segment, frame, header.raw_bytes + 60 * header.records)
        return frame


class _View:
    """An open index over a view directory, reloaded when what it shows has changed."""

    def __init__(self, path: Path) -> None:
        self.index = ix.open_index(path)
        self.index.config_reader("manual", 0)
        self.stamp: Any = None
        self.used_s = time.monotonic()
        self.owners: tuple[str, ...] = ()  # the stream of each index segment, in the searcher's order


class Store:
    """The streams of a data directory, for readers. Thread-safe."""

    def __init__(self, data: DataDirectory) -> None:
        self._data = data
        self._cache = _FrameCache()
        self._catalogs: dict[str, CatalogFile] = {}
        self._files: dict[str, _StreamFiles] = {}
        self._views: dict[tuple[str, ...], _View] = {}
        self._lock = threading.RLock()
        self._own_views = data.views / str(os.getpid())

    def close(self) -> None:
        """Remove the views that this reader made."""
        shutil.rmtree(self._own_views, ignore_errors=True)

    def catalog(self, stream: str) -> Catalog:
        """What is published of a stream.

        Raises:
            BadStreamName: no stream can have this name.
            UnknownStream: none has it.
        """
        with self._lock:
            file = self._catalogs.get(stream)
            if file is None:
                directory = self._data.stream(check_stream_name(stream))
                if not directory.root.is_dir():
                    self.forget(stream)
                    raise UnknownStream(f"no stream {stream!r}", self._streams_hint())
                file = self._catalogs[stream] = CatalogFile(directory.catalog)
            catalog = file.read()
            if catalog is None and not self._data.stream(stream).root.is_dir():
                self.forget(stream)
                raise UnknownStream(f"no stream {stream!r}", self._streams_hint())
            return catalog or Catalog(stream=stream)

    def forget(self, stream: str) -> None:
        """Let go of all that is kept of a stream, because it was deleted."""
        with self._lock:
            self._catalogs.pop(stream, None)
            files = self._files.pop(stream, None)
            if files is not None:
                files.close()
            for live in [live for live in self._views if stream in live]:
                self._drop_view(live)

    def let_go(self, unused_s: float = UNUSED_S) -> None:
        """Close what no query has used for a while: open files of dropped segments keep their space on the disk."""
        before_s = time.monotonic() - unused_s
        with self._lock:
            for stream in [name for name, files in self._files.items() if files.used_s <= before_s]:
                self._files.pop(stream).close()
            for live in [live for live, view in self._views.items() if view.used_s <= before_s]:
                self._drop_view(live)

    def _drop_view(self, live: tuple[str, ...]) -> None:
        del self._views[live]
        if len(live) > 1:
            shutil.rmtree(self._own_view(live), ignore_errors=True)

    def _own_view(self, live: tuple[str, ...]) -> Path:
        """Where this process has its view over several streams."""
        return self._own_views / hashlib.sha256("/".join(live).encode()).hexdigest()[:16]

    def _streams_hint(self) -> str:
        names = self.stream_names()
        if not names:
            return "there are no streams yet; a stream comes into being with its first record"
        return "there are: " + ", ".join(names[:20]) + (" …" if len(names) > 20 else "")

    def stream_names(self) -> list[str]:
        """All streams, by name."""
        return self._data.stream_names()

    def snapshot(self, streams: Sequence[str]) -> Snapshot:
        """All that is published of these streams now.

        Raises:
            UnknownStream: one of them does not exist.
            IndexBusy: the index was replaced under every try to open it.
        """
        names = tuple(sorted(set(streams)))
        last: Exception | None = None
        for _ in range(OPEN_TRIES):
            # The catalogs are read first: the view that is opened next shows at least what they promise.
            catalogs = {name: self.catalog(name) for name in names}
            live = tuple(name for name in names if catalogs[name].segments)
            try:
                with self._lock:
                    return self._open(catalogs, live)
            except (OSError, ValueError) as error:
                last = error
                with self._lock:
                    self._views.pop(live, None)
                time.sleep(0.01)
        raise IndexBusy("the index changed under every try to open it", "ask again in a moment") from last

    def _open(self, catalogs: dict[str, Catalog], live: tuple[str, ...]) -> Snapshot:
        data = {name: self._stream_data(catalogs[name]) for name in live}
        if not live:
            return Snapshot(catalogs, data, None, None, ())
        stamp = tuple((catalogs[name].born_us, catalogs[name].generation) for name in live)
        view = self._views.get(live)
        if view is None or view.stamp != stamp:
            path, owners = (self._data.stream(live[0]).view, live) if len(live) == 1 else self._combine(live)
            if view is None:
                view = self._views[live] = _View(path)
            view.index.reload()
            view.stamp, view.owners = stamp, owners
        view.used_s = time.monotonic()
        return Snapshot(catalogs, data, view.index, view.index.searcher(), view.owners)

    def _combine(self, live: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
        """A view over the views of several streams, for this process alone; and the stream of each index segment."""
        own = self._own_view(live)
        sources = [
            (folder, read_meta(folder)) for folder in (self._data.stream(stream).view for stream in live)
        ]
        publish(own, sources, sources[0][1])
        owners = tuple(
            stream for stream, (_, meta) in zip(live, sources, strict=True) for _ in meta["segments"]
        )
        return own, owners

    def _stream_data(self, catalog: Catalog) -> _StreamData:
        files = self._files.get(catalog.stream)
        if files is None:
            files = self._files[catalog.stream] = _StreamFiles(self._data.stream(catalog.stream), self._cache)
        return _StreamData(catalog.stream, files.of(catalog), self._cache)


class Snapshot:
    """The published records of some streams at one moment."""

    def __init__(
        self,
        catalogs: dict[str, Catalog],
        data: dict[str, _StreamData],
        index: tantivy.Index | None,
        searcher: tantivy.Searcher | None,
        owners: tuple[str, ...],
    ) -> None:
        self.catalogs = catalogs
        self._data = data
        self._searcher = searcher
        self._single = next(iter(data)) if len(data) == 1 else None
        self._owners = owners
        self._index = index
        self.deadline_s: float | None = None  # on the clock of time.monotonic: when questions are given up
        self._unreadable: set[tuple[str, int]] = (
            set()
        )  # records that were found and could not be read, so far
        self.queries = FieldQueries(index, searcher) if index is not None and searcher is not None else None

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
        return int(self._search(query, 1, count=True).count or 0)  # type: ignore[attr-defined]

    def newest(
        self, query: Query, limit: int, *, after: Address | None = None, oldest_first: bool = False
    ) -> list[Address]:
        """The next records by falling time; equal ones by rising stream name, then by falling number.

        Args:
            query: What must match.
            limit: How many at most, at least 1.
            after: Where the records before ended.
            oldest_first: The whole order turned round.
        """
        if after is not None:
            query = all_of([query, self._beyond(after, oldest_first=oldest_first)])
        found = self._ordered(query, limit + 1, ix.TIMESTAMP, oldest_first=oldest_first)
        if len(found) > limit and found[limit - 1].time_us == found[limit].time_us:
            # Equal times cross the edge of the page, and the engine promises no order among them: ask for those again.
            edge = found[limit].time_us
            found = [address for address in found if address.time_us != edge]
            at_edge = self._range(ix.TIMESTAMP, FieldType.Integer, edge, edge)
            for stream in sorted(self._data, reverse=oldest_first):
                room = limit - len(found)
                if room > 0:
                    wanted = all_of([query, at_edge, *self._of_stream([stream])])
                    found += self._ordered(wanted, room, ix.NUMBER, oldest_first=oldest_first, time_us=edge)
        found.sort(
            key=lambda address: (-address.time_us, address.stream, -address.number), reverse=oldest_first
        )
        return found[:limit]

    def scan(self, query: Query) -> Iterator[list[Address]]:
        """All records that match, by falling number, in chunks; their `time_us` is not filled in."""
        after: int | None = None
        while True:
            bounded = query
            if after is not None:
                if after == 0:
                    return
                bounded = all_of([query, self._range(ix.NUMBER, FieldType.Unsigned, 0, after - 1)])
            found = self._ordered(bounded, SCAN_CHUNK + 1, ix.NUMBER, oldest_first=False, time_us=0)
            if len(found) <= SCAN_CHUNK:
                yield found
                return
            # Records of several streams may share the last number: leave all of it to the next chunk, unless it
            # is all there is.
            edge = found[-1].number
            chunk = [address for address in found if address.number != edge]
            if not chunk:
                at_edge = all_of([query, self._range(ix.NUMBER, FieldType.Unsigned, edge, edge)])
                chunk = self._ordered(at_edge, len(self._data), ix.NUMBER, oldest_first=False, time_us=0)
                after = edge
            else:
                after = edge + 1
            yield chunk

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
        """
        if self.deadline_s is not None and time.monotonic() > self.deadline_s:
            raise QueryTimeout(
                "the query takes longer than it may",
                "narrow it by :time or :where, or raise query_timeout_s",
            )

    def fetch(self, addresses: Iterable[Address]) -> list[Stored]:
        """The records at these addresses, in their order; those that cannot be read are left out and counted."""
        self.check_deadline()
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
        return found

    def aggregate(self, query: Query, aggregations: dict[str, Any]) -> dict[str, Any]:
        """The engine's aggregations over the records that match.

        Raises:
            ResultTooLarge: more groups than the engine can hold.
        """
        assert self._searcher is not None
        self.check_deadline()
        try:
            return dict(self._searcher.aggregate(query, aggregations))
        except ValueError as error:
            if "bucket" in str(error).lower() or "memory" in str(error).lower():
                raise ResultTooLarge(
                    "the groups are more than the 65 000 that an answer may have",
                    "group by fewer fields, take a larger bucket or a narrower :time",
                ) from error
            raise
        except Exception:
            raise
        except BaseException as error:  # a panic of the engine is no Exception
            raise _panic(error) from error

    def _search(self, query: Query, limit: int, **options: Any) -> tantivy.SearchResult:
        assert self._searcher is not None
        self.check_deadline()
        try:
            return self._searcher.search(query, limit=limit, **options)
        except Exception:
            raise
        except BaseException as error:  # a panic of the engine is no Exception
            raise _panic(error) from error

    def _ordered(
        self, query: Query, limit: int, field: str, *, oldest_first: bool, time_us: int | None = None
    ) -> list[Address]:
        """Matches by one column; `time_us` is the time of all of them where the column is another."""
        if self._searcher is None:
            return []
        order = tantivy.Order.Asc if oldest_first else tantivy.Order.Desc
        limit = min(limit, max(self._searcher.num_docs, 1))  # the engine makes room for as many at once
        hits = self._search(query, limit, count=False, order_by_field=field, order=order).hits
        places = [place for _, place in hits]
        if field == ix.NUMBER:
            return [Address(time_us or 0, int(key), self._stream(place)) for key, place in hits]
        numbers = self._searcher.fast_field_values(ix.NUMBER, places)
        return [
            Address(int(key), int(number), self._stream(place))  # type: ignore[arg-type]
            for (key, place), number in zip(hits, numbers, strict=True)
        ]

    def _stream(self, place: tantivy.DocAddress) -> str:
        return self._single or self._owners[place.segment_ord]

    def _range(self, field: str, kind: FieldType, low: int | None, high: int | None) -> Query:
        assert self._index is not None
        return Query.range_query(self._index.schema, field, kind, low, high, True, True)

    def _beyond(self, after: Address, *, oldest_first: bool) -> Query:
        """Records that come behind an address in the order."""
        step = 1 if oldest_first else -1

        def side(field: str, kind: FieldType, value: int) -> Query:
            bounds = (value, None) if oldest_first else (None, value)
            return self._range(field, kind, *bounds)

        same_time = self._range(ix.TIMESTAMP, FieldType.Integer, after.time_us, after.time_us)
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


def _panic(error: BaseException) -> BaseException:
    """What to raise for something that is no Exception: our own error for a panic, itself for anything else."""
    if type(error).__name__ == "PanicException":
        return IndexPanic(
            f"the index engine failed on this query: {error}", "please report it with the query"
        )
    return error


def stream_summary(catalog: Catalog, disk_bytes: int) -> dict[str, Any]:
    """What `GET /v1/streams` says of a stream."""
    return {
        "name": catalog.stream,
        "records": catalog.records,
        "bytes": sum(segment.raw_bytes for segment in catalog.segments),
        "disk_bytes": disk_bytes,
        "first_time": None if catalog.min_us is None else format_time(catalog.min_us),
        "last_time": None if catalog.max_us is None else format_time(catalog.max_us),
    }
