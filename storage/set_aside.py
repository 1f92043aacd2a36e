"""All that is damaged of a data file found again and set aside, after it had been read once and was whole then."""

from __future__ import annotations

import os

from storage.errors import FrameDamaged
from storage.format import FrameHeader, decode_frame, frame_is_valid
from storage.paths import SegmentDirectory
from storage.quarantine import quarantine
from storage.scan import frames, read_frame


def set_aside(segment: SegmentDirectory, until: int, *, unpacked: bool = True) -> list[tuple[int, int]]:
    """Keep what is damaged of a data file in files of their own, as the indexer does; which stretches.

    Args:
        segment: The segment.
        until: The number after its last record.
        unpacked: Whether to see as well that each frame holds what it promises; else its checksum is believed.
    """
    damaged: list[tuple[int, int]] = []
    fd = os.open(segment.data, os.O_RDONLY)
    try:
        end, reached = 0, segment.first
        for found in frames(fd, verify=False, expect=segment.first):
            if not isinstance(found, FrameHeader):
                damaged.append((found.start, found.end))
                end = found.end
                continue
            if not _is_whole(found, read_frame(fd, found), unpacked=unpacked):
                damaged.append((found.offset, found.end))
            end, reached = found.end, found.until
        size = os.fstat(fd).st_size
        if reached < until:
            damaged.append((end, size))
        for start, stop in damaged:
            quarantine(segment, fd, start, stop)
    finally:
        os.close(fd)
    return damaged


def _is_whole(header: FrameHeader, frame: bytes, *, unpacked: bool) -> bool:
    if not unpacked:
        return len(frame) == header.end - header.offset and frame_is_valid(frame)
    try:
        decode_frame(header, frame)
    except FrameDamaged:
        return False
    return True
