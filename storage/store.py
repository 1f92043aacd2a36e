"""The store as readers have it: which streams there are, and snapshots of one or several of them."""

from __future__ import annotations

import hashlib
import math
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from storage import index as ix
from storage.catalog import Catalog, CatalogFile, SegmentEntry
from storage.datafiles import FrameCache, StreamData, StreamFiles
from storage.errors import IndexBusy, UnknownStream
from storage.own_views import OwnViews
from storage.paths import DataDirectory, check_stream_name
from storage.pruning import ANYTHING, Within
from storage.snapshot import Slice, Snapshot
from storage.stop import Stop
from storage.stream_columns import StreamColumns
from storage.suspicion import AGAIN_AFTER_S, is_cleared, suspect, suspect_file
from storage.tiers import Part
from storage.times import shown_time
from storage.view import publish, read_meta

OPEN_TRIES = 50  # an index may be replaced while it is opened; every try takes some milliseconds
VIEWS_MAX = 64  # open at once, the one used longest ago closed first: an index takes some memory and handles
UNUSED_S = 60.0  # what nobody asked for so long is closed: opening it again takes milliseconds


_Key = Hashable
"""Which streams, or which segments, a view is of."""

_Segment = tuple[str, int, int, int]
"""A segment that is live at some time: its stream, when that came into being, its first number and generation."""


class _View:
    """An open index over a folder, opened again when what it shows has changed."""

    def __init__(self, path: Path, streams: tuple[str, ...]) -> None:
        self.path = path
        self.streams = streams
        self.index = ix.open_index(path)
        self.index.config_reader("manual", 0)
        self.stamp: Any = None
        self.used_s = time.monotonic()
        self.owners: tuple[str, ...] = ()  # the stream of each index segment, in the searcher's order
        self.segments: frozenset[_Segment] = frozenset()


