"""The store as readers have it: which streams there are, and snapshots of one or several of them."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from storage import index as ix
from storage.catalog import Catalog, CatalogFile
from storage.datafiles import FrameCache, StreamData, StreamFiles
from storage.errors import IndexBusy, UnknownStream
from storage.paths import DataDirectory, check_stream_name
from storage.snapshot import Snapshot
from storage.stop import Stop
from storage.times import format_time
from storage.view import publish, read_meta

OPEN_TRIES = 50  # an index may be replaced while it is opened; every try takes some milliseconds
UNUSED_S = 60.0  # what nobody asked for so long is closed: opening it again takes milliseconds


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
        self._cache = FrameCache()
        self._catalogs: dict[str, CatalogFile] = {}
        self._files: dict[str, StreamFiles] = {}
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

    def snapshot(self, streams: Sequence[str], stop: Stop | None = None) -> Snapshot:
        """All that is published of these streams now; `stop` says when questions to it are given up.

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
                    return self._open(catalogs, live, stop)
            except (OSError, ValueError) as error:
                last = error
                with self._lock:
                    self._views.pop(live, None)
                time.sleep(0.01)
        raise IndexBusy("the index changed under every try to open it", "ask again in a moment") from last

    def _open(self, catalogs: dict[str, Catalog], live: tuple[str, ...], stop: Stop | None) -> Snapshot:
        data = {name: self._stream_data(catalogs[name]) for name in live}
        if not live:
            return Snapshot(catalogs, data, None, None, (), stop=stop)
        stamp = tuple((catalogs[name].born_us, catalogs[name].generation) for name in live)
        view = self._views.get(live)
        if view is None or view.stamp != stamp:
            path, owners = (self._data.stream(live[0]).view, live) if len(live) == 1 else self._combine(live)
            if view is None:
                view = self._views[live] = _View(path)
            view.index.reload()
            view.stamp, view.owners = stamp, owners
        view.used_s = time.monotonic()
        return Snapshot(catalogs, data, view.index, view.index.searcher(), view.owners, stop=stop)

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

    def _stream_data(self, catalog: Catalog) -> StreamData:
        files = self._files.get(catalog.stream)
        if files is None:
            files = self._files[catalog.stream] = StreamFiles(self._data.stream(catalog.stream), self._cache)
        return StreamData(catalog.stream, files.of(catalog), self._cache)


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
