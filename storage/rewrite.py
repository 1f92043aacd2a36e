"""Making new segments from old: several as one (compaction), or one without some of its records (deletion).

A new segment is built in a folder of its own, `<first>.<n>`, synced, and sealed; then one edit of the catalog puts it
in the place of the old, and the old folders are removed. Until the edit nothing has happened; after it all has. A
folder that no catalog names is what a crash left, and is removed by housekeeping.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from storage.catalog import Catalog, SegmentEntry, load_catalog
from storage.drop import remove_retired, retire
from storage.errors import FrameDamaged, StoreError
from storage.format import (
    FRAME_RAW_BYTES_TARGET,
    FrameEncoder,
    FrameHeader,
    FrameRecords,
    Ticket,
    decode_frame,
    file_header,
    read_ticket,
)
from storage.index import open_index
from storage.log import IDEMPOTENCY_WINDOW_S
from storage.memory import give_back
from storage.paths import SegmentDirectory, StreamDirectory, sync_directory
from storage.publication import edit_locked, locked
from storage.quarantine import quarantine, quarantined, stretches
from storage.rebuild import mark
from storage.scan import frames, read_frame
from storage.segment import checksum, index_is_usable, load_meta, seal
from storage.segment_indexer import WRITER_HEAP_BYTES, SegmentIndexer
from storage.view import INDEX_SEGMENT_DIGITS, publish, read_meta, segment_ids

SEALED_COMPRESSION_LEVEL = (
    9  # compacted once and kept for long: a tenth smaller for four times the processor time
)

Keep = Callable[[int, int, bytes], bool]
"""From a record's number, time and line to whether it stays."""


class SegmentGone(StoreError):
    """A segment is not live any more: it was dropped or replaced meanwhile."""

    code = "segment-gone"


class IndexDamaged(StoreError):
    """An index is not as it was sealed: put together with others it would get a new checksum, and be hidden."""

    code = "index-damaged"


@dataclass(slots=True)
class _Written:
    """What went into a new data file."""

    records: int = 0
    until: int = 0
    min_us: int | None = None
    max_us: int | None = None
    raw_bytes: int = 0

    def add(self, times_us: Sequence[int], lines: Sequence[bytes]) -> None:
        live = [t for t, line in zip(times_us, lines, strict=True) if line]
        self.records += len(live)
        self.raw_bytes += sum(map(len, lines)) + 9 * len(lines)
        if live:
            self.min_us = min(live) if self.min_us is None else min(self.min_us, *live)
            self.max_us = max(live) if self.max_us is None else max(self.max_us, *live)


def compact(directory: StreamDirectory, entries: Sequence[SegmentEntry]) -> SegmentEntry:
    """Put neighbouring sealed segments together as one; its entry.

    Raises:
        SegmentGone: one of them is not live any more.
        IndexDamaged: the index of one is not as it was sealed.
        OSError: the disk refused; nothing has changed.
    """
    old = [directory.segment(entry.first, entry.generation) for entry in entries]
    _check_indexes(directory, entries)
    new, generation = _begin(directory, entries)
    with _removed_if_refused(new):
        written = _write_data(old, new, None)
        _link_index(old, new)
    give_back()  # merging takes as much as writing does
    return _finish(directory, entries, new, generation, written)


def delete(directory: StreamDirectory, entry: SegmentEntry, keep: Keep) -> SegmentEntry:
    """Make a sealed segment anew without the records that are not kept; its entry.

    Raises:
        SegmentGone: it is not live any more.
        OSError: the disk refused; nothing has changed.
    """
    old = [directory.segment(entry.first, entry.generation)]
    new, generation = _begin(directory, [entry])
    with _removed_if_refused(new):
        written = _write_data(old, new, keep)
        indexer = SegmentIndexer(new, directory.name, generation)
        while indexer.backlog_bytes() > 0:
            if not indexer.read(time.monotonic() + 3600, time.monotonic):
                break
        indexer.release()
    return _finish(directory, [entry], new, generation, written)


