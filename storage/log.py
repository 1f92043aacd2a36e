"""The append-only log of one stream: records in, numbers out, on disk before anyone is told.

Durability. All batches that wait are written as one run of frames and synced with one fdatasync (group commit); only
then are their senders told. A batch is kept whole or not at all.

Refusal. What a failed write left is taken back, durably, before anything else is written to the stream: the file is
cut off where the acknowledged records end, and that is synced. Nobody has seen it by then, because nobody reads further
than the log has said that it synced (`storage/synced.py`); so its numbers are given again.

Recovery. Opening walks the newest segment. What stands behind the last whole batch was acknowledged to nobody: it is
moved to a file beside and cut off. Where records are missing that were said to be synced, the disk lost them: the file
stays as it is, and their numbers are not given again. A damaged stretch with valid frames behind it stays where it is
and is skipped.

Rotation. A segment ends by its bytes, its records or its age, whichever is met first; an idle one too, so that what is
in it can be sealed and, in time, dropped. The rules may change while the log is open.

Retries. A batch may come with a key. Its ticket is written with the batch, so key and records are kept together or not
at all; a key is remembered for IDEMPOTENCY_WINDOW_S after its batch came.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from storage.errors import LogClosed, LogUnwritable, unwritable
from storage.format import (
    FILE_HEADER,
    FrameEncoder,
    FrameHeader,
    Packed,
    Ticket,
    batch_frames,
    file_header,
    frame_is_valid,
    read_ticket,
)
from storage.paths import SegmentDirectory, StreamDirectory, sync_directory
from storage.scan import frames, read_frame
from storage.segment import load_meta
from storage.synced import Synced, SyncedWriter, find_end
from storage.unreadable import pread

log = logging.getLogger(__name__)

SEGMENT_BYTES_MAX = (
    128 << 20
)  # some half a gigabyte of raw logs: few files, yet quick to rebuild, move and drop
SEGMENT_RECORDS_MAX = (
    2_000_000  # small records compress to little: an index of more takes minutes to make anew
)
SEGMENT_AGE_S_MAX = 24 * 3600  # retention drops whole segments, so a day is how exact it is
NOTE_RETRY_S = 1.0  # after the disk refused to say how far the log is synced
ROTATE_RETRY_S = 5.0  # after the disk refused a new segment that only its age asked for
PENDING_BYTES_MAX = 64 << 20  # raw bytes that may wait for the disk before senders are asked to come back
FIRST_NUMBER = 1
SHARED_BATCH_RECORDS_MAX = 64  # smaller batches share frames: alone they would compress badly

IDEMPOTENCY_WINDOW_S = 24 * 3600  # the longest that a sender is expected to go on retrying
KEYS_MAX = 1_000_000  # remembered per stream, some 200 MB at the very worst; then the oldest go first

Done = Callable[[int | Exception], None]


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a segment ends: at the first of these.

    Attributes:
        bytes_max: The length of its data file; a run of frames that began below it is written to its end.
        records_max: Its records, in the same way.
        age_max_s: The time since its first record came in.
    """

    bytes_max: int = SEGMENT_BYTES_MAX
    records_max: int = SEGMENT_RECORDS_MAX
    age_max_s: float = SEGMENT_AGE_S_MAX


@dataclass(slots=True)
class _Batch:
    """A batch that waits for the disk, as records or, where others did that work, as frames without numbers."""

    times_us: list[int]
    lines: list[bytes]
    done: Done
    ticket: Ticket | None = None
    packed: Sequence[Packed] = ()

    @property
    def records(self) -> int:
        return len(self.lines) or sum(one.records for one in self.packed)

    @property
    def is_small(self) -> bool:
        """Whether it shares frames with its neighbours."""
        return self.ticket is None and not self.packed and len(self.lines) < SHARED_BATCH_RECORDS_MAX


