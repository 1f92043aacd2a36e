"""The append-only log of one stream: records in, numbers out, on disk before anyone is told.

Durability. All batches that wait are written as one run of frames and synced with one fdatasync (group commit); only
then are their senders told. A batch is kept whole or not at all.

Recovery. `open` walks the newest segment. Bytes after its last valid frame were acknowledged to nobody: they are moved
to a file beside it and cut off. A damaged stretch with valid frames behind it stays where it is and is skipped.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from storage.errors import LogClosed, LogUnwritable
from storage.format import FILE_HEADER, FrameEncoder, FrameHeader, file_header
from storage.paths import SegmentDirectory, StreamDirectory, sync_directory
from storage.scan import frames

log = logging.getLogger(__name__)

SEGMENT_BYTES_MAX = (
    128 << 20
)  # some half a gigabyte of raw logs: few files, yet quick to rebuild, move and drop
PENDING_BYTES_MAX = 64 << 20  # raw bytes that may wait for the disk before senders are asked to come back
FIRST_NUMBER = 1

Done = Callable[[int | Exception], None]


@dataclass(slots=True)
class _Batch:
    times_us: list[int]
    lines: list[bytes]
    done: Done


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
        self._recover()
        self._thread = threading.Thread(target=self._run, name=f"log-{directory.name}", daemon=True)
        self._thread.start()

    def append(self, times_us: list[int], lines: list[bytes], done: Done) -> None:
        """Ask for records to be kept.

        Args:
            times_us: A time per record.
            lines: The JSON of each record, without line feeds; at least one.
            done: Called once, from another thread, with the number of the first record when all are on disk, or with
                the error when none is kept.

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
            self._pending.append(_Batch(times_us, lines, done))
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
        if len(batches) == 1:
            times_us, lines = batches[0].times_us, batches[0].lines
        else:
            times_us = [time_us for batch in batches for time_us in batch.times_us]
            lines = [line for batch in batches for line in batch.lines]
        data = b"".join(self._encoder.split(self._next, times_us, lines))
        at = self._size
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, at)
            view, at = view[written:], at + written
        os.fdatasync(self._fd)
        first, self._size, self._next = self._next, at, self._next + len(lines)
        return first

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
        end, damaged = FILE_HEADER.size, 0
        for found in frames(fd, verify=True, expect=segment.first):
            if isinstance(found, FrameHeader):
                end, self._next = found.end, found.until
            else:
                damaged += 1
                log.error("%s: bytes %d to %d are damaged and skipped", segment.data, found.start, found.end)
        if end < size:
            self._cut_tail(segment, fd, end, size)
        self._fd, self._size = fd, end

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
