"""Damaged stretches of a data file: copied to `damaged-<start>-<end>.bin` beside it, so that nothing is lost twice."""

from __future__ import annotations

import logging
from pathlib import Path

from storage.paths import SegmentDirectory
from storage.unreadable import pread

log = logging.getLogger(__name__)

COPY_BYTES = 1 << 20


def quarantine(segment: SegmentDirectory, fd: int, start: int, end: int) -> None:
    """Keep bytes `[start, end)` of a segment's data file in a file of their own, once."""
    aside = segment.root / f"damaged-{start}-{end}.bin"
    if aside.exists():
        return
    if start == end:
        log.error("%s ends at byte %d, and records that followed are lost", segment.data, end)
    else:
        log.error("%s: bytes %d to %d are damaged; they are kept in %s", segment.data, start, end, aside.name)
    with aside.open("wb") as out:
        while start < end:
            piece = pread(fd, min(COPY_BYTES, end - start), start)
            if not piece:
                break
            out.write(piece)
            start += len(piece)


def stretches(segment: SegmentDirectory) -> list[tuple[Path, int, int]]:
    """The files of damaged bytes of a segment, and where each stretch begins and ends in the file it was found in."""
    found = []
    for path in sorted(segment.root.glob("damaged-*.bin")):
        _, start, end = path.stem.rsplit("-", 2)
        found.append((path, int(start), int(end)))
    return found


def quarantined(segment: SegmentDirectory) -> list[int]:
    """The lengths of the damaged stretches of a segment that were found so far."""
    return [end - start for _, start, end in stretches(segment)]