class StreamLog:
    """The one writer of a stream's data files. Thread-safe; the disk is touched by a thread of its own.

    Args:
        directory: The stream.
        rotation: When a segment ends, until `rotate_by` says otherwise.
        segment_bytes_max: The same, by bytes alone.
        clock: Seconds since 1970.

    Raises:
        LogUnwritable: the directory cannot be written.
    """

    def __init__(
        self,
        directory: StreamDirectory,
        rotation: Rotation | None = None,
        *,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self._rotation = rotation or Rotation(bytes_max=segment_bytes_max)
        self._clock = clock
        self._first = FIRST_NUMBER  # of the segment that is written to
        self._begun_s: float | None = None  # when that got its first record, None while it has none
        self._ended = False  # whether that takes no more, though the next could not be begun yet
        self._encoder = FrameEncoder()
        self._pending: list[_Batch] = []
        self._pending_bytes = 0
        self._wake = threading.Condition()
        self._closing = False
        self._fd = -1
        self._size = 0
        self._refused = False  # whether the file may have bytes of a failed write behind `_size`
        self._next = FIRST_NUMBER
        self._synced: SyncedWriter | None = None
        self._noted = True  # whether that says how far the log is
        self._rotations: list[Done] = []  # who waits for the segment to end
        self._keys: dict[str, tuple[Ticket, int]] = {}  # in the order of arrival
        try:
            self._recover()
            self._recall()
        except OSError as error:
            self._let_go()
            log.error("cannot open the log of stream %s: %s", directory.name, error)  # noqa: TRY400
            raise unwritable(error) from error
        except BaseException:
            self._let_go()
            raise
        self._thread = threading.Thread(target=self._run, name=f"log-{directory.name}", daemon=True)
        self._thread.start()

    def append(
        self, times_us: list[int], lines: list[bytes], done: Done, ticket: Ticket | None = None
    ) -> None:
        """Ask for records to be kept.

        Args:
            times_us: A time per record.
            lines: The JSON of each record, without line feeds; at least one.
            done: Called once, from another thread, with the number of the first record when all are on disk, or with
                the error when none is kept.
            ticket: What to remember of the batch, so that a retry is known (`seen`).

        Raises:
            LogClosed: the log is closed or closing.
            LogUnwritable: more waits for the disk than memory should hold.
        """
        self._append(_Batch(times_us, lines, done, ticket), sum(map(len, lines)))

    def append_packed(self, packed: Sequence[Packed], done: Done, ticket: Ticket | None = None) -> None:
        """The same for a batch whose frames are made already, all but their numbers; at least one."""
        self._append(_Batch([], [], done, ticket, packed), sum(one.raw_bytes for one in packed))

    def _append(self, batch: _Batch, size: int) -> None:
        with self._wake:
            if self._closing:
                raise LogClosed("the stream's log is being closed", "send the batch again in a moment")
            if self._pending and self._pending_bytes + size > PENDING_BYTES_MAX:
                raise LogUnwritable(
                    f"{self._pending_bytes} bytes wait for the disk already",
                    "send the batch again in a moment",
                )
            self._pending.append(batch)
            self._pending_bytes += size
            self._wake.notify()

    def rotate_by(self, rotation: Rotation) -> None:
        """Let segments end by other rules from now on, the one that is written to included."""
        with self._wake:
            self._rotation = rotation
            self._wake.notify()

    def rotate(self, done: Done) -> None:
        """Ask for the segment to end now, if it has records.

        Args:
            done: Called once, from another thread, with the number that the next segment begins with, or the error.

        Raises:
            LogClosed: the log is closed or closing.
        """
        with self._wake:
            if self._closing:
                raise LogClosed("the stream's log is being closed", "ask again in a moment")
            self._rotations.append(done)
            self._wake.notify()

    def close(self) -> None:
        """Write what waits, then let go of the files."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._let_go()

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._synced is not None:
            self._synced.close()
            self._synced = None

    @property
    def next_number(self) -> int:
        """The number that the next record will get."""
        return self._next

    def seen(self, key: str) -> tuple[Ticket, int] | None:
        """What is remembered of a key: its ticket, and the number of its batch's first record."""
        return self._keys.get(key)

    def _remember(self, ticket: Ticket, first: int) -> None:
        oldest_us = ticket.arrived_us - IDEMPOTENCY_WINDOW_S * 1_000_000
        self._keys.pop(ticket.key, None)
        self._keys[ticket.key] = (ticket, first)
        while self._keys:
            key, (known, _) = next(iter(self._keys.items()))
            if known.arrived_us >= oldest_us and len(self._keys) <= KEYS_MAX:
                break
            del self._keys[key]

    def _run(self) -> None:
        not_before_s = 0.0
        while True:
            with self._wake:
                while not self._pending and not self._rotations and not self._closing:
                    wait_s = self._rotation_due_s(not_before_s)
                    if wait_s is not None and wait_s <= 0:
                        break
                    if not self._noted:
                        wait_s = min(NOTE_RETRY_S, wait_s or NOTE_RETRY_S)
                    self._wake.wait(wait_s)
                    if not self._noted:
                        self._note()
                batches, self._pending, self._pending_bytes = self._pending, [], 0
                rotations, self._rotations = self._rotations, []
                if not batches and not rotations and self._closing:
                    return
            if rotations:
                self._rotate_for(rotations)
            elif not batches:
                not_before_s = self._rotate_idle()
                continue
            if not batches:
                continue
            outcome: int | Exception
            try:
                outcome = self._commit(batches)
            except OSError as error:
                outcome = self._roll_back(error)
            for batch in batches:
                if isinstance(outcome, int):
                    batch.done(outcome)
                    outcome += batch.records
                else:
                    batch.done(outcome)

    def _rotation_due_s(self, not_before_s: float) -> float | None:
        """Seconds until the segment ends by its age though nothing more comes; None while it is empty."""
        if self._begun_s is None:
            return None
        due_s = max(self._begun_s + self._rotation.age_max_s, not_before_s)
        return min(due_s - self._clock(), threading.TIMEOUT_MAX)

    def _rotate_idle(self) -> float:
        """Begin the next segment; before when not to try again, seconds since 1970."""
        try:
            self._begin_segment()
        except OSError as error:
            log.error("cannot begin a segment of stream %s: %s", self.directory.name, error)  # noqa: TRY400
            return self._clock() + ROTATE_RETRY_S
        return 0.0

    def _rotate_for(self, rotations: list[Done]) -> None:
        """Begin the next segment unless this one is empty, and tell those who wait."""
        outcome: int | Exception = self._next
        try:
            if self._begun_s is not None:
                self._begin_segment()
        except OSError as error:
            outcome = LogUnwritable(f"cannot begin a segment: {error.strerror}", "look at the disk")
        for done in rotations:
            done(outcome)

    def _is_full(self) -> bool:
        """Whether the segment has reached one of its bounds; an empty one never has."""
        if self._begun_s is None:
            return False
        rotation = self._rotation
        return (
            self._ended
            or self._size >= rotation.bytes_max
            or self._next - self._first >= rotation.records_max
            or self._clock() - self._begun_s >= rotation.age_max_s
        )

    def _is_removed(self) -> bool:
        """Whether somebody took the data file away: what is written to it now would be nowhere after the next start."""
        if os.fstat(self._fd).st_nlink:
            return False
        log.error("%s was taken away; what was in it is lost", self.directory.segment(self._first).data)
        return True

    def _commit(self, batches: list[_Batch]) -> int:
        """Put all batches on disk; the number of the first record."""
        self._take_back()
        if self._fd < 0 or self._is_full() or self._is_removed():
            self._begin_segment()
        data = b"".join(self._frames(batches))
        at = self._size
        view = memoryview(data)
        self._refused = True  # until all of it is synced
        while view:
            written = os.pwrite(self._fd, view, at)
            view, at = view[written:], at + written
        os.fdatasync(self._fd)
        self._refused = False
        first, self._size = self._next, at
        if self._begun_s is None:
            self._begun_s = self._clock()
        for batch in batches:
            if batch.ticket is not None:
                self._remember(batch.ticket, self._next)
            self._next += batch.records
        self._note()
        return first

    def _frames(self, batches: list[_Batch]) -> Iterator[bytes]:
        """The frames of all batches: one with a ticket has its own, the others share."""
        number = self._next
        times_us: list[int] = []
        lines: list[bytes] = []
        for batch in batches:
            if batch.is_small:
                times_us += batch.times_us
                lines += batch.lines
                continue
            if lines:
                yield from self._encoder.split(number, times_us, lines, begins=number == self._next)
                number += len(lines)
                times_us, lines = [], []
            packed = batch.packed or self._encoder.pack_batch(batch.times_us, batch.lines)
            yield from batch_frames(packed, number, batch.ticket, begins=number == self._next)
            number += batch.records
        if lines:
            yield from self._encoder.split(number, times_us, lines, begins=number == self._next)

    def _roll_back(self, error: OSError) -> LogUnwritable:
        """Take back what a failed commit left, so that the next one can go on."""
        log.error("cannot write the log of stream %s: %s", self.directory.name, error)
        try:
            self._take_back()
        except OSError as second:
            log.error(  # noqa: TRY400
                "cannot take back a failed write of stream %s, and write nothing until that is done: %s",
                self.directory.name,
                second,
            )
        return unwritable(error)

    def _take_back(self) -> None:
        """Cut off what a failed write left, durably. To cut writes the last block anew, so the sync proves it whole."""
        if self._refused:
            os.ftruncate(self._fd, self._size)
            os.fdatasync(self._fd)
            self._refused = False

    def _note(self) -> None:
        """Say how far the log is synced; what cannot be said now is said later."""
        assert self._synced is not None
        try:
            self._synced.note(Synced(self._first, self._size, self._next))
        except OSError as error:
            if self._noted:
                log.error("cannot say what is new in stream %s: %s", self.directory.name, error)  # noqa: TRY400
            self._noted = False
        else:
            self._noted = True

    def _begin_segment(self) -> None:
        """Open a new segment whose first record is the next one."""
        self._take_back()
        segment = self.directory.segment(self._next)
        # From here on the indexer may see the new folder and seal the segment before: nothing may go there any more,
        # even if what follows fails and the bounds change.
        self._ended = True
        if self._synced is None:
            # Before there is a file, so that whoever finds one knows that it is being written to.
            self.directory.root.mkdir(parents=True, exist_ok=True)
            self._synced = SyncedWriter(self.directory.synced)
        segment.root.mkdir(parents=True, exist_ok=True)
        fd = os.open(segment.data, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.pwrite(fd, file_header(), 0)
            os.fdatasync(fd)
            streams = self.directory.root.parent
            for folder in (
                segment.root,
                self.directory.segments,
                self.directory.root,
                streams,
                streams.parent,
            ):
                sync_directory(folder)
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = fd, FILE_HEADER.size
        self._first, self._begun_s, self._ended = self._next, None, False
        self._note()

    def _recover(self) -> None:
        firsts = self.directory.segment_firsts()
        if not firsts:
            return
        self._synced = SyncedWriter(self.directory.synced)
        noted = self._synced.read()
        segment = self.directory.segment(firsts[-1])
        self._next = self._first = segment.first
        self._reopen(segment, noted)
        if noted is not None and noted.until > self._next:
            log.error(
                "stream %s: the records %d to %d were on disk and are not there any more",
                self.directory.name,
                self._next,
                noted.until - 1,
            )
            # An index may know them: their numbers must not be given to others.
            self._next = noted.until
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _reopen(self, segment: SegmentDirectory, noted: Synced | None) -> None:
        """Find the end of the newest segment, and go on with it unless it ended, or has lost records."""
        try:
            self._fd = os.open(segment.data, os.O_RDWR)
        except FileNotFoundError:
            return  # a crash between making the folder and the file: begin the file again
        size = os.fstat(self._fd).st_size
        if size >= FILE_HEADER.size:
            synced_end = noted.end if noted is not None and noted.first == segment.first else 0
            end, self._next, damaged = find_end(self._fd, segment.first, synced_end, size)
            for start, stop in damaged:
                log.error("%s: bytes %d to %d are damaged", segment.data, start, stop)
        sealed = load_meta(segment)
        if sealed is not None:
            # There was a segment behind it once, which a loss of power took away before it had a record.
            self._next = max(self._next, sealed.entry.until)
        if size < FILE_HEADER.size or sealed is not None:
            os.close(self._fd)
            self._fd = -1
            return
        if noted is not None and noted.until > self._next:
            return
        if end < size:
            self._cut_tail(segment, self._fd, end, size)
        elif noted is None or (noted.first, noted.end) != (segment.first, end):
            os.fdatasync(self._fd)  # whoever wrote it may have died before that
        self._size = end
        if self._next > self._first:
            # The folder changed when its index was begun, which was right after its first record. Where its index was
            # lost since, the segment counts as younger than it is.
            self._begun_s = os.stat(segment.root).st_mtime
        self._note()

    def _recall(self) -> None:
        """Remember the tickets in the segments of the last IDEMPOTENCY_WINDOW_S."""
        oldest_s = time.time() - IDEMPOTENCY_WINDOW_S
        for first, generation in self.directory.segment_folders():
            path = self.directory.segment(first, generation).data
            try:
                found_file = path.stat()
                if found_file.st_mtime < oldest_s or found_file.st_size < FILE_HEADER.size:
                    continue
                fd = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue  # never begun, or dropped meanwhile
            try:
                for found in frames(fd, verify=False, expect=first):
                    if not isinstance(found, FrameHeader) or not found.ticket_bytes:
                        continue
                    data = read_frame(fd, found)
                    ticket = read_ticket(found, data) if frame_is_valid(data) else None
                    if ticket is not None:
                        self._remember(ticket, found.first)
            finally:
                os.close(fd)

    def _cut_tail(self, segment: SegmentDirectory, fd: int, end: int, size: int) -> None:
        log.warning(
            "%s: %d bytes after the last whole frame, cut off by a crash, are set aside",
            segment.data,
            size - end,
        )
        aside = segment.root / f"torn-{end}.bin"
        aside.write_bytes(pread(fd, size - end, end))
        os.ftruncate(fd, end)
        os.fdatasync(fd)
