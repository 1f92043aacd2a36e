"""The indexer: follows every stream's data files, indexes what is new, publishes it.

It runs in a process of its own, because the engine takes the interpreter's lock once per record. Its state is derived:
what it has is what the index says it has (the highest number committed), and the rest is read from the data again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tantivy

from storage.catalog import Catalog, SegmentEntry, load_catalog
from storage.errors import FrameDamaged, StoreLocked
from storage.format import FrameHeader, decode_frame
from storage.index import NUMBER, add_record, create_index, open_index
from storage.paths import DataDirectory, SegmentDirectory, StreamDirectory, write_atomically
from storage.scan import frames, read_frame
from storage.view import publish, read_meta, segment_ids

log = logging.getLogger(__name__)

POLL_S = 0.03  # how long a new record may wait unseen: a tenth of what people notice
COMMIT_AFTER_S = 0.35  # a steady stream is committed this often: well within the second that is promised
COMMIT_BEHIND_AFTER_S = 1.5  # while far behind, larger commits cost fewer merges
BEHIND_BYTES = 4 << 20  # compressed bytes not yet read that count as far behind
WRITER_HEAP_BYTES = 128 << 20  # what the engine may hold before it writes a segment by itself
WRITER_IDLE_S = 30.0  # a stream silent for so long gives its writer's memory back
PUBLISH_TRIES = 20  # a merge may take files away between reading their list and linking them


@dataclass(slots=True)
class _Position:
    """How far a segment is read: the next byte of its file, and what was read so far."""

    offset: int = 0
    until: int = 0
    records: int = 0
    raw_bytes: int = 0
    min_us: int | None = None
    max_us: int | None = None

    def pass_frame(self, header: FrameHeader) -> None:
        self.offset = header.end
        self.until = header.until
        self.records += header.records
        self.raw_bytes += header.raw_bytes
        self.min_us = header.min_us if self.min_us is None else min(self.min_us, header.min_us)
        self.max_us = header.max_us if self.max_us is None else max(self.max_us, header.max_us)


class SegmentIndexer:
    """Brings one segment's index up to its data."""

    def __init__(self, segment: SegmentDirectory, stream: str) -> None:
        self.segment = segment
        self.stream = stream
        self._fd = os.open(segment.data, os.O_RDONLY)
        self._writer: tantivy.IndexWriter | None = None
        self.index, committed = self._open()
        self._position = self._resume(committed)
        self.uncommitted = 0
        self.uncommitted_since = 0.0

    def _open(self) -> tuple[tantivy.Index, int]:
        """The segment's index and the number after the last record that it has."""
        try:
            index = open_index(self.segment.index)
            return index, _highest_number(index) + 1
        except (ValueError, OSError) as error:
            if self.segment.index.exists():
                log.warning("%s cannot be used and is made anew: %s", self.segment.index, error)
                shutil.rmtree(self.segment.index)
        return create_index(self.segment.index), 0

    def _resume(self, committed: int) -> _Position:
        """Pass the frames that the index has already."""
        position = _Position(until=self.segment.first)
        for found in frames(self._fd, verify=False, expect=self.segment.first):
            if not isinstance(found, FrameHeader):
                continue
            if found.until > committed:
                if found.first < committed:
                    break  # the index holds part of a frame: not ours
                return position
            position.pass_frame(found)
        if position.until >= committed:
            return position
        # The index has records that the data has not: it was ahead of a loss of power. Make it anew.
        log.warning("%s knows records that the data does not have and is made anew", self.segment.index)
        shutil.rmtree(self.segment.index)
        self.index = create_index(self.segment.index)
        return _Position(until=self.segment.first)

    def backlog_bytes(self) -> int:
        """Bytes of the data file that are not read yet."""
        return os.fstat(self._fd).st_size - self._position.offset

    def read(self, until_s: float, clock: Callable[[], float]) -> int:
        """Index frames until there are no more or the time is up; the number of records taken in."""
        if self.backlog_bytes() <= 0:
            return 0
        taken = 0
        for found in frames(self._fd, self._position.offset, verify=False, expect=self._position.until):
            if not isinstance(found, FrameHeader):
                log.error(
                    "%s: bytes %d to %d are damaged and skipped", self.segment.data, found.start, found.end
                )
                continue
            try:
                batch = decode_frame(found, read_frame(self._fd, found))
            except FrameDamaged as error:
                if found.end == os.fstat(self._fd).st_size:
                    break  # still being written
                log.error("%s: %s; it is skipped", self.segment.data, error.message)  # noqa: TRY400
                self._position.offset = found.end
                continue
            writer = self._open_writer()
            for i, line in enumerate(batch.lines):
                add_record(writer, line, batch.times_us[i], self.stream, batch.first + i)
            if not self.uncommitted:
                self.uncommitted_since = clock()
            self.uncommitted += found.records
            taken += found.records
            self._position.pass_frame(found)
            if clock() >= until_s:
                break
        return taken

    def commit(self) -> None:
        """Make what was read searchable, durably."""
        if self._writer is not None and self.uncommitted:
            self._writer.commit()
            self.uncommitted = 0

    def close(self) -> None:
        """Commit, wait for merges and give the writer back."""
        self.commit()
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def release(self) -> None:
        """Close for good."""
        self.close()
        os.close(self._fd)

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            self._writer = self.index.writer(WRITER_HEAP_BYTES, 1)
        return self._writer

    def entry(self, *, sealed: bool) -> SegmentEntry:
        """What the catalog says of this segment. Only true right after a commit."""
        position = self._position
        return SegmentEntry(
            first=self.segment.first,
            until=position.until,
            records=position.records,
            raw_bytes=position.raw_bytes,
            data_bytes=position.offset,
            min_us=position.min_us,
            max_us=position.max_us,
            sealed=sealed,
        )


