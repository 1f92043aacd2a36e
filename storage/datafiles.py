"""The data files of streams, open for reading: from a record's number to its line.

number --segment by first number--> file --frame directory--> frame --decompressed, kept for a while--> line
"""

from __future__ import annotations

import logging
import os
import threading
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple, TypeVar

from storage.ahead import ahead
from storage.catalog import Catalog
from storage.errors import FrameDamaged
from storage.format import FrameHeader, FrameRecords
from storage.paths import StreamDirectory
from storage.scan import FrameDirectory

Result = TypeVar("Result")

log = logging.getLogger(__name__)

BATCH_RAW_BYTES = 1 << 19  # 512 KiB, eight frames: 0.3 ms of work, for which handing it to a thread is little
SPARSE_RECORDS = 6  # of a frame: to check one takes 6 to 10 microseconds, to unpack a frame 45
_OWN_BYTES = 64  # what one that is not there counts, so that a batch of such ends too
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
        self._damaged: set[int] = set()  # offsets of frames that could not be read

    def find(self, number: int) -> FrameHeader | None:
        """The frame that holds a number."""
        with self._lock:
            return self.frames.find(number)

    def tell(self, stream: str, header: FrameHeader, error: FrameDamaged) -> None:
        """Write into the log, once, that a frame is damaged."""
        if header.offset not in self._damaged:
            self._damaged.add(header.offset)
            log.error("stream %s: %s", stream, error.message)

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

    def fetch(self, numbers: Sequence[int]) -> list[Stored | None]:
        """The records of these numbers, in their order; None for one that cannot be read.

        Their frames are kept for a while: what is near them is likely to be wanted soon.
        """
        found: dict[int, Stored] = {}
        batches = self.batches(sorted(numbers), keep=True)
        for swept in chain.from_iterable(batch.swept(batch.unpack()) for batch in batches):
            for number, time_us, line in zip(swept.numbers, swept.times_us, swept.lines, strict=True):
                if line:
                    found[number] = Stored(time_us, number, self._name, line)
        return [found.get(number) for number in numbers]

    def batches(self, numbers: Sequence[int], *, keep: bool = False) -> Iterator[Batch]:
        """The frames that hold these numbers, as many together as are worth handing to a thread.

        Args:
            numbers: Of records, rising.
            keep: Whether the frames are likely to be wanted again soon. Those of one who goes through everything would
                only drive others out of the cache.
        """
        wanted: list[_Wanted] = []
        size = at = 0
        while at < len(numbers):
            segment, header = self._frame_of(numbers[at])
            until = at + 1 if header is None else bisect_left(numbers, header.until, at)
            wanted.append(_Wanted(segment, header, numbers[at:until]))
            at = until
            size += _OWN_BYTES if header is None else header.raw_bytes
            if size >= BATCH_RAW_BYTES:
                yield Batch(self._name, wanted, self._cache, keep)
                wanted, size = [], 0
        if wanted:
            yield Batch(self._name, wanted, self._cache, keep)

    def _frame_of(self, number: int) -> tuple[SegmentData | None, FrameHeader | None]:
        at = bisect_right(self._firsts, number) - 1
        if at < 0:
            return None, None
        segment = self._segments[at]
        return segment, segment.find(number)


class Swept(NamedTuple):
    """Records of one frame.

    Attributes:
        stream: Theirs.
        numbers: Of each, rising.
        times_us: Of each; 0 where nothing can be read.
        lines: The JSON of each but its time; nothing where it is gone or cannot be read.
    """

    stream: str
    numbers: Sequence[int]
    times_us: Sequence[int]
    lines: Sequence[bytes]


class _Wanted(NamedTuple):
    """The numbers of records that are wanted of one frame; of none where there is no header."""

    segment: SegmentData | None
    header: FrameHeader | None
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames of one stream that are unpacked together, and what is wanted of each."""

    _stream: str
    _wanted: Sequence[_Wanted]
    _cache: FrameCache
    _keep: bool

    @property
    def is_sparse(self) -> bool:
        """Whether unpacking its frames is more work than looking at what is wanted of them."""
        return sum(len(one.numbers) for one in self._wanted) <= SPARSE_RECORDS * len(self._wanted)

    def unpack(self) -> list[FrameRecords | None]:
        """The frames; None for one that cannot be read. Most of it needs no lock of the interpreter's."""
        frames = [self._kept(one) for one in self._wanted]
        missing = [
            i for i, frame in enumerate(frames) if frame is None and self._wanted[i].header is not None
        ]
        for segment, group in groupby(missing, lambda i: self._wanted[i].segment):
            places = list(group)
            headers = [header for i in places if (header := self._wanted[i].header) is not None]
            assert segment is not None
            for place, header, frame in zip(places, headers, segment.frames.load(headers), strict=True):
                if isinstance(frame, FrameDamaged):
                    segment.tell(self._stream, header, frame)
                    continue
                frames[place] = frame
                if self._keep:
                    key = (id(segment), header.offset)
                    self._cache.put(key, segment, frame, header.raw_bytes + 60 * header.records)
        return frames

    def swept(self, frames: Sequence[FrameRecords | None]) -> Iterator[Swept]:
        """What is wanted of the frames."""
        for one, frame in zip(self._wanted, frames, strict=True):
            numbers = one.numbers
            if frame is not None:
                first, times_us = frame.first, frame.times_us
                places = [number - first for number in numbers]
                try:
                    lines = frame.pick(places)
                except FrameDamaged as error:
                    assert one.segment is not None
                    assert one.header is not None
                    one.segment.tell(self._stream, one.header, error)
                else:
                    yield Swept(self._stream, numbers, [times_us[i] for i in places], lines)
                    continue
            yield Swept(self._stream, numbers, [0] * len(numbers), [b""] * len(numbers))

    def _kept(self, one: _Wanted) -> FrameRecords | None:
        if one.header is None:
            return None
        key = (id(one.segment), one.header.offset)
        frame = self._cache.get(key) if self._cache.has(key) else None
        if frame is not None and self._keep:
            frame.split()  # whoever asks twice is likely to ask again: from now on every line is at hand
        return frame


def sweep(batches: Iterable[Batch], look: Callable[[Swept], Result]) -> Iterator[Result]:
    """What `look` makes of the wanted records of batches, a frame at a time, in their order.

    Where few are wanted of each frame, unpacking is most of the work and needs no lock of the interpreter's: several
    threads do all of it side by side. Where many are, looking at them is: threads would only take the lock from one
    another, so one unpacks ahead and the caller looks.
    """
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        return
    batches = chain([first], batches)
    if first.is_sparse:
        for found in ahead(lambda batch: [look(swept) for swept in batch.swept(batch.unpack())], batches):
            yield from found
        return
    for batch, frames in ahead(lambda batch: (batch, batch.unpack()), batches, threads=1):
        yield from map(look, batch.swept(frames))