@contextmanager
def _removed_if_refused(new: SegmentDirectory) -> Iterator[None]:
    """Leave nothing of a segment that could not be made: it has what its sources have, and they may have to go."""
    try:
        yield
    except OSError:
        shutil.rmtree(new.root, ignore_errors=True)
        raise


def _check_indexes(directory: StreamDirectory, entries: Sequence[SegmentEntry]) -> None:
    """Have an index that is not as it was sealed made anew before it becomes part of another."""
    for entry in entries:
        segment = directory.segment(entry.first, entry.generation)
        meta = load_meta(segment)
        names = [name for name in meta.files if name != segment.data.name] if meta is not None else []
        try:
            whole = (
                meta is not None
                and index_is_usable(segment)
                and all(checksum(segment.root / name) == meta.files[name] for name in names)
            )
        except FileNotFoundError:
            whole = False
        if not whole and mark(directory, {(entry.first, entry.generation)}):
            raise IndexDamaged(f"the index of {segment.root} is damaged and is made anew", "nothing to do")


def _begin(directory: StreamDirectory, entries: Sequence[SegmentEntry]) -> tuple[SegmentDirectory, int]:
    """An empty folder for the segment that takes the place of the entries'."""
    _check_live(load_catalog(directory.catalog) or Catalog(stream=directory.name), entries)
    first = entries[0].first
    taken = [generation for other, generation in directory.segment_folders() if other == first]
    generation = max(taken) + 1
    new = directory.segment(first, generation)
    new.root.mkdir(parents=True)
    return new, generation


def _check_live(catalog: Catalog, entries: Sequence[SegmentEntry]) -> None:
    live = {(one.first, one.generation) for one in catalog.segments}
    if not {(one.first, one.generation) for one in entries} <= live:
        raise SegmentGone("a segment was dropped or replaced meanwhile", "nothing is lost; try again")


def _finish(
    directory: StreamDirectory,
    entries: Sequence[SegmentEntry],
    new: SegmentDirectory,
    generation: int,
    written: _Written,
) -> SegmentEntry:
    """Seal the new segment, put it in the place of the old ones, and remove those."""
    old = [directory.segment(entry.first, entry.generation) for entry in entries]
    for segment in old:
        for path in (*segment.root.glob("damaged-*.bin"), *segment.root.glob("torn-*.bin")):
            kind, _, rest = path.name.partition("-")
            shutil.copy2(path, new.root / f"{kind}-{segment.root.name}-{rest}")
    damaged = quarantined(new)
    entry = SegmentEntry(
        first=entries[0].first,
        until=entries[-1].until,
        records=written.records,
        raw_bytes=written.raw_bytes,
        data_bytes=new.data.stat().st_size,
        min_us=written.min_us,
        max_us=written.max_us,
        sealed=True,
        generation=generation,
        damaged=len(damaged),
        damaged_bytes=sum(damaged),
        written_s=max(entry.written_s for entry in entries),
    )
    seal(new, entry)
    sync_directory(new.root)
    replaced = {(one.first, one.generation) for one in entries}

    def put_in_place(catalog: Catalog) -> Catalog:
        _check_live(catalog, entries)
        others = [one for one in catalog.segments if (one.first, one.generation) not in replaced]
        return catalog.model_copy(update={"segments": tuple(others)}).with_segment(entry)

    try:
        with locked(directory):
            # Durably: once the old folders are gone, a catalog that lists them must not come back.
            edit_locked(directory, put_in_place, durable=True)
            retire(directory, old)
    except SegmentGone:
        shutil.rmtree(new.root)
        raise
    remove_retired(directory)
    return entry


def _write_data(old: Sequence[SegmentDirectory], new: SegmentDirectory, keep: Keep | None) -> _Written:
    """Write the records of the old segments that are kept, in frames of the target size."""
    written = _Written()
    encoder = FrameEncoder(SEALED_COMPRESSION_LEVEL)
    with new.data.open("wb") as out:
        out.write(file_header())
        for first, times_us, lines, ticket in _blocks(_batches(old), keep):
            for frame in encoder.split(first, times_us, lines, ticket):
                out.write(frame)
            written.add(times_us, lines)
        out.flush()
        os.fdatasync(out.fileno())
    sync_directory(new.root)  # before there is a `meta.json` that tells of it
    return written


