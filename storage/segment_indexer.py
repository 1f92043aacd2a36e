"""The index of one segment: brought up to its data file, resumed where it ended, begun anew where it is of no use.

Its state is derived: what it has is what the index says it has (the highest number committed), and the rest is read
from the data again.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tantivy

from storage.catalog import SegmentEntry
from storage.errors import FrameDamaged, IndexPanic
from storage.format import FILE_HEADER, FrameHeader, decode_frame
from storage.index import NUMBER, create_index, open_index
from storage.index_document import add_records
from storage.memory import give_back
from storage.paths import SegmentDirectory
from storage.quarantine import quarantine, quarantined, stretches
from storage.scan import frames, read_frame
from storage.stop import panics_named
from storage.synced import SyncedReader
from storage.view import fields_are_ours, read_meta

log = logging.getLogger(__name__)

REMOVE_TRIES = 20  # the engine's threads look at an index twice a second, for a moment
REMOVE_RETRY_S = 0.01
WRITER_HEAP_BYTES = 128 << 20  # what the engine may hold before it writes a segment by itself


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
        threads: Of the engine, each of which makes index segments of its own.
    """

    def __init__(
        self,
        segment: SegmentDirectory,
        stream: str,
        generation: int = 0,
        *,
        aside: bool = False,
        new: bool = False,
        threads: int = 1,
    ) -> None:
        self._threads = threads
        self.segment = segment
        self.stream = stream
        self.generation = generation
        self._path = segment.new_index if aside else segment.index
        if aside:
            remove_index(self._path)
        self._fd = os.open(segment.data, os.O_RDONLY)
        self._writer: tantivy.IndexWriter | None = None
        self._lost_until_bytes = 0
        try:
            self.index, committed = self._open(new=new)
            self._position = self._resume(committed)
        except BaseException:
            os.close(self._fd)
            raise
        self.uncommitted = 0
        self.uncommitted_since = 0.0

    def _open(self, *, new: bool) -> tuple[tantivy.Index, int]:
        """The segment's index and the number after the last record that it has."""
        try:
            with panics_named():
                index = open_index(self._path)
                if not fields_are_ours(read_meta(self._path)):
                    raise ValueError("another klomp made it, with other fields")  # noqa: TRY301 - goes the same way
                return index, _highest_number(index) + 1
        except (ValueError, OSError, IndexPanic) as error:
            if self._path.exists():
                log.warning("%s cannot be used and is made anew: %s", self._path, error)
            elif new:
                return create_index(self._path), 0
            return self._anew(), 0

    def _anew(self) -> tantivy.Index:
        size = os.fstat(self._fd).st_size
        self._lost_until_bytes = size if size > FILE_HEADER.size else 0
        remove_index(self._path)
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
        """Bytes of the data file that are not read yet; negative where the file is shorter than what was read."""
        return os.fstat(self._fd).st_size - self._position.offset

    def synced_end(self, reader: SyncedReader) -> int:
        """How far the data file may be read while it is the newest of its stream."""
        return reader.end(self._fd, self.segment.first)

    def read(self, until_s: float, clock: Callable[[], float], end: int | None = None) -> int:
        """Index frames until there are no more or the time is up; the number of records taken in.

        Args:
            until_s: When to stop.
            clock: Tells the time.
            end: How far to read: all of the file, unless it is still being written.
        """
        size = os.fstat(self._fd).st_size if end is None else end
        if size <= self._position.offset:
            self._lost_until_bytes = 0
            return 0
        taken = 0
        position = self._position
        for found in frames(self._fd, position.offset, verify=False, expect=position.until, size=size):
            if not isinstance(found, FrameHeader):
                quarantine(self.segment, self._fd, found.start, found.end)
                position.offset = found.end
                continue
            try:
                batch = decode_frame(found, read_frame(self._fd, found))
            except FrameDamaged:
                quarantine(self.segment, self._fd, found.offset, found.end)
                self._position.offset = found.end
                continue
            writer = self._open_writer()
            add_records(writer, batch, self.stream)
            if not self.uncommitted:
                self.uncommitted_since = clock()
            self.uncommitted += found.records
            taken += found.records
            self._position.pass_frame(found, deleted=batch.lines.count(b""))
            if clock() >= until_s:
                break
        else:
            # All is read: what the file had besides when the index was lost was a write that a crash cut off.
            self._lost_until_bytes = 0
        return taken

    def pass_rest(self, until: int, had_bytes: int = 0) -> None:
        """Pass what cannot be read at the end of a file that no more will be written to.

        Args:
            until: The number that the segment ought to end before. Where it does, the rest is a write that a crash cut
                off; else it is damage.
            had_bytes: How long the file was once, as far as is known.
        """
        size = os.fstat(self._fd).st_size
        end = max(size, had_bytes)
        told = self._position.offset == size and any(stop == end for _, _, stop in stretches(self.segment))
        if self._position.until < until and not told:
            quarantine(self.segment, self._fd, self._position.offset, end)
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
            give_back()

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
        remove_index(self.segment.index)
        self._path.rename(self.segment.index)

    def _open_writer(self) -> tantivy.IndexWriter:
        if self._writer is None:
            self._writer = self.index.writer(WRITER_HEAP_BYTES, self._threads)
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


def remove_index(path: Path) -> None:
    """Remove the folder of an index, if it is there, though threads of the engine may still put a lock file into it."""
    for attempt in range(REMOVE_TRIES):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            if not path.exists():
                return
        except NotADirectoryError:
            path.unlink()
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or attempt == REMOVE_TRIES - 1:
                raise
            time.sleep(REMOVE_RETRY_S)
        else:
            return


def _highest_number(index: tantivy.Index) -> int:
    """The highest record number that was committed; -1 in an empty index."""
    index.reload()
    searcher = index.searcher()
    if not searcher.num_docs:
        return -1
    hits = searcher.search(tantivy.Query.all_query(), limit=1, count=False, order_by_field=NUMBER).hits
    return int(hits[0][0])
