"""The scrub: sealed segments read again, piece by piece, and held to their checksums, all of them about once a week.

A round goes through the streams by name, their sealed segments by number, and the files of each, the data first. It is
made of many short runs: each reads what is due by then and notes where it is. What is found is dealt with at once. An
index that is damaged is marked to be made anew. Damaged bytes of a data file are set aside and counted, as the indexer
does with those that it finds. What can only be told (`Found.stays`) is told until it is well again or gone.
"""

from __future__ import annotations

import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from storage.catalog import Catalog, SegmentEntry, load_catalog
from storage.checked import add_checksum
from storage.errors import UnknownStream
from storage.paths import DataDirectory, SegmentDirectory, StreamDirectory, write_atomically
from storage.publication import edit
from storage.quarantine import quarantined
from storage.rebuild import mark
from storage.salvage import readable_checksum
from storage.segment import SegmentMeta, checksum, load_meta
from storage.set_aside import set_aside

ROUND_S = 7 * 86_400  # a byte that went bad is found before the backups of a week are all made of it
RUN_BYTES_MAX = 512 << 20  # a run of ten minutes ends within seconds; at most 500 GB are read in a week
BYTES_PER_S = 64 << 20  # while it reads: a slow disk has half of its time for others
PIECE_BYTES = 1 << 20  # what is read at a time

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a round has come.

    Attributes:
        begun_us: When it began, microseconds since 1970.
        read_bytes: What it has read.
        stream: The stream under way, "" at the beginning.
        first: Its segment under way: first number,
        generation: and generation.
        file: The file of it under way, "" before the first.
        offset: How much of it is read.
        crc: The checksum of that.
        ended: Whether it is done with that file.
        whole: Whether the round is done.
    """

    begun_us: int
    read_bytes: int = 0
    stream: str = ""
    first: int = 0
    generation: int = 0
    file: str = ""
    offset: int = 0
    crc: int = 0
    ended: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is not as it was sealed.

    Attributes:
        stream: Its stream.
        first: First number of its segment.
        generation: Generation of that.
        path: The file, from the data directory on.
        code: As `klomp check` names it.
        message: What is wrong.
        stays: Whether nothing could be done about it: it is told as long as it is so.
    """

    stream: str
    first: int
    generation: int
    path: str
    code: str
    message: str
    stays: bool = False


@dataclass(frozen=True, slots=True)
class _Segment:
    """A sealed segment of a stream."""

    directory: StreamDirectory
    entry: SegmentEntry

    @property
    def folder(self) -> SegmentDirectory:
        return self.directory.segment(self.entry.first, self.entry.generation)

    @property
    def key(self) -> tuple[str, int, int]:
        return self.directory.name, self.entry.first, self.entry.generation