@dataclass(slots=True)
class _Frame:
    """Records of a frame, and the ticket of the batch that they belong to."""

    records: FrameRecords
    ticket: Ticket | None


def _batches(old: Sequence[SegmentDirectory]) -> Iterator[_Frame]:
    """All readable frames, in the order of their numbers, with tickets that are still good; others are set aside."""
    oldest_us = time.time_ns() // 1000 - IDEMPOTENCY_WINDOW_S * 1_000_000
    for segment in old:
        fd = os.open(segment.data, os.O_RDONLY)
        end, reached = 0, segment.first
        try:
            for found in frames(fd, verify=False, expect=segment.first):
                if not isinstance(found, FrameHeader):
                    quarantine(segment, fd, found.start, found.end)  # unless it is there; it goes along
                    end = found.end
                    continue
                end, reached = found.end, found.until
                data = read_frame(fd, found)
                try:
                    records = decode_frame(found, data)
                except FrameDamaged:
                    quarantine(segment, fd, found.offset, found.end)
                    continue
                ticket = read_ticket(found, data)
                if ticket is not None and ticket.arrived_us < oldest_us:
                    ticket = None
                yield _Frame(records, ticket)
            meta, size = load_meta(segment), os.fstat(fd).st_size
            if (
                meta is not None
                and reached < meta.entry.until
                and all(e != size for _, _, e in stretches(segment))
            ):
                quarantine(segment, fd, end, size)
        finally:
            os.close(fd)


def _blocks(
    found: Iterator[_Frame], keep: Keep | None
) -> Iterator[tuple[int, list[int], list[bytes], Ticket | None]]:
    """Runs of records without a gap, about as long as a frame should be; a ticket begins a run of its own."""
    first, times_us, lines, size = 0, list[int](), list[bytes](), 0
    ticket: Ticket | None = None
    for frame in found:
        records = frame.records
        gap = records.first != first + len(lines)
        if lines and (gap or frame.ticket or size >= FRAME_RAW_BYTES_TARGET):
            yield first, times_us, lines, ticket
            times_us, lines, size, ticket = [], [], 0, None
        if not lines:
            first, ticket = records.first, frame.ticket
        times_us += records.times_us
        kept = [
            line if keep is None or not line or keep(records.first + i, records.times_us[i], line) else b""
            for i, line in enumerate(records.lines)
        ]
        lines += kept
        size += sum(map(len, kept)) + 9 * len(kept)
    if lines:
        yield first, times_us, lines, ticket


def _link_index(old: Sequence[SegmentDirectory], new: SegmentDirectory) -> None:
    """An index over all index segments of the old ones, small ones merged as the engine sees fit."""
    sources = [(segment.index, read_meta(segment.index)) for segment in old]
    publish(new.index, sources, sources[0][1])
    (new.index / "previous.txt").unlink()
    index = open_index(new.index)
    writer = index.writer(WRITER_HEAP_BYTES, 1)
    writer.commit()  # after a commit the engine looks for segments worth merging
    writer.wait_merging_threads()
    live = {name.replace("-", "") for name in segment_ids(read_meta(new.index))}
    for path in new.index.iterdir():
        # What was merged away; the engine only removes files that it wrote itself.
        stem = path.name.partition(".")[0]
        if len(stem) == INDEX_SEGMENT_DIGITS and stem not in live:
            path.unlink()
    sync_directory(new.index)


def sealed_runs(catalog: Catalog) -> list[list[SegmentEntry]]:
    """The segments that may be put together: runs of neighbours that are sealed and whole."""
    runs: list[list[SegmentEntry]] = [[]]
    for entry in catalog.segments:
        if entry.sealed and not entry.rebuilding:
            runs[-1].append(entry)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