def _highest_number(index: tantivy.Index) -> int:
    """The highest record number that was committed; -1 in an empty index."""
    index.reload()
    searcher = index.searcher()
    if not searcher.num_docs:
        return -1
    hits = searcher.search(tantivy.Query.all_query(), limit=1, count=False, order_by_field=NUMBER).hits
    return int(hits[0][0])


class StreamIndexer:
    """Indexes one stream, segment after segment, and publishes its catalog."""

    def __init__(self, directory: StreamDirectory, clock: Callable[[], float]) -> None:
        self.directory = directory
        self._clock = clock
        self._sealed: list[SegmentEntry] = []
        self._open: SegmentIndexer | None = None
        self._segments_stamp = 0
        self._firsts: list[int] = []
        self._published: Catalog | None = None
        self._last_read_s = clock()
        self._resume()

    def _resume(self) -> None:
        known = load_catalog(self.directory.catalog)
        self._generation = known.generation if known else 0
        self._look_for_segments()
        for first in self._firsts[:-1]:
            entry = self._sealed_entry(self.directory.segment(first))
            if entry is None:
                break
            self._sealed.append(entry)
        self._publish()

    def _sealed_entry(self, segment: SegmentDirectory) -> SegmentEntry | None:
        """What a sealed segment says of itself, if its index is there."""
        try:
            entry = SegmentEntry.model_validate_json(segment.meta.read_bytes())
            read_meta(segment.index)
        except (OSError, ValueError):
            return None
        return entry

    def _look_for_segments(self) -> None:
        try:
            stamp = os.stat(self.directory.segments).st_mtime_ns
        except FileNotFoundError:
            return
        if stamp != self._segments_stamp:
            self._firsts = self.directory.segment_firsts()
            self._segments_stamp = stamp

    def step(self) -> bool:
        """Do what there is to do now; whether anything was done."""
        self._look_for_segments()
        now = self._clock()
        if self._open is None and not self._open_next():
            return False
        active = self._open
        assert active is not None
        behind = active.backlog_bytes() > BEHIND_BYTES
        patience = COMMIT_BEHIND_AFTER_S if behind else COMMIT_AFTER_S
        taken = active.read(now + patience, self._clock)
        if taken:
            self._last_read_s = now
        newer = self._firsts and self._firsts[-1] > active.segment.first
        if newer and not taken and active.backlog_bytes() <= 0:
            self._seal(active)
            return True
        waited = self._clock() - active.uncommitted_since
        if active.uncommitted and (not taken or waited >= patience):
            active.commit()
            self._publish()
            return True
        if now - self._last_read_s > WRITER_IDLE_S:
            active.close()
        return taken > 0

    def _open_next(self) -> bool:
        done = self._sealed[-1].first if self._sealed else -1
        for first in self._firsts:
            if first > done:
                segment = self.directory.segment(first)
                if not segment.data.exists() or segment.data.stat().st_size == 0:
                    return False
                self._open = SegmentIndexer(segment, self.directory.name)
                self._publish()
                return True
        return False

    def _seal(self, active: SegmentIndexer) -> None:
        """Close a segment that no more will be written to."""
        active.close()
        entry = active.entry(sealed=True)
        entry = entry.model_copy(update={"tantivy": segment_ids(read_meta(active.segment.index))})
        write_atomically(active.segment.meta, entry.model_dump_json().encode(), durable=True)
        active.release()
        self._sealed.append(entry)
        self._open = None
        self._publish()

    def _publish(self) -> None:
        """Link what is committed into the view, then say so in the catalog."""
        entries = list(self._sealed)
        if self._open is not None:
            entries.append(self._open.entry(sealed=False))
        for attempt in range(PUBLISH_TRIES):
            sources = [
                (folder, read_meta(folder))
                for folder in (self.directory.segment(e.first).index for e in entries)
            ]
            if not sources:
                return
            try:
                publish(self.directory.view, sources, sources[-1][1])
                break
            except FileNotFoundError:
                if attempt == PUBLISH_TRIES - 1:
                    raise
                time.sleep(0.005)
        entries = [
            entry.model_copy(update={"tantivy": segment_ids(meta)})
            for entry, (_, meta) in zip(entries, sources, strict=True)
        ]
        self._generation += 1
        self._published = Catalog(
            stream=self.directory.name, generation=self._generation, segments=tuple(entries)
        )
        self._published.save(self.directory.catalog)

    def close(self) -> None:
        """Commit and publish what was read, then let go."""
        if self._open is not None:
            active = self._open
            had = active.uncommitted
            active.close()
            if had:
                self._publish()
            active.release()
            self._open = None


