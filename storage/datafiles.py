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
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from storage.catalog import Catalog
from storage.errors import FrameDamaged
from storage.format import FrameHeader, FrameRecords
from storage.paths import StreamDirectory
from storage.scan import FrameDirectory

log = logging.getLogger(__name__)

SCATTERED_FRAMES_MIN = 64  # a page of records lies in fewer
FEW_LINES_MAX = 16  # wanted of one frame: finding more one by one costs as much as finding all at once
READERS = os.cpu_count() or 1
FRAME_CACHE_BYTES_MAX = 32 << 20  # decoded frames kept: the newest pages read the same ones again and again


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it is kept: `line` is the JSON of everything but its time."""

    time_us: int
    number: int
    stream: str
    line: bytes


class SegmentData:
    """The data file of a segment, open for reading.

    Args:
        path: The file.
        first: The number of the segment's first record.
        may_be_gone: Whether a file that is not there counts as one of which nothing can be read.
    """

    def __init__(self, path: Path, first: int, *, may_be_gone: bool = False) -> None:
        self.first = first
        self.is_live = True
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            if not may_be_gone:
                raise
            log.error("%s is gone; what was in it cannot be read", path)  # noqa: TRY400  # the name says all
            self._fd = os.open(os.devnull, os.O_RDONLY)
        self.frames = FrameDirectory(self._fd, first)
        self._lock = threading.Lock()
        self.damaged: set[int] = set()  # offsets of frames that could not be read

    def find(self, number: int) -> FrameHeader | None:
        """The frame that holds a number."""
        with self._lock:
            return self.frames.find(number)

    def __del__(self) -> None:
        if self._fd >= 0:
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

    def has(self, key: tuple[int, int]) -> bool:
        """Whether a frame is kept."""
        return key in self._frames

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

    def of(self, catalog: Catalog, *, may_be_gone: bool = False) -> list[SegmentData]:
        """The files of a catalog's segments, in its order. Those of dropped ones close when nobody reads them.

        Args:
            catalog: What is published of the stream.
            may_be_gone: Whether it is known to be the newest, so that a file that is not there was lost.

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
                or SegmentData(
                    self._directory.segment(entry.first, entry.generation).data,
                    entry.first,
                    may_be_gone=may_be_gone,
                )
                for entry in catalog.segments
            }
            self._generation = catalog.generation
            self._cache.forget(segment for key, segment in old.items() if key not in self._open)
        return list(self._open.values())

    def let_go_of_replaced(self, catalog: Catalog) -> None:
        """Close the files of segments that the newest catalog does not list; queries that read them go on."""
        if catalog.generation == self._generation and catalog.born_us == self._born_us:
            return
        live = {(entry.first, entry.generation) for entry in catalog.segments}
        if catalog.born_us != self._born_us:
            live = set()
        gone = [key for key in self._open if key not in live]
        self._cache.forget(self._open.pop(key) for key in gone)
        if gone:
            self._generation = -1  # so that the next query looks which there are

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

    def fetch(self, numbers: Sequence[int], *, keep: bool = True) -> list[Stored | None]:
        """The records of these numbers, in their order; None for one that cannot be read.

        Args:
            numbers: The records.
            keep: Whether the frames are likely to be wanted again soon. Those of one who goes through everything would
                only drive others out of the cache.
        """
        found: list[Stored | None] = [None] * len(numbers)
        groups = list(self._by_frame(numbers))
        apart = [group for group in groups if not self._is_kept(group)]
        if len(apart) < SCATTERED_FRAMES_MIN or READERS == 1:
            self._read(groups, found, keep=keep)
            return found
        # Threads help where many frames are unpacked, because that lets go of the interpreter.
        list(_readers().map(lambda at: self._read(groups[at::READERS], found, keep=keep), range(READERS)))
        return found

    def _is_kept(self, group: _FramePlaces) -> bool:
        return self._cache.has((id(group.segment), group.header.offset))

    def _by_frame(self, numbers: Sequence[int]) -> Iterator[_FramePlaces]:
        """The frames that hold these numbers, each with the places of its numbers."""
        current: _FramePlaces | None = None
        for at in sorted(range(len(numbers)), key=numbers.__getitem__):
            number = numbers[at]
            if current is None or number >= current.header.until:
                if current is not None:
                    yield current
                segment, header = self._frame_of(number)
                current = None if header is None or segment is None else _FramePlaces(segment, header, [])
                if current is None:
                    continue
            current.places.append((at, number))
        if current is not None:
            yield current

    def _frame_of(self, number: int) -> tuple[SegmentData | None, FrameHeader | None]:
        at = bisect_right(self._firsts, number) - 1
        if at < 0:
            return None, None
        segment = self._segments[at]
        return segment, segment.find(number)

    def _read(self, groups: Iterable[_FramePlaces], found: list[Stored | None], *, keep: bool) -> None:
        """Put the records of frames in their places."""
        for group in groups:
            frame = self._frame(group.segment, group.header, keep=keep)
            if frame is None:
                continue
            if len(group.places) > FEW_LINES_MAX:
                frame.split()
            for at, number in group.places:
                i = number - frame.first
                line = frame.line(i)
                if line:
                    found[at] = Stored(frame.times_us[i], number, self._name, line)

    def _frame(self, segment: SegmentData, header: FrameHeader, *, keep: bool) -> FrameRecords | None:
        key = (id(segment), header.offset)
        frame = self._cache.get(key)
        if frame is not None:
            frame.split()  # whoever asks twice is likely to ask again: from now on every line is at hand
            return frame
        try:
            frame = segment.frames.load(header)
        except FrameDamaged as error:
            if header.offset not in segment.damaged:
                segment.damaged.add(header.offset)
                log.error("stream %s: %s", self._name, error.message)  # noqa: TRY400  # the place says all
            return None
        if keep:
            self._cache.put(key, segment, frame, header.raw_bytes + 60 * header.records)
        return frame


class _FramePlaces(NamedTuple):
    """A frame, and what is wanted of it: places in the answer, and the numbers of the records there."""

    segment: SegmentData
    header: FrameHeader
    places: list[tuple[int, int]]


@lru_cache(maxsize=1)
def _readers() -> ThreadPoolExecutor:
    """Threads that read frames for any query."""
    return ThreadPoolExecutor(READERS, thread_name_prefix="read-frames")