class Scrub:
    """One run.

    Args:
        data: The store.
        place: Where the run before ended; None for none.
        now_us: The time, microseconds since 1970.
        every_s: How long until the next run.
        stopping: Whether to end at once.
        sleep: Waits for so many seconds.

    Attributes:
        place: Where it is.
        found: What is wrong, so far.
        well: The paths of files that were read to the end and are as they were sealed.
    """

    def __init__(
        self,
        data: DataDirectory,
        place: Place | None,
        now_us: int,
        every_s: float,
        *,
        stopping: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._data = data
        self._stopping = stopping
        self._sleep = sleep
        if place is None or (place.whole and now_us - place.begun_us >= ROUND_S * 1_000_000):
            place = Place(now_us)
        self.place = replace(place, begun_us=min(place.begun_us, now_us))  # the clock may have been set back
        # What is to be done by the time of the next run.
        self._due = min(1.0, ((now_us - self.place.begun_us) / 1_000_000 + every_s) / ROUND_S)
        self._segments = list(_sealed(data))
        self._left_bytes = RUN_BYTES_MAX
        self.found: list[Found] = []
        self.well: list[str] = []

    @property
    def live(self) -> set[tuple[str, int, int]]:
        """The sealed segments that there are: stream, first number, generation."""
        return {segment.key for segment in self._segments}

    def run(self) -> int:
        """Read what is due; how many bytes that was."""
        before = self.place.read_bytes
        if self._segments and not self.place.whole and self._go_on():
            self.place = replace(self.place, whole=True)
        return self.place.read_bytes - before

    def _go_on(self) -> bool:
        """Read on; whether that was the last."""
        total = sum(segment.entry.data_bytes for segment in self._segments)
        passed = 0
        for segment in self._segments:
            here = self.place.stream, self.place.first, self.place.generation
            if segment.key >= here:
                if self._is_enough(passed, total):
                    return False
                if segment.key > here:
                    stream, first, generation = segment.key
                    self.place = Place(self.place.begun_us, self.place.read_bytes, stream, first, generation)
                if not self._segment(segment):
                    return False
            passed += segment.entry.data_bytes
        return True

    def _is_enough(self, passed: int, total: int) -> bool:
        return self._stopping() or self._left_bytes <= 0 or passed > total * self._due

    def _segment(self, segment: _Segment) -> bool:
        """Read on in a segment; whether it is read to its end."""
        if segment.entry.rebuilding:
            return True  # all of its data are read for that
        meta = load_meta(segment.folder)
        if meta is None:
            try:
                self._index_damaged(
                    segment, segment.folder.meta, "meta-damaged", "it is not as it was written"
                )
            except UnknownStream:
                log.info("%s was dropped while it was read", segment.folder.root)
            return True
        for name in sorted(meta.files):  # data.log comes before index/
            if name < self.place.file or (name == self.place.file and self.place.ended):
                continue
            if name != self.place.file:
                self.place = replace(self.place, file=name, offset=0, crc=0, ended=False)
            problem: str | None
            try:
                if not self._read(segment.folder.root / name, meta.files[name][0]):
                    return False
                same = (self.place.offset, self.place.crc) == meta.files[name]
                problem = None if same else "it does not match its checksum"
            except FileNotFoundError:
                problem = "it is gone"
            except OSError as error:
                problem = f"the disk cannot read it from byte {self.place.offset} on: {error.strerror}"
            if problem is None:
                self.well.append(self._shown(segment.folder.root / name))
            elif _is_still(segment, meta):
                try:
                    self._is_bad(segment, meta, name, problem)
                except (UnknownStream, FileNotFoundError):
                    log.info("%s was dropped while it was read", segment.folder.root)
            self.place = replace(self.place, ended=True)
        return True

    def _read(self, path: Path, size: int) -> bool:
        """Read on in a file, a little more than it should be long; whether it is read to its end."""
        fd = os.open(path, os.O_RDONLY)
        try:
            while self.place.offset <= size:
                if self._stopping() or self._left_bytes <= 0:
                    return False
                piece = _from_disk(fd, self.place.offset)
                if not piece:
                    break
                self.place = replace(
                    self.place,
                    offset=self.place.offset + len(piece),
                    crc=zlib.crc32(piece, self.place.crc),
                    read_bytes=self.place.read_bytes + len(piece),
                )
                self._left_bytes -= len(piece)
                self._sleep(len(piece) / BYTES_PER_S)
        finally:
            os.close(fd)
        return True

    # -- what is wrong

    def _is_bad(self, segment: _Segment, meta: SegmentMeta, name: str, problem: str) -> None:
        path = segment.folder.root / name
        if path != segment.folder.data:
            if not _is_whole(path, meta.files[name]):
                self._index_damaged(segment, path, "index-damaged", problem)
        elif not path.exists():
            self._tell(segment, path, "data-missing", f"{problem}: its records are lost", stays=True)
        # What cannot be read now may be read again later: it is not set aside.
        elif readable_checksum(path) is None:
            self._tell(segment, path, "unreadable", problem, stays=True)
        else:
            self._data_damaged(segment, meta, problem)

    def _index_damaged(self, segment: _Segment, path: Path, code: str, problem: str) -> None:
        if mark(segment.directory, {(segment.entry.first, segment.entry.generation)}):
            self._tell(segment, path, code, f"{problem}; the index is made anew")

    def _data_damaged(self, segment: _Segment, meta: SegmentMeta, problem: str) -> None:
        """Set the damaged bytes aside that were not yet, and count them."""
        folder, entry = segment.folder, segment.entry
        damaged_before = quarantined(folder)
        stretches = set_aside(folder, entry.until)
        damaged = quarantined(folder)
        if not stretches and not _is_whole(folder.data, meta.files[folder.data.name]):
            remark = f"{problem}, though every record in it is whole"
            self._tell(segment, folder.data, "checksum-differs", remark, stays=True)
        if (len(damaged), sum(damaged)) == (entry.damaged, entry.damaged_bytes):
            return
        counts = {"damaged": len(damaged), "damaged_bytes": sum(damaged)}
        # What the segment says of itself first: when the catalog says it too, this is done.
        told = SegmentMeta(entry=meta.entry.model_copy(update=counts), files=meta.files)
        write_atomically(folder.meta, add_checksum(told.model_dump_json().encode()), durable=True)

        def count(catalog: Catalog) -> Catalog:
            entries = (
                one.model_copy(update=counts)
                if (one.first, one.generation) == (entry.first, entry.generation)
                else one
                for one in catalog.segments
            )
            return catalog.model_copy(update={"segments": tuple(entries)})

        edit(segment.directory, count)
        size = sum(damaged) - sum(damaged_before)
        places = f"{size} bytes at {', '.join(str(start) for start, _ in stretches[:5])}"
        self._tell(segment, folder.data, "data-damaged", f"{places} are damaged; what was in them is lost")

    def _tell(self, segment: _Segment, path: Path, code: str, message: str, *, stays: bool = False) -> None:
        stream, first, generation = segment.key
        self.found.append(Found(stream, first, generation, self._shown(path), code, message, stays))

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._data.root).as_posix()


def _sealed(data: DataDirectory) -> Iterator[_Segment]:
    """All sealed segments, in the order in which they are read."""
    for name in data.stream_names():
        directory = data.stream(name)
        catalog = load_catalog(directory.catalog)
        for entry in sorted(
            catalog.segments if catalog else (), key=lambda entry: (entry.first, entry.generation)
        ):
            if entry.sealed:
                yield _Segment(directory, entry)


def _is_still(segment: _Segment, meta: SegmentMeta) -> bool:
    """Whether a segment is live, and its index the one that was sealed then."""
    catalog = load_catalog(segment.directory.catalog)
    name = segment.entry.first, segment.entry.generation
    live = any(
        (one.first, one.generation) == name and not one.rebuilding
        for one in (catalog.segments if catalog else ())
    )
    now = load_meta(segment.folder)
    return live and now is not None and now.files == meta.files


def _is_whole(path: Path, want: tuple[int, int]) -> bool:
    """Whether a file is as it was sealed, when all of it is read at once: it may have been made anew meanwhile."""
    try:
        return checksum(path) == want
    except OSError:
        return False


def _from_disk(fd: int, offset: int) -> bytes:
    """A piece of a file, as the disk has it and not the memory."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, PIECE_BYTES, os.POSIX_FADV_DONTNEED)
    return os.pread(fd, PIECE_BYTES, offset)
