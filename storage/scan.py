"""Walking the frames of a data file: where each record lies, and which bytes no frame accounts for."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storage.errors import FrameDamaged
from storage.format import (
    FILE_HEADER,
    FRAME_HEADER,
    FRAME_MAGIC,
    FrameHeader,
    FrameRecords,
    file_header_is_ours,
    frame_is_valid,
    read_frame_header,
    unpack_frame,
)
from storage.unreadable import pread

SEARCH_BYTES = 1 << 20  # how much is read at a time when looking for the next frame behind damage


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes `[start, end)` of a data file that are no valid frame, though a valid frame follows."""

    start: int
    end: int


def read_frame(fd: int, header: FrameHeader) -> bytes:
    """The bytes of a whole frame; fewer when the file ends before it does, zeros where the disk cannot read it."""
    return pread(fd, header.end - header.offset, header.offset)


def frames(
    fd: int, start: int = 0, *, verify: bool, expect: int = 0, size: int | None = None
) -> Iterator[FrameHeader | Damage]:
    """The frames from byte `start` on, until the bytes that are no frame and have none behind them.

    Args:
        fd: The data file, open for reading.
        start: Where a frame begins; 0 for the first.
        verify: Whether to read every payload and check it. Without it a frame is believed that begins where the one
            before it ends, in bytes and in numbers, and has one behind it that does the same: all that its header says
            of its place is said twice then. What is not believed is read and checked, so that a header that is damaged
            costs the records of its own frame and no others.
        expect: The lowest number that the next frame may begin with.
        size: How much of the file to look at; all of it unless said.
    """
    if size is None:
        size = os.fstat(fd).st_size
    if start == 0:
        start = FILE_HEADER.size
        if size and not file_header_is_ours(pread(fd, min(start, size), 0)):
            yield Damage(0, min(start, size))
    header = _header_at(fd, start, size)
    while start < size:
        ahead = _header_at(fd, header.end, size) if header is not None and not verify else None
        if header is not None and not (_is_chained(header, ahead, expect) or _is_valid(fd, header, expect)):
            header = ahead = None
        if header is None:
            header = _next_frame(fd, start + 1, size, expect)
            if header is None:
                return
            yield Damage(start, header.offset)
        yield header
        start, expect = header.end, header.until
        header = ahead if ahead is not None else _header_at(fd, start, size)


def _is_chained(header: FrameHeader, ahead: FrameHeader | None, expect: int) -> bool:
    """Whether the frames before and behind say the same of a frame's place as its own header."""
    return ahead is not None and header.first == expect and ahead.first == header.until


def _is_valid(fd: int, header: FrameHeader, expect: int) -> bool:
    return header.first >= expect and frame_is_valid(read_frame(fd, header))


def _header_at(fd: int, offset: int, size: int) -> FrameHeader | None:
    """The header of the frame at `offset`, unless the file ends before that does."""
    header = read_frame_header(pread(fd, FRAME_HEADER.size, offset), offset)
    return header if header is not None and header.end <= size else None


def _next_frame(fd: int, start: int, size: int, expect: int) -> FrameHeader | None:
    """The first valid frame at or behind `start`."""
    magic_at = 4  # the magic stands behind the checksum
    while start < size:
        chunk = pread(fd, SEARCH_BYTES + len(FRAME_MAGIC), start)
        found = chunk.find(FRAME_MAGIC)
        while found >= 0:
            offset = start + found - magic_at
            if offset >= FILE_HEADER.size:
                header = _header_at(fd, offset, size)
                if header is not None and _is_valid(fd, header, expect):
                    return header
            found = chunk.find(FRAME_MAGIC, found + 1)
        start += SEARCH_BYTES
    return None


class FrameDirectory:
    """Which frame of a data file holds a number. Grows with the file; reads as far as it is asked for."""

    def __init__(self, fd: int, first: int) -> None:
        self._fd = fd
        self._end = 0
        self._until = first
        self._firsts: list[int] = []
        self._headers: list[FrameHeader] = []

    def find(self, number: int) -> FrameHeader | None:
        """The frame that holds a record that is published, if any does."""
        if number >= self._until:
            self._extend(number)
        at = bisect_right(self._firsts, number) - 1
        if at < 0:
            return None
        header = self._headers[at]
        return header if number < header.until else None

    def _extend(self, number: int) -> None:
        # Not past the frame of a published record: what stands behind it may be taken back by the writer yet.
        for found in frames(self._fd, self._end, verify=False, expect=self._until):
            if not isinstance(found, FrameHeader):
                continue
            if found.first > number:
                break
            self._firsts.append(found.first)
            self._headers.append(found)
            self._end, self._until = found.end, found.until
            if found.until > number:
                break

    def load(self, headers: Sequence[FrameHeader]) -> Iterator[FrameRecords | FrameDamaged]:
        """The records of frames, in their order; of one whose bytes are not what was written, that.

        Args:
            headers: Those that stand one behind the other in the file are read in one go.
        """
        start = 0
        for i, header in enumerate(headers):
            if i + 1 < len(headers) and headers[i + 1].offset == header.end:
                continue
            begin = headers[start].offset
            data = memoryview(os.pread(self._fd, header.end - begin, begin))
            for one in headers[start : i + 1]:
                try:
                    yield unpack_frame(one, data[one.offset - begin : one.end - begin])
                except FrameDamaged as error:
                    yield error
            start = i + 1
