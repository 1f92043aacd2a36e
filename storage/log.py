"""The append-only log of one stream: records in, numbers out, on disk before anyone is told.

Durability. All batches that wait are written as one run of frames and synced with one fdatasync (group commit); only
then are their senders told. A batch is kept whole or not at all.

Recovery. Opening walks the newest segment. What stands behind the last whole batch was acknowledged to nobody: it is
moved to a file beside and cut off. A damaged stretch with valid frames behind it stays where it is and is skipped.

Retries. A batch may come with a key. Its ticket is written with the batch, so key and records are kept together or not
at all; a key is remembered for IDEMPOTENCY_WINDOW_S after its batch came.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from storage.errors import LogClosed, LogUnwritable
from storage.format import FILE_HEADER, FrameEncoder, FrameHeader, Ticket, file_header, read_ticket
from storage.paths import SegmentDirectory, StreamDirectory, sync_directory
from storage.scan import frames, read_frame

log = logging.getLogger(__name__)

SEGMENT_BYTES_MAX = (
    128 << 20
)  # some half a gigabyte of raw logs: few files, yet quick to rebuild, move and drop
PENDING_BYTES_MAX = 64 << 20  # raw bytes that may wait for the disk before senders are asked to come back
FIRST_NUMBER = 1
SHARED_BATCH_RECORDS_MAX = 64  # smaller batches share frames: alone they would compress badly

IDEMPOTENCY_WINDOW_S = 24 * 3600  # the longest that a sender is expected to go on retrying
KEYS_MAX = 1_000_000  # remembered per stream, some 200 MB at the very worst; then the oldest go first

Done = Callable[[int | Exception], None]


@dataclass(slots=True)
class _Batch:
    times_us: list[int]
    lines: list[bytes]
    done: Done
    ticket: Ticket | None = None


class StreamLog:
    """The one writer of a stream's data files. Thread-safe; the disk is touched by a thread of its own.

    Raises:
        LogUnwritable: the directory cannot be written.
    """

    def __init__(self, directory: StreamDirectory, *, segment_bytes_max: int = SEGMENT_BYTES_MAX) -> None:
        self.directory = directory
        self._segment_bytes_max = segment_bytes_max
        self._encoder = FrameEncoder()
        self._pending: list[_Batch] = []
        self._pending_bytes = 0
        self._wake = threading.Condition()
        self._closing = False
        self._fd = -1
        self._size = 0
        self._next = FIRST_NUMBER
        self._keys: dict[str, tuple[Ticket, int]] = {}  # in the order of arrival
        self._recover()
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
        size = sum(map(len, lines))
        with self._wake:
            if self._closing:
                raise LogClosed("the server is stopping", "send the batch again in a moment")
            if self._pending and self._pending_bytes + size > PENDING_BYTES_MAX:
                raise LogUnwritable(
                    f"{self._pending_bytes} bytes wait for the disk already",
                    "send the batch again in a moment",
                )
            self._pending.append(_Batch(times_us, lines, done, ticket))
            self._pending_bytes += size
            self._wake.notify()

    def close(self) -> None:
        """Write what waits, then let go of the files."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

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
        while True:
            with self._wake:
                while not self._pending and not self._closing:
                    self._wake.wait()
                batches, self._pending, self._pending_bytes = self._pending, [], 0
                if not batches:
                    return
            outcome: int | Exception
            try:
                outcome = self._commit(batches)
            except OSError as error:
                outcome = self._roll_back(error)
            for batch in batches:
                if isinstance(outcome, int):
                    batch.done(outcome)
                    outcome += len(batch.lines)
                else:
                    batch.done(outcome)

    def _commit(self, batches: list[_Batch]) -> int:
        """Put all batches on disk; the number of the first record."""
        if self._fd < 0 or self._size >= self._segment_bytes_max:
            self._begin_segment()
        data = b"".join(self._frames(batches))
        at = self._size
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, at)
            view, at = view[written:], at + written
        os.fdatasync(self._fd)
        first, self._size = self._next, at
        for batch in batches:
            if batch.ticket is not None:
                self._remember(batch.ticket, self._next)
            self._next += len(batch.lines)
        return first

    def _frames(self, batches: list[_Batch]) -> Iterator[bytes]:
        """The frames of all batches: one with a ticket has its own, the others share."""
        number = self._next
        times_us: list[int] = []
        lines: list[bytes] = []
        for batch in batches:
            if batch.ticket is None and len(batch.lines) < SHARED_BATCH_RECORDS_MAX:
                times_us += batch.times_us
                lines += batch.lines
                continue
            if lines:
                yield from self._encoder.split(number, times_us, lines)
                number += len(lines)
                times_us, lines = [], []
            yield from self._encoder.split(number, batch.times_us, batch.lines, batch.ticket)
            number += len(batch.lines)
        if lines:
            yield from self._encoder.split(number, times_us, lines)

    def _roll_back(self, error: OSError) -> LogUnwritable:
        """Take back what a failed commit left, so that the next one can go on."""
        log.error("cannot write the log of stream %s: %s", self.directory.name, error)
        try:
            if self._fd >= 0:
                os.ftruncate(self._fd, self._size)
        except OSError as second:
            # The file is in an unknown state: leave it to the next recovery and go on in a new segment.
            log.error("cannot take back a failed write of stream %s: %s", self.directory.name, second)  # noqa: TRY400
            os.close(self._fd)
            self._fd = -1
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = (
            "make room on the disk; writing resumes by itself"
            if full
            else "look at the disk and the server's log"
        )
        return LogUnwritable(f"the disk refused the batch: {error.strerror}", hint, out_of_space=full)

    def _begin_segment(self) -> None:
        """Open a new segment whose first record is the next one."""
        segment = self.directory.segment(self._next)
        segment.root.mkdir(parents=True, exist_ok=True)
        fd = os.open(segment.data, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.pwrite(fd, file_header(), 0)
            os.fdatasync(fd)
            for folder in (
                segment.root,
                self.directory.segments,
                self.directory.root,
                self.directory.root.parent,
            ):
                sync_directory(folder)
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = fd, FILE_HEADER.size

    def _recover(self) -> None:
        firsts = self.directory.segment_firsts()
        if not firsts:
            return
        segment = self.directory.segment(firsts[-1])
        self._next = segment.first
        try:
            fd = os.open(segment.data, os.O_RDWR)
        except FileNotFoundError:
            return  # a crash between making the folder and the file: begin the file again
        size = os.fstat(fd).st_size
        if size < FILE_HEADER.size:
            os.close(fd)
            return
        end = FILE_HEADER.size
        for found in frames(fd, verify=True, expect=segment.first):
            if not isinstance(found, FrameHeader):
                log.error("%s: bytes %d to %d are damaged and skipped", segment.data, found.start, found.end)
            elif not found.continues:  # the end of a batch: all of it is there
                end, self._next = found.end, found.until
        if end < size:
            self._cut_tail(segment, fd, end, size)
        self._fd, self._size = fd, end
        self._recall()

    def _recall(self) -> None:
        """Remember the tickets in the segments of the last IDEMPOTENCY_WINDOW_S."""
        oldest_s = time.time() - IDEMPOTENCY_WINDOW_S
        for first, generation in self.directory.segment_folders():
            path = self.directory.segment(first, generation).data
            if not path.exists() or path.stat().st_mtime < oldest_s:
                continue
            fd = os.open(path, os.O_RDONLY)
            try:
                for found in frames(fd, verify=False, expect=first):
                    if isinstance(found, FrameHeader) and found.ticket_bytes:
                        ticket = read_ticket(found, read_frame(fd, found))
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
        aside.write_bytes(os.pread(fd, size - end, end))
        os.ftruncate(fd, end)
        os.fdatasync(fd)
