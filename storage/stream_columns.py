"""Which fields the records of a stream have, and of what kinds: the columns of its index segments, put together.

The files of an index segment never change, so each is read once, and a stream that grows costs a look at what is new.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage import index as ix
from storage.catalog import Catalog
from storage.column_names import Column, ColumnsUnknown, Kind, read_columns
from storage.paths import DataDirectory

SEGMENTS_KEPT_MAX = 4096  # index segments whose columns are remembered: some kilobytes each
KNOWN_US = 60_000_000  # how old what is known of a stream may be: names go as seldom as segments are dropped
READ_TRIES = 20  # an index segment may be merged into another between the catalog and its file


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of some index segments.

    Attributes:
        kinds: The kinds of values under each dotted name.
        strings: How many distinct strings a name has at least.
        maps: Names that have others below them.
    """

    kinds: dict[str, frozenset[Kind]] = field(default_factory=dict)
    strings: dict[str, int] = field(default_factory=dict)
    maps: frozenset[str] = frozenset()

    def has(self, path: str) -> bool:
        """Whether any record has a value at a path or below it."""
        return path in self.kinds or path in self.maps


def together(columns: Iterable[Column]) -> Columns:
    """Columns of several segments as one; what the index keeps for itself is left out."""
    kinds: dict[str, set[Kind]] = {}
    strings: dict[str, int] = {}
    maps: set[str] = set()
    for column in columns:
        path = column.path
        if path.startswith(ix.MARK):
            continue
        kinds.setdefault(path, set()).add(column.kind)
        if column.strings:
            strings[path] = max(strings.get(path, 0), column.strings)
        dot = path.rfind(".")
        while dot > 0 and (above := path[:dot]) not in maps:
            maps.add(above)
            dot = above.rfind(".")
    return Columns({path: frozenset(found) for path, found in kinds.items()}, strings, frozenset(maps))


@dataclass(slots=True)
class _Kept:
    """What is remembered of a stream: of which state of it, and when that was looked at."""

    stamp: tuple[int, int]
    columns: Columns
    seen_us: int


class StreamColumns:
    """Tells of the columns of streams. Thread-safe.

    Args:
        data: Where the streams lie.
        catalog: What is published of one now.
    """

    def __init__(self, data: DataDirectory, catalog: Callable[[str], Catalog]) -> None:
        self._data = data
        self._catalog = catalog
        self._segments: OrderedDict[str, tuple[Column, ...]] = OrderedDict()  # the one used last is last
        self._streams: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def known(self, stream: str, now_us: int) -> Columns | None:
        """What was found last, at most a minute ago; None where nobody asked since."""
        kept = self._streams.get(stream)
        return None if kept is None or not 0 <= now_us - kept.seen_us <= KNOWN_US else kept.columns

    def of(self, stream: str, now_us: int) -> Columns:
        """The columns that a stream has now.

        Raises:
            UnknownStream: there is no such stream.
            ColumnsUnknown, OSError: they cannot be read.
        """
        for tried in range(READ_TRIES):
            catalog = self._catalog(stream)
            stamp = (catalog.born_us, catalog.generation)
            kept = self._streams.get(stream)
            if kept is not None and kept.stamp == stamp:
                kept.seen_us = now_us
                return kept.columns
            try:
                columns = self.of_segments(
                    stream, [name for part in catalog.segments for name in part.tantivy]
                )
            except FileNotFoundError:
                if tried == READ_TRIES - 1:
                    raise
                continue
            self._streams[stream] = _Kept(stamp, columns, now_us)
            return columns
        raise AssertionError

    def of_segments(self, stream: str, names: Sequence[str]) -> Columns:
        """The columns of some index segments of a stream.

        Raises:
            FileNotFoundError: one was merged away.
            ColumnsUnknown, OSError: they cannot be read.
        """
        view = self._data.stream(stream).view
        return together(column for name in names for column in self._read(view, name))

    def strings_of(self, stream: str, names: Sequence[str], path: str) -> int:
        """How many different strings a name has in some index segments, each counted by itself.

        Segments that were merged away, or cannot be read, count as none.
        """
        view = self._data.stream(stream).view
        found = 0
        for name in names:
            try:
                found += sum(column.strings for column in self._read(view, name) if column.path == path)
            except (OSError, ColumnsUnknown):
                continue
        return found

    def forget(self, stream: str) -> None:
        """Let go of what is remembered of a stream, because it was deleted."""
        self._streams.pop(stream, None)

    def _read(self, view: Path, name: str) -> tuple[Column, ...]:
        with self._lock:
            found = self._segments.get(name)
            if found is not None:
                self._segments.move_to_end(name)
                return found
        found = read_columns(view / f"{name.replace('-', '')}.fast")
        with self._lock:
            self._segments[name] = found
            while len(self._segments) > SEGMENTS_KEPT_MAX:
                self._segments.popitem(last=False)
        return found
