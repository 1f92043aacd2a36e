"""The indexer: follows every stream's data files, indexes what is new, publishes it.

It runs in a process of its own, because the engine takes the interpreter's lock once per record. Its state is derived:
what it has is what the index says it has (the highest number committed), and the rest is read from the data again.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tantivy

from storage.catalog import Catalog, CatalogFile, SegmentEntry, load_catalog
from storage.errors import FrameDamaged, StoreLocked, UnknownStream
from storage.format import FILE_HEADER, FrameHeader, decode_frame
from storage.index import NUMBER, add_record, create_index, open_index
from storage.paths import DataDirectory, SegmentDirectory, StreamDirectory
from storage.publication import Edit, Hold, edit
from storage.quarantine import quarantine, quarantined, stretches
from storage.scan import frames, read_frame
from storage.segment import index_is_usable, recover_entries, seal
from storage.view import read_meta, segment_ids

log = logging.getLogger(__name__)

POLL_S = 0.03  # how long a new record may wait unseen: a tenth of what people notice
COMMIT_AFTER_S = 0.35  # a steady stream is committed this often: well within the second that is promised
COMMIT_BEHIND_AFTER_S = 1.5  # while far behind, larger commits cost fewer merges
BEHIND_BYTES = 4 << 20  # compressed bytes not yet read that count as far behind
WRITER_HEAP_BYTES = 128 << 20  # what the engine may hold before it writes a segment by itself
WRITER_IDLE_S = 30.0  # a stream silent for so long gives its writer's memory back
FOLDER_TICK_NS = (
    100_000_000  # changes of a folder within a tick of the file system's clock, 10 ms, look like one
)
REBUILD_SLICE_S = 0.2  # how long new records wait for an index that is made anew


@dataclass(slots=True)
class _Position:
    """How far a segment is read: the next byte of its file, and what was read so far."""

    offset: int = 0
    until: int = 0
    records: int = 0
    raw_bytes: int = 0
    min_us: int | None = None
    max_us: int | None = None

    def pass_frame(self, header: FrameHeader, deleted: int = 0) -> None:
        self.offset = header.end
        self.until = header.until
        self.records += header.records - deleted
        self.raw_bytes += header.raw_bytes
        self.min_us = header.min_us if self.min_us is None else min(self.min_us, header.min_us)
        self.max_us = header.max_us if self.max_us is None else max(self.max_us, header.max_us)


class SegmentIndexer:
    """Brings one segment's index up to its data.

    Args:
        segment: The segment.
        stream: The name of its stream.
        generation: Of the segment.
        aside: Whether to make a new index beside the one that is there, until `adopt` puts it in its place.
        new: Whether the segment may have no index yet; otherwise one that is missing was lost.
    """

    def __init__(
        self,
        segment: SegmentDirectory,
        stream: str,
        generation: int = 0,
        *,
        aside: bool = False,
        new: bool = False,
    ) -> None:
        self.segment = segment
        self.stream = stream
        self.generation = generation
        self._path = segment.new_index if aside else segment.index
        if aside:
            shutil.rmtree(self._path, ignore_errors=True)
        self._fd = os.open(segment.data, os.O_RDONLY)
        self._writer: tantivy.IndexWriter | None = None
        self._lost_until_bytes = 0
        self.index, committed = self._open(new=new)
        self._position = self._resume(committed)
        self.uncommitted = 0
        self.uncommitted_since = 0.0

    def _open(self, *, new: bool) -> tuple[tantivy.Index, int]:
        """The segment's index and the number after the last record that it has."""
        try:
            index = open_index(self._path)
            return index, _highest_number(index) + 1
        except (ValueError, OSError) as error:
            if self._path.exists():
                log.warning("%s cannot be used and is made anew: %s", self._path, error)
            elif new:
                return create_index(self._path), 0
            return self._anew(), 0

    def _anew(self) -> tantivy.Index:
        size = os.fstat(self._fd).st_size
        self._lost_until_bytes = size if size > FILE_HEADER.size else 0
        shutil.rmtree(self._path, ignore_errors=True)
        return create_index(self._path)

    def _resume(self, committed: int) -> _Position:
        """Pass the frames that the index has already."""
        position = _Position(until=self.segment.first)
        damaged = {(start, end) for _, start, end in stretches(self.segment)}
        for found in frames(self._fd, verify=False, expect=self.segment.first):
            if not isinstance(found, FrameHeader):
                continue
            if (found.offset, found.end) in damaged:
                position.offset = found.end
                continue
            if found.until > committed:
                if found.first < committed:
                    break  # the index holds part of a frame: not ours
                return position
            position.pass_frame(found)
        if position.until >= committed:
            return position
        # The index has records that the data has not: it was ahead of a loss of power. Make it anew.
        log.warning("%s knows records that the data does not have and is made anew", self._path)
        self.index = self._anew()
        return _Position(until=self.segment.first)

    @property
    def catching_up(self) -> bool:
        """Whether the index was lost and is not yet where it was."""
        return self._position.offset < self._lost_until_bytes

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
                quarantine(self.segment, self._fd, found.start, found.end)
                continue
            try:
                batch = decode_frame(found, read_frame(self._fd, found))
            except FrameDamaged:
                if found.end == os.fstat(self._fd).st_size:
                    break  # still being written
                quarantine(self.segment, self._fd, found.offset, found.end)
                self._position.offset = found.end
                continue
            writer = self._open_writer()
            for i, line in enumerate(batch.lines):
                if not line:
                    continue  # deleted
                add_record(writer, line, batch.times_us[i], self.stream, batch.first + i)
            if not self.uncommitted:
                self.uncommitted_since = clock()
            self.uncommitted += found.records
            taken += found.records
            self._position.pass_frame(found, deleted=batch.lines.count(b""))
            if clock() >= until_s:
                break
        return taken

    def pass_rest(self, until: int) -> None:
        """Pass what cannot be read at the end of a file that no more will be written to.

        Args:
            until: The number that the segment ought to end before. Where it does, the rest is a write that a crash cut
                off; else it is damage.
        """
        size = os.fstat(self._fd).st_size
        if self._position.until < until:
            quarantine(self.segment, self._fd, self._position.offset, size)
        self._position.offset = size

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

    def abandon(self) -> None:
        """Close for good and forget what was not committed: the segment is gone."""
        if self._writer is not None:
            try:
                self._writer.wait_merging_threads()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is about files that nobody needs
                log.info("the index of %s ended with %s", self.segment.root, error)
            self._writer = None
        os.close(self._fd)

    def adopt(self) -> None:
        """Put the index that was made aside in the place of the other."""
        self.close()
        shutil.rmtree(self.segment.index, ignore_errors=True)
        self._path.rename(self.segment.index)

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            self._writer = self.index.writer(WRITER_HEAP_BYTES, 1)
        return self._writer

    def entry(self, *, sealed: bool) -> SegmentEntry:
        """What the catalog says of this segment. Only true right after a commit."""
        position = self._position
        damaged = quarantined(self.segment)
        return SegmentEntry(
            generation=self.generation,
            catching_up=self.catching_up,
            damaged=len(damaged),
            damaged_bytes=sum(damaged),
            written_s=os.fstat(self._fd).st_mtime if sealed else 0.0,
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
    """Indexes one stream, segment after segment, and publishes what it did.

    The newest segment that is not sealed is followed as it grows. Beside it, one at a time, the indexes of sealed
    segments are made anew where they are missing or of no use; the others are served meanwhile.
    """

    def __init__(self, directory: StreamDirectory, clock: Callable[[], float], *, new: bool = False) -> None:
        self.directory = directory
        self._clock = clock
        self._hold = Hold(directory)
        self._catalog = CatalogFile(directory.catalog)
        self._active: SegmentIndexer | None = None
        self._rebuild: SegmentIndexer | None = None
        self._segments_stamp = 0
        self._firsts: list[int] = []
        self._last_read_s = clock()
        try:
            self._look_for_segments()
            # What comes into being from now on has no index yet; what is there already should have one.
            self._old = frozenset[int]() if new else frozenset(self._firsts)
            self._edit(self._reconciled)
        except BaseException:
            self._hold.release()
            raise

    def _reconciled(self, catalog: Catalog) -> Catalog:
        """The catalog with what the folders say: sealed segments that it lacks, and indexes that are of no use."""
        if load_catalog(self.directory.catalog) is None:
            entries = recover_entries(self.directory)
        else:
            entries = list(catalog.segments)
        checked = []
        for entry in entries:
            segment = self.directory.segment(entry.first, entry.generation)
            if not segment.data.exists():
                log.error("%s is gone; what was in it cannot be found any more", segment.data)
                continue
            usable = index_is_usable(segment) if entry.sealed else _can_be_shown(segment)
            if not usable and not entry.rebuilding:
                log.warning("the index of %s is missing or of no use and is made anew", segment.root)
            asked = entry.rebuilding  # by `klomp rebuild`, or it was not finished
            checked.append(entry.model_copy(update={"rebuilding": asked or not usable}))
        return catalog.model_copy(update={"segments": tuple(checked)})

    def _look_for_segments(self) -> None:
        try:
            stamp = os.stat(self.directory.segments).st_mtime_ns
        except FileNotFoundError:
            return
        if stamp != self._segments_stamp:
            self._firsts = self.directory.segment_firsts()
            self._segments_stamp = _settled(stamp)

    @property
    def is_gone(self) -> bool:
        """Whether the stream was deleted; another one of its name may be there."""
        return self._hold.is_gone()

    def step(self) -> bool:
        """Do what there is to do now; whether anything was done.

        Raises:
            UnknownStream: the stream was deleted. Whatever else is raised may have the same cause: see `is_gone`.
        """
        self._hold.check()
        self._look_for_segments()
        busy = self._follow()
        return self._mend() or busy

    def _follow(self) -> bool:
        """Index what is new in the newest segment that is not sealed."""
        now = self._clock()
        if self._active is None and not self._open_next():
            return False
        self._begin_anew_if_asked()
        active = self._active
        assert active is not None
        behind = active.backlog_bytes() > BEHIND_BYTES
        patience = COMMIT_BEHIND_AFTER_S if behind else COMMIT_AFTER_S
        was_lost = active.catching_up
        taken = active.read(now + patience, self._clock)
        if taken:
            self._last_read_s = now
        following = next((first for first in self._firsts if first > active.segment.first), None)
        if following is not None and not taken:
            active.pass_rest(following)
            self._seal(active)
            return True
        waited = self._clock() - active.uncommitted_since
        if (active.uncommitted and (not taken or waited >= patience)) or was_lost != active.catching_up:
            active.commit()
            self._publish(active.entry(sealed=False))
            return True
        if now - self._last_read_s > WRITER_IDLE_S:
            active.close()
        return taken > 0

    def _open_next(self) -> bool:
        catalog = self._catalog.read()
        done = catalog.sealed_until if catalog else 0
        for first in self._firsts:
            if first >= done:
                segment = self.directory.segment(first)
                if not segment.data.exists() or segment.data.stat().st_size < FILE_HEADER.size:
                    return False
                self._active = SegmentIndexer(segment, self.directory.name, new=first not in self._old)
                self._publish(self._active.entry(sealed=False))
                return True
        return False

    def _begin_anew_if_asked(self) -> None:
        """Throw the index of the segment that is followed away, where somebody marked it as one to be made anew."""
        catalog = self._catalog.read()
        active = self._active
        if active is None or catalog is None:
            return
        if not any(s.rebuilding and s.first == active.segment.first for s in catalog.segments):
            return
        log.warning("the index of %s is made anew", active.segment.root)
        active.abandon()
        shutil.rmtree(active.segment.index)
        self._active = anew = SegmentIndexer(active.segment, self.directory.name)
        self._edit(lambda catalog: catalog.with_segment(anew.entry(sealed=False)))

    def _seal(self, active: SegmentIndexer) -> None:
        """Close a segment that no more will be written to."""
        active.close()
        seal(active.segment, active.entry(sealed=True))
        self._publish(active.entry(sealed=True))
        active.release()
        self._active = None

    def _mend(self) -> bool:
        """Go on with making an index anew, if one is needed; whether there was anything to do."""
        if self._rebuild is None:
            catalog = self._catalog.read()
            # The one that is still written to is begun anew by `_follow`.
            asked = [s for s in catalog.segments if s.rebuilding and s.sealed] if catalog else []
            entry = asked[0] if asked else None
            if entry is None:
                return False
            segment = self.directory.segment(entry.first, entry.generation)
            try:
                self._rebuild = SegmentIndexer(segment, self.directory.name, entry.generation, aside=True)
            except FileNotFoundError:
                if self._is_live(entry.first, entry.generation):
                    raise
                return True
        try:
            return self._go_on_mending(self._rebuild)
        except Exception:
            if self._is_live(self._rebuild.segment.first, self._rebuild.generation):
                raise
            log.info("%s was dropped while its index was made anew", self._rebuild.segment.root)
            self._rebuild.abandon()
            self._rebuild = None
            return True

    def _is_live(self, first: int, generation: int) -> bool:
        """Whether a segment has not been dropped or replaced."""
        catalog = load_catalog(self.directory.catalog)
        return catalog is not None and any(
            (s.first, s.generation) == (first, generation) for s in catalog.segments
        )

    def _go_on_mending(self, rebuild: SegmentIndexer) -> bool:
        if rebuild.read(self._clock() + REBUILD_SLICE_S, self._clock):
            return True
        rebuild.pass_rest(self._until(rebuild))
        rebuild.adopt()
        entry = rebuild.entry(sealed=True).model_copy(update={"catching_up": False})
        seal(rebuild.segment, entry)
        rebuild.release()
        self._rebuild = None
        self._edit(lambda catalog: _with_mended(catalog, entry))
        log.warning("the index of %s is made anew", rebuild.segment.root)
        return True

    def _until(self, rebuild: SegmentIndexer) -> int:
        """The number that a segment ends before, as far as the catalog knows."""
        catalog = self._catalog.read()
        first = rebuild.segment.first
        return next((s.until for s in catalog.segments if s.first == first), first) if catalog else first

    @property
    def mending(self) -> tuple[int, int] | None:
        """Bytes read and bytes there are, of the segment whose index is being made anew; None for none."""
        busy = self._rebuild or (
            self._active if self._active is not None and self._active.catching_up else None
        )
        if busy is None:
            return None
        size = busy.segment.data.stat().st_size
        return size - busy.backlog_bytes(), size

    def _publish(self, entry: SegmentEntry) -> None:
        """Say what a segment is like now; that somebody asked for its index to be made anew is kept."""

        def with_mark(catalog: Catalog) -> Catalog:
            marked = any(s.rebuilding and s.first == entry.first for s in catalog.segments)
            return catalog.with_segment(entry.model_copy(update={"rebuilding": marked}))

        self._edit(with_mark)

    def _edit(self, change: Edit) -> None:
        """Change the catalog of this stream, and never that of another one that has its name now."""

        def checked(catalog: Catalog) -> Catalog:
            self._hold.check()
            return change(catalog)

        edit(self.directory, checked)

    def abandon(self) -> None:
        """Let go without another word: the stream was deleted."""
        for indexer in (self._active, self._rebuild):
            if indexer is not None:
                indexer.abandon()
        self._active = self._rebuild = None
        self._hold.release()

    def close(self) -> None:
        """Commit and publish what was read, then let go."""
        if self.is_gone:
            self.abandon()
            return
        if self._rebuild is not None:
            self._rebuild.release()
            self._rebuild = None
        if self._active is not None:
            active = self._active
            had = active.uncommitted
            active.close()
            if had:
                self._publish(active.entry(sealed=False))
            active.release()
            self._active = None
        self._hold.release()


def _can_be_shown(segment: SegmentDirectory) -> bool:
    """Whether the index of a segment that is not sealed can stay in the view until it is followed again."""
    try:
        names = {name.replace("-", "") for name in segment_ids(read_meta(segment.index))}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return all((segment.index / f"{name}.idx").exists() for name in names)


def _with_mended(catalog: Catalog, entry: SegmentEntry) -> Catalog:
    """The catalog with a segment whose index was made anew, unless it was dropped or replaced meanwhile."""
    if any((s.first, s.generation) == (entry.first, entry.generation) for s in catalog.segments):
        return catalog.with_segment(entry)
    return catalog


def _settled(stamp_ns: int) -> int:
    """When a folder last changed, as far as that says that it did not since; 0 while it is too early to say."""
    return stamp_ns if time.time_ns() - stamp_ns > FOLDER_TICK_NS else 0


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
        self._looked = False  # whether streams that are found now came into being since this began

    def step(self) -> bool:
        """One round over all streams; whether anything was done."""
        try:
            stamp = os.stat(self._data.streams).st_mtime_ns
        except FileNotFoundError:
            self._looked = True
            return False
        if stamp != self._stamp:
            for name in self._data.stream_names():
                if name not in self._streams:
                    with contextlib.suppress(UnknownStream):  # deleted since it was listed
                        self._streams[name] = StreamIndexer(
                            self._data.stream(name), self._clock, new=self._looked
                        )
            self._looked = True
            self._stamp = _settled(stamp)
        busy = False
        for name, stream in list(self._streams.items()):
            try:
                busy |= stream.step()
            except Exception:
                if not stream.is_gone:
                    raise
                log.info("stream %s was deleted", name)
                stream.abandon()
                del self._streams[name]
                self._stamp = 0  # there may be another one of the same name
                busy = True
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
