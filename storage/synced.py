"""`synced`: how far a stream's newest data file is on disk, said by its writer to whoever reads along.

A file of one entry, overwritten in place; integers are little-endian:

    offset  size  field
    0       4     crc32 (as in zlib) of the rest
    4       4     magic, `KSYN`
    8       8     number of the segment's first record
    16      8     length of its data file that is on disk, all of it acknowledged or about to be
    24      8     number that the next record gets

The writer notes it after every sync and before it tells anyone. It is never synced itself: what a loss of power leaves
of it is behind the data, or no entry at all, and never ahead of it. So whoever reads no further has nothing that the
writer may have to take back.

While it is open the writer holds a lock on it. Where nobody holds that, nothing is being written, and what a writer
would keep (`find_end`) is as good as what it noted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from storage.format import FILE_HEADER, FrameHeader
from storage.scan import frames
from storage.unreadable import pread

SYNCED = struct.Struct("<I4sQQQ")
assert SYNCED.size == 32
SYNCED_MAGIC = b"KSYN"
LOCK_TIMEOUT_S = (
    10.0  # a reader holds the lock while it walks the frame headers of one file, some milliseconds
)
LOCK_POLL_S = 0.002


class Synced(NamedTuple):
    """How far a data file is on disk.

    Attributes:
        first: The number of the segment's first record.
        end: The length of its file that is on disk.
        until: The number that the next record gets.
    """

    first: int
    end: int
    until: int

    def pack(self) -> bytes:
        """Its bytes."""
        rest = SYNCED.pack(0, SYNCED_MAGIC, *self)[4:]
        return struct.pack("<I", zlib.crc32(rest)) + rest


def unpack(data: bytes) -> Synced | None:
    """The entry in these bytes; None where they are none."""
    if len(data) != SYNCED.size:
        return None
    crc, magic, first, end, until = SYNCED.unpack(data)
    return Synced(first, end, until) if magic == SYNCED_MAGIC and crc == zlib.crc32(data[4:]) else None


def load_synced(path: Path) -> Synced | None:
    """What was noted last; None where nothing was.

    Raises:
        ValueError: the file is not as it was written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    found = unpack(data)
    if found is None and data:
        raise ValueError("it is not as it was written")
    return found


class SyncedWriter:
    """The writer's side; holds the lock until it is closed.

    Args:
        path: The file; made where it is not there.

    Raises:
        BlockingIOError: another writer has the log.
        OSError: the disk refused.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline_s = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline_s:
                    os.close(self._fd)
                    raise BlockingIOError(errno.EWOULDBLOCK, "another one writes this log") from error
                time.sleep(LOCK_POLL_S)

    def read(self) -> Synced | None:
        """What was noted last; None for nothing that can be read."""
        return unpack(pread(self._fd, SYNCED.size, 0))

    def note(self, synced: Synced) -> None:
        """Say how far it is; not synced.

        Raises:
            OSError: the disk refused. What was noted before may be there or not.
        """
        os.pwrite(self._fd, synced.pack(), 0)

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._fd)


class SyncedReader:
    """The side of those who read along.

    Args:
        path: The file; made where it is not there.

    Raises:
        FileNotFoundError: there is no such stream.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._alone: tuple[int, int, int] | None = (
            None  # inode, size and end of the file that nobody writes to
        )

    def end(self, data_fd: int, first: int) -> int:
        """How far the newest data file of a stream may be read.

        Args:
            data_fd: The data file, open for reading.
            first: The number of its segment's first record.
        """
        # The length first: what comes in after it is not looked at, whoever begins to write meanwhile.
        size = os.fstat(data_fd).st_size
        synced = unpack(pread(self._fd, SYNCED.size, 0))
        if synced is None or synced.first != first:
            synced = Synced(first, 0, first)
        if synced.end >= size or size <= FILE_HEADER.size:
            return size
        return self._end_alone(data_fd, synced, size)

    def _end_alone(self, data_fd: int, synced: Synced, size: int) -> int:
        """The same, where nobody writes any more; what was noted, where somebody does."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return synced.end
        try:
            inode = os.fstat(data_fd).st_ino
            if self._alone is None or self._alone[:2] != (inode, size):
                # The writer that ended may not have come to it.
                os.fdatasync(data_fd)
                found = find_end(data_fd, synced.until, synced.end, size, synced.end)
                self._alone = inode, size, found.offset
            return self._alone[2]
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


class End(NamedTuple):
    """Where a data file ends that a crash may have cut.

    Attributes:
        offset: After the last whole batch.
        until: The number after its last record.
        damaged: Stretches of bytes before it that are damaged.
    """

    offset: int
    until: int
    damaged: tuple[tuple[int, int], ...]


def find_end(data_fd: int, first: int, synced_end: int, size: int, start: int = 0) -> End:
    """Where the first `size` bytes of a data file end, by reading all of them from a frame's beginning on.

    What no sync is known of may be there in part, and in any order. So behind what was noted the first bytes that are
    no frame end the file, unless a later write begins behind them: then they were synced once, and are damaged.

    Args:
        data_fd: The data file, open for reading.
        first: The number of the first record that can be found.
        synced_end: How far it was said to be synced; 0 where that is not known.
        size: Its length.
        start: Where to begin.
    """
    offset, until = max(start, FILE_HEADER.size), first
    tells = synced_end > 0  # whether the writer of this file marked where its writes begin
    damaged: list[tuple[int, int]] = []
    torn: End | None = None
    for found in frames(data_fd, start, verify=True, expect=first, size=size):
        if not isinstance(found, FrameHeader):
            if torn is None and found.start >= max(synced_end, FILE_HEADER.size):
                torn = End(offset, until, tuple(damaged))
            damaged.append((found.start, found.end))
            continue
        if found.begins:
            tells, torn = True, None
        if not found.continues:
            offset, until = found.end, found.until
    return torn if torn is not None and tells else End(offset, until, tuple(damaged))