class Indexer:
    """Indexes all streams of a data directory. One per directory: it holds a lock.

    Raises:
        StoreLocked: another indexer runs.
    """

    def __init__(self, data: DataDirectory, clock: Callable[[], float] = time.monotonic) -> None:
        self._data = data
        self._clock = clock
        data.root.mkdir(parents=True, exist_ok=True)
        self._lock = hold_lock(data.root / "indexer.lock", "another process indexes this data directory")
        self._streams: dict[str, StreamIndexer] = {}
        self._stamp = 0

    def step(self) -> bool:
        """One round over all streams; whether anything was done."""
        try:
            stamp = os.stat(self._data.streams).st_mtime_ns
        except FileNotFoundError:
            return False
        if stamp != self._stamp:
            for name in self._data.stream_names():
                if name not in self._streams:
                    self._streams[name] = StreamIndexer(self._data.stream(name), self._clock)
            self._stamp = stamp
        busy = False
        for stream in self._streams.values():
            busy |= stream.step()
        return busy

    def catch_up(self) -> None:
        """Go on until all that is on disk is searchable."""
        while self.step():
            pass

    def run(self, stopping: Callable[[float], bool]) -> None:
        """Go on until told to stop.

        Args:
            stopping: Waits for so many seconds at most; whether to stop now.
        """
        while not stopping(0.0 if self.step() else POLL_S):
            pass

    def close(self) -> None:
        """Commit everything and let go of the lock."""
        for stream in self._streams.values():
            stream.close()
        os.close(self._lock)


def hold_lock(path: Path, message: str) -> int:
    """Take a lock file for as long as this process lives; its file descriptor.

    Raises:
        StoreLocked: another process has it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(fd, 64, 0).decode(errors="replace").strip()
        os.close(fd)
        raise StoreLocked(
            f"{message} (process {owner or 'unknown'})", "stop it, or use another --data directory"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd
