"""The data files of streams, open for reading: from a record's number to its line.

number --segment by first number--> file --frame directory--> frame --decompressed, kept for a while--> line
"""

from __future__ import annotations

import logging
import os
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.catalog import Catalog
from storage.errors import FrameDamaged
from storage.format import FrameHeader, FrameRecords
from storage.paths import StreamDirectory
from storage.scan import FrameDirectory

log = logging.getLogger(__name__)

FRAME_CACHE_BYTES_MAX = 32 << 20  # decoded frames kept: the newest pages read the same ones again and again


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it is kept: `line` is the JSON of everything but its time."""

    time_us: int
    number: int
    stream: str
    line: bytes


class SegmentData:
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


class FrameCache:
    """Decoded frames, the least recently used dropped first. Keeps their files, so that an `id` stays theirs."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[int, int], tuple[SegmentData, FrameRecords, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def forget(self, segments: Iterable[SegmentData]) -> None:
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
        """A frame that was kept."""
        with self._lock:
            found = self._frames.get(key)
            if found is None:
                return None
            self._frames.move_to_end(key)
            return found[1]

    def put(self, key: tuple[int, int], segment: SegmentData, frame: FrameRecords, size: int) -> None:
        """Keep a frame that takes so many bytes."""
        with self._lock:
            if key in self._frames or not segment.is_live:
                return
            self._frames[key] = (segment, frame, size)
            self._bytes += size
            while self._bytes > FRAME_CACHE_BYTES_MAX:
                _, (_, _, dropped) = self._frames.popitem(last=False)
                self._bytes -= dropped


class StreamFiles:
    """The data files of one stream that is live."""

    def __init__(self, directory: StreamDirectory, cache: FrameCache) -> None:
        self._directory = directory
        self._cache = cache
        self._open: dict[tuple[int, int], SegmentData] = {}
        self._generation = -1
        self._born_us = -1
        self.used_s = time.monotonic()

    def of(self, catalog: Catalog) -> list[SegmentData]:
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
                or SegmentData(self._directory.segment(entry.first, entry.generation).data, entry.first)
                for entry in catalog.segments
            }
            self._generation = catalog.generation
            self._cache.forget(segment for key, segment in old.items() if key not in self._open)
        return list(self._open.values())

    def close(self) -> None:
        """Let go of all files; queries that read them keep them open for themselves."""
        self._cache.forget(self._open.values())
        self._open, self._generation = {}, -1


class StreamData:
    """The data files of one stream at one moment: they stay readable whatever is dropped or replaced meanwhile."""

    def __init__(self, name: str, segments: list[SegmentData], cache: FrameCache) -> None:
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