class Store:
    """The streams of a data directory, for readers. Thread-safe.

    Attributes:
        columns: Which fields their records have.
    """

    def __init__(self, data: DataDirectory) -> None:
        self._data = data
        self._cache = FrameCache()
        self._catalogs: dict[str, CatalogFile] = {}
        self._files: dict[str, StreamFiles] = {}
        self._views: OrderedDict[_Key, _View] = OrderedDict()  # the one used last is last
        self._lock = threading.RLock()
        self._suspected_s = -math.inf
        self._own_views = OwnViews(data.views)
        self.columns = StreamColumns(data, self.catalog)

    def is_cleared(self, stop: Stop) -> bool:
        """Have all indexes looked through, because one made the engine fail; whether that was done in time."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._suspected_s >= AGAIN_AFTER_S:
                self._suspected_s = now_s
                suspect(self._data)
            elif not suspect_file(self._data).exists():
                return False
        return is_cleared(self._data, math.inf if stop.left_s is None else stop.left_s)

    def close(self) -> None:
        """Remove the views that this reader made."""
        self._own_views.close()

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
                    raise UnknownStream(f"no stream {stream!r}", self._streams_hint(stream))
                file = self._catalogs[stream] = CatalogFile(directory.catalog)
            catalog = file.read()
            if catalog is None and not self._data.stream(stream).root.is_dir():
                self.forget(stream)
                raise UnknownStream(f"no stream {stream!r}", self._streams_hint(stream))
            return catalog or Catalog(stream=stream)

    def forget(self, stream: str) -> None:
        """Let go of all that is kept of a stream, because it was deleted."""
        with self._lock:
            self._catalogs.pop(stream, None)
            self.columns.forget(stream)
            files = self._files.pop(stream, None)
            if files is not None:
                files.close()
            for key in [key for key, view in self._views.items() if stream in view.streams]:
                self._drop_view(key)

    def let_go(self, unused_s: float = UNUSED_S) -> None:
        """Close what no query has used for a while, and what is of segments that are dropped or replaced meanwhile.

        Open files keep such a segment's bytes on the disk. To be called about once a second: it looks whether the
        catalogs of the streams that are open were replaced, and no further where they were not.
        """
        before_s = time.monotonic() - unused_s
        with self._lock:
            self._let_go_of_replaced()
            for stream in [name for name, files in self._files.items() if files.used_s <= before_s]:
                self._files.pop(stream).close()
            for key in [key for key, view in self._views.items() if view.used_s <= before_s]:
                self._drop_view(key)

    def _let_go_of_replaced(self) -> None:
        live: set[_Segment] = set()
        for stream in {*self._files, *(name for view in self._views.values() for name in view.streams)}:
            try:
                catalog = self.catalog(stream)
            except UnknownStream:
                continue  # with which all of it was let go
            live |= _segments_of(catalog, (Part(stream, entry) for entry in catalog.segments))
            if stream in self._files:
                self._files[stream].let_go_of_replaced(catalog)
        for key in [key for key, view in self._views.items() if not view.segments <= live]:
            self._drop_view(key)

    def _drop_view(self, key: _Key) -> None:
        view = self._views.pop(key)
        if self._own_views.has(view.path):
            shutil.rmtree(view.path, ignore_errors=True)

    def _streams_hint(self, wanted: str) -> str:
        names = self.stream_names()
        near = get_close_matches(wanted, names, n=1)
        if near:
            return f"did you mean {near[0]}?"
        if not names:
            return "there are no streams yet; a stream comes into being with its first record"
        return "there are: " + ", ".join(names[:20]) + (" …" if len(names) > 20 else "")

    def stream_names(self) -> list[str]:
        """All streams, by name."""
        return self._data.stream_names()

    def snapshot(
        self,
        streams: Sequence[str],
        stop: Stop | None = None,
        within: Within = ANYTHING,
    ) -> Snapshot:
        """What is published of these streams now; segments that have nothing of what is asked about are left out.

        Args:
            streams: Their names.
            stop: When questions to it are given up.
            within: The times and numbers that are asked about.

        Raises:
            UnknownStream: one of them does not exist.
            IndexBusy: the index was replaced under every try to open it.
        """
        names = tuple(sorted(set(streams)))
        catalogs: dict[str, Catalog] = {}

        def open_snapshot(*, may_be_gone: bool) -> Snapshot:
            # The catalogs are read first: the view that is opened next shows at least what they promise.
            catalogs.update({name: self.catalog(name) for name in names})
            parts = [Part(name, entry) for name in names for entry in catalogs[name].segments]
            # A segment of which nothing is indexed yet costs nothing, and leaving it out would cost a view of its own.
            chosen = [part for part in parts if part.entry.min_us is None or within.may_be_in(part.entry)]
            with self._lock:
                data = {
                    name: self._stream_data(catalogs[name], may_be_gone=may_be_gone)
                    for name in _streams_of(parts)
                }
                whole = self._slice(catalogs, chosen)
                opener = partial(self._open_slice, catalogs)
                strings = partial(self._strings, chosen)
                return Snapshot(
                    catalogs, data, whole, chosen, opener, strings=strings, within=within, stop=stop
                )

        return _insist(open_snapshot)

    def _strings(self, parts: Sequence[Part], column: str) -> int:
        """How many different strings a column of the index has in some segments, at most; 0 of one that has none."""
        path = column.removeprefix(f"{ix.ATTRIBUTES}.")
        if path == ix.STREAM:
            return len(_streams_of(parts))
        return sum(self.columns.strings_of(part.stream, part.entry.tantivy, path) for part in parts)

    def _open_slice(self, catalogs: dict[str, Catalog], parts: Sequence[Part]) -> Slice | None:
        """An index over some of the segments that catalogs list; None where one of them has been replaced meanwhile."""
        try:
            with self._lock:
                return self._slice(catalogs, parts)
        except (OSError, ValueError):
            return None

    def _slice(self, catalogs: dict[str, Catalog], parts: Sequence[Part]) -> Slice | None:
        """An index over some of the segments that catalogs list; None over nothing."""
        streams = _streams_of(parts)
        if not streams:
            return None
        whole = len(parts) == sum(len(catalogs[name].segments) for name in streams)
        key: _Key = streams if whole else tuple((p.stream, p.entry.first, p.entry.generation) for p in parts)
        born = tuple(catalogs[name].born_us for name in streams)
        stamp = (
            (born, tuple(catalogs[name].generation for name in streams))
            if whole
            else (born, tuple(part.entry.tantivy for part in parts))
        )
        view = self._views.get(key)
        try:
            if view is None or view.stamp != stamp:
                view = self._opened(key, streams, None if whole else parts)
                view.stamp = stamp
                view.segments = frozenset[_Segment]().union(
                    *(
                        _segments_of(catalogs[name], (p for p in parts if p.stream == name))
                        for name in streams
                    )
                )
        except (OSError, ValueError):
            self._views.pop(key, None)
            raise
        self._views.move_to_end(key)
        view.used_s = time.monotonic()
        return Slice(view.index, view.index.searcher(), view.owners)

    def _opened(self, key: _Key, streams: tuple[str, ...], parts: Sequence[Part] | None) -> _View:
        """A view of whole streams, or of some segments, as it is now."""
        path, owners = self._data.stream(streams[0]).view, streams
        if len(streams) > 1 or parts is not None:
            path = self._own_views.folder(hashlib.sha256(repr(key).encode()).hexdigest()[:16])
            owners = self._combine(path, streams, parts, relink=key not in self._views)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = _View(path, streams)
            while len(self._views) > VIEWS_MAX:
                self._drop_view(next(iter(self._views)))
        view.index.reload()
        view.owners = owners
        return view

    def _combine(
        self, path: Path, streams: tuple[str, ...], parts: Sequence[Part] | None, *, relink: bool
    ) -> tuple[str, ...]:
        """Make a view of streams, or of some of their segments, for this reader; the stream of each index segment.

        Raises:
            FileNotFoundError: an index segment was merged away since the catalog was read.
        """
        sources = []
        owners: list[str] = []
        for stream in streams:
            folder = self._data.stream(stream).view
            meta = read_meta(folder)
            if parts is not None:
                wanted = {name for part in parts if part.stream == stream for name in part.entry.tantivy}
                meta["segments"] = [one for one in meta["segments"] if one["segment_id"] in wanted]
                if len(meta["segments"]) < len(wanted):
                    raise FileNotFoundError(folder / "meta.json")
            sources.append((folder, meta))
            owners += [stream] * len(meta["segments"])
        publish(path, sources, sources[0][1], relink=relink)
        return tuple(owners)

    def _stream_data(self, catalog: Catalog, *, may_be_gone: bool) -> StreamData:
        files = self._files.get(catalog.stream)
        if files is None:
            files = self._files[catalog.stream] = StreamFiles(self._data.stream(catalog.stream), self._cache)
        return StreamData(catalog.stream, files.of(catalog, may_be_gone=may_be_gone), self._cache)


def _streams_of(parts: Sequence[Part]) -> tuple[str, ...]:
    """The streams that some segments are of, by name."""
    return tuple(sorted({part.stream for part in parts}))


def _segments_of(catalog: Catalog, parts: Iterable[Part]) -> set[_Segment]:
    return {(part.stream, catalog.born_us, part.entry.first, part.entry.generation) for part in parts}


class _Attempt(Protocol):
    """A try to open a snapshot; `may_be_gone`: data files that are not there count as lost."""

    def __call__(self, *, may_be_gone: bool) -> Snapshot: ...


def _insist(attempt: _Attempt) -> Snapshot:
    """Try until no index is replaced while it is opened."""
    last: Exception | None = None
    for number in range(OPEN_TRIES):
        try:
            # A file that the newest catalog lists, each time anew, and that is never there was not replaced.
            return attempt(may_be_gone=number >= OPEN_TRIES // 2)
        except (OSError, ValueError) as error:
            last = error
            time.sleep(0.01)
    raise IndexBusy("the index changed under every try to open it", "ask again in a moment") from last


def stream_summary(catalog: Catalog, disk_bytes: int) -> dict[str, Any]:
    """What `GET /v1/streams` says of a stream."""
    return {
        "name": catalog.stream,
        "records": catalog.records,
        "bytes": sum(segment.raw_bytes for segment in catalog.segments),
        "disk_bytes": disk_bytes,
        "first_time": shown_time(catalog.min_us),
        "last_time": shown_time(catalog.max_us),
    }


def segment_summary(entry: SegmentEntry) -> dict[str, Any]:
    """What answers say of a segment: its numbers, half-open, its records, and the times that they lie in."""
    return {
        "first": entry.first,
        "until": entry.until,
        "records": entry.records,
        "bytes": entry.raw_bytes,
        "first_time": shown_time(entry.min_us),
        "last_time": shown_time(entry.max_us),
    }
