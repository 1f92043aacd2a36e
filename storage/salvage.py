"""What can be read of files on a disk that fails: their bytes but for those that it gives an error for (`EIO`)."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from storage.format import FILE_HEADER, FrameHeader
from storage.paths import SegmentDirectory, StreamDirectory
from storage.scan import frames
from storage.synced import SyncedReader, load_synced
from storage.unreadable import BLOCK_BYTES

COPY_BYTES = 1 << 20


def readable_checksum(path: Path) -> tuple[int, int] | None:
    """Length and crc32 of a file; None where the disk cannot read all of it."""
    size = crc = 0
    with path.open("rb") as file:
        try:
            while piece := os.pread(file.fileno(), COPY_BYTES, size):
                size, crc = size + len(piece), zlib.crc32(piece, crc)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return None
    return size, crc


def copy_readable(
    out: IO[bytes], fd: int, size: int, progress: Callable[[int], None] = lambda _: None
) -> list[tuple[int, int]]:
    """Copy the first bytes of a file, with zeros for what the disk cannot read; where those are.

    Raises:
        FileNotFoundError: it has become shorter meanwhile.
        OSError: the disk of the copy refused.
    """
    unreadable: list[tuple[int, int]] = []
    at, most = 0, COPY_BYTES
    while at < size:
        try:
            piece = os.pread(fd, min(most, size - at), at)
            if not piece:
                raise FileNotFoundError(errno.ENOENT, "it was cut off meanwhile")
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            if most != BLOCK_BYTES - at % BLOCK_BYTES:
                most = BLOCK_BYTES - at % BLOCK_BYTES  # one block after the other, from here on
                continue
            piece = bytes(min(most, size - at))
            begin = unreadable.pop()[0] if unreadable and unreadable[-1][1] == at else at
            unreadable.append((begin, at + len(piece)))
        out.write(piece)
        at += len(piece)
        most = BLOCK_BYTES if most <= BLOCK_BYTES and at % COPY_BYTES else COPY_BYTES
        progress(len(piece))
    return unreadable


def whole_batches(fd: int, first: int, size: int) -> tuple[int, int, int]:
    """Where the last whole batch of a data file's first bytes ends; the number after it; the records until then."""
    end, until, records, pending = FILE_HEADER.size, first, 0, 0
    for found in frames(fd, verify=True, expect=first, size=size):
        if isinstance(found, FrameHeader):
            pending += found.records
            if not found.continues:
                end, until, records = found.end, found.until, records + pending
                pending = 0
    return end, until, records


def synced_end(directory: StreamDirectory, segment: SegmentDirectory, fd: int) -> int:
    """How much of a stream's newest data file is on disk: what stands behind that may be taken back by its writer."""
    try:
        reader = SyncedReader(directory.synced)
    except PermissionError:
        return os.fstat(fd).st_size  # not ours to lock, as a store that is mounted to be read only
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.fstat(fd).st_size
    try:
        end = reader.end(fd, segment.first)
        noted = load_synced(directory.synced)
    except ValueError:
        noted = None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return os.fstat(fd).st_size  # nobody writes, and the disk cannot read all that was written
    finally:
        reader.close()
    # The log may have begun the next segment meanwhile: then all of this one is synced.
    return os.fstat(fd).st_size if noted is not None and noted.first > segment.first else end
