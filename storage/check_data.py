"""One data file, read from end to end: which records it holds, and which of its bytes are not as they were written."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import FrameDamaged
from storage.format import FILE_HEADER, FrameHeader, decode_frame, file_header
from storage.scan import frames, read_frame

Progress = Callable[[int], None]
"""Told how many bytes were read."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes `[start, end)` that are no valid frame, and the numbers `[first, until)` that are missing there."""

    start: int
    end: int
    first: int
    until: int


@dataclass(slots=True)
class DataFile:
    """What stands in a data file.

    Attributes:
        size: Its length when the reading began.
        records_until: The number after the last record of each frame -> how many records there are up to there,
            deleted ones left out. With the segment's first number -> 0.
        until: The number after the last valid frame's last record.
        end: The offset after the last valid frame.
        whole_until: The number after the last record of the last whole batch.
        whole_end: The offset after the last whole batch.
        min_us: The smallest time of a record, None without any.
        max_us: The largest.
        damaged: Stretches that are no frames and have frames behind them.
        missing: Runs of numbers `[first, until)` that no frame has, though nothing between its neighbours is damaged.
        header_differs: Whether bytes of the file header that mean nothing are not zero.
    """

    size: int
    records_until: dict[int, int]
    until: int
    end: int = FILE_HEADER.size
    whole_until: int = 0
    whole_end: int = FILE_HEADER.size
    min_us: int | None = None
    max_us: int | None = None
    damaged: list[Stretch] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)
    header_differs: bool = False

    @property
    def records(self) -> int:
        """All records that are there."""
        return self.records_until[self.until]


def read_data(path: Path, first: int, progress: Progress) -> DataFile:
    """Read all of a segment's data file as it is now.

    Args:
        path: The file.
        first: The number of the segment's first record.
        progress: Told of bytes that were read.

    Raises:
        OSError: it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        return _read(fd, first, progress)
    finally:
        os.close(fd)


def _read(fd: int, first: int, progress: Progress) -> DataFile:
    header = os.pread(fd, FILE_HEADER.size, 0)
    file = DataFile(os.fstat(fd).st_size, {first: 0}, first, whole_until=first)
    file.header_differs = header != file_header()
    damage_start: int | None = None
    for found in frames(fd, verify=True, expect=first):
        if not isinstance(found, FrameHeader):
            if found.start:  # a damaged file header costs no record
                damage_start = found.start
            else:
                file.damaged.append(Stretch(found.start, found.end, first, first))
            continue
        try:
            records = decode_frame(found, read_frame(fd, found))
        except FrameDamaged:
            damage_start = found.offset if damage_start is None else damage_start
            continue
        if damage_start is not None:
            file.damaged.append(Stretch(damage_start, found.offset, file.until, found.first))
            damage_start = None
        elif found.first > file.until:
            file.missing.append((file.until, found.first))
        _take(file, found, [t for t, line in zip(records.times_us, records.lines, strict=True) if line])
        progress(found.end - found.offset)
    return file


def _take(file: DataFile, header: FrameHeader, live_us: list[int]) -> None:
    """Count a frame whose records have these times."""
    file.records_until[header.until] = file.records + len(live_us)
    file.until, file.end = header.until, header.end
    if live_us:
        low, high = min(live_us), max(live_us)
        file.min_us = low if file.min_us is None else min(file.min_us, low)
        file.max_us = high if file.max_us is None else max(file.max_us, high)
    if not header.continues:
        file.whole_until, file.whole_end = header.until, header.end
