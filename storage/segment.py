"""Sealed segments: their `meta.json`, the checksums in it, and how the live ones are told from the folders alone.

`meta.json` is a catalog entry and, beside it, length and crc32 of every file of the segment, and its own checksum in
front (`storage/checked.py`):

    {"crc32": …, "version": 1, "entry": {…}, "files": {"data.log": [length, crc32], "index/….term": [length, crc32], …}}
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.catalog import META_VERSION, SegmentEntry
from storage.checked import add_checksum, checksum_holds
from storage.format import FILE_HEADER, FrameHeader, file_header
from storage.paths import SegmentDirectory, StreamDirectory, sync_directory, write_atomically
from storage.scan import frames
from storage.view import fields_are_ours, read_meta, segment_ids

log = logging.getLogger(__name__)

CHECKSUM_READ_BYTES = 1 << 20
# What the engine keeps beside the files of its segments and rewrites as it likes.
_UNCHECKED = frozenset({".managed.json", ".tantivy-writer.lock", ".tantivy-meta.lock"})


class SegmentMeta(BaseModel):
    """A sealed segment's `meta.json`."""

    model_config = ConfigDict(frozen=True)

    version: int = META_VERSION
    entry: SegmentEntry
    files: dict[str, tuple[int, int]]


def seal(segment: SegmentDirectory, entry: SegmentEntry) -> None:
    """Write down, durably, what a segment is and the checksums of its files."""
    files = {name: checksum(segment.root / name) for name in file_names(segment)}
    meta = SegmentMeta(entry=entry, files=files)
    write_atomically(segment.meta, add_checksum(meta.model_dump_json().encode()), durable=True)
    sync_directory(segment.root.parent)


def file_names(segment: SegmentDirectory) -> list[str]:
    """The files that a sealed segment consists of, by their path in it."""
    index = sorted(e.name for e in os.scandir(segment.index) if e.is_file() and e.name not in _UNCHECKED)
    return [segment.data.name, *(f"{segment.index.name}/{name}" for name in index)]


def checksum(path: Path) -> tuple[int, int]:
    """Length and crc32 of a file."""
    size = crc = 0
    with path.open("rb") as data:
        while chunk := data.read(CHECKSUM_READ_BYTES):
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
    return size, crc


def load_meta(segment: SegmentDirectory) -> SegmentMeta | None:
    """What a sealed segment says of itself; None when it is not sealed, or its word can't be read."""
    try:
        data = segment.meta.read_bytes()
        meta = SegmentMeta.model_validate_json(data) if checksum_holds(data) else None
    except (OSError, ValidationError):
        return None
    return meta if meta is not None and meta.version == META_VERSION else None


def begin_lost(segment: SegmentDirectory) -> bool:
    """Put an empty data file in the place of one that is gone, or has not even a header; whether it was.

    What was in it is counted as damage when its index is made anew.
    """
    try:
        if segment.data.stat().st_size >= FILE_HEADER.size:
            return False
    except FileNotFoundError:
        segment.root.mkdir(parents=True, exist_ok=True)
    log.error("%s is gone: what was in it is lost", segment.data)
    fd = os.open(
        segment.data, os.O_WRONLY | os.O_CREAT, 0o644
    )  # never cut: its writer may begin it now as well
    try:
        os.pwrite(fd, file_header(), 0)
    finally:
        os.close(fd)
    return True


def index_is_usable(segment: SegmentDirectory) -> bool:
    """Whether all files of a sealed segment's index are there, at their length. Reads none but the engine's list."""
    meta = load_meta(segment)
    if meta is None or not can_be_shown(segment):
        return False
    for name, (size, _) in meta.files.items():
        path = segment.root / name
        if path != segment.data and (not path.exists() or path.stat().st_size != size):
            return False
    return True


def can_be_shown(segment: SegmentDirectory) -> bool:
    """Whether the engine's list of an index's segments can be read, has our fields, and what it lists is there."""
    try:
        meta = read_meta(segment.index)
        names = {name.replace("-", "") for name in segment_ids(meta)}
        if not fields_are_ours(meta):
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return all((segment.index / f"{name}.idx").exists() for name in names)


def recover_entries(directory: StreamDirectory) -> list[SegmentEntry]:
    """The sealed segments of a stream whose catalog is lost, from their folders.

    A segment that replaced others has their numbers: it counts, and they do not.
    """
    found: list[SegmentEntry] = []
    folders = directory.segment_folders()
    newest = max((first for first, generation in folders if not generation), default=0)
    for segment, generation in _newest_first(directory):
        meta = load_meta(segment)
        if meta is not None and (not generation or _data_is_there(segment, meta)):
            entry = meta.entry
        elif generation:
            if [first for first, _ in folders].count(segment.first) > 1:
                continue  # a replacement that was never finished: what it should replace is there
            until = _read_until(segment)
            entry = SegmentEntry(
                first=segment.first, until=until, sealed=True, generation=generation, rebuilding=True
            )
        elif segment.first >= newest:
            continue  # it is still written to, or came into being just now
        else:
            following = min(first for first, _ in folders if first > segment.first)
            entry = SegmentEntry(first=segment.first, until=following, sealed=True, rebuilding=True)
        if not any(other.first < entry.until and entry.first < other.until for other in found):
            found.append(entry)
    found.sort(key=lambda entry: entry.first)
    while found and found[-1].rebuilding and not found[-1].generation:
        found.pop()  # nothing sealed stands behind: it was never indexed to its end, and the indexer takes it up
    return found


def _data_is_there(segment: SegmentDirectory, meta: SegmentMeta) -> bool:
    """Whether the data file has the length that it was sealed with."""
    try:
        return segment.data.stat().st_size == meta.files[segment.data.name][0]
    except (FileNotFoundError, KeyError):
        return False


def _read_until(segment: SegmentDirectory) -> int:
    """The number after the last record of a data file that lost everything that was said about it."""
    until = segment.first
    try:
        fd = os.open(segment.data, os.O_RDONLY)
    except FileNotFoundError:
        return until
    try:
        for found in frames(fd, verify=False, expect=segment.first):
            if isinstance(found, FrameHeader):
                until = found.until
    finally:
        os.close(fd)
    return until


def _newest_first(directory: StreamDirectory) -> Iterator[tuple[SegmentDirectory, int]]:
    """Segment folders, the latest replacement of all first."""
    for first, generation in sorted(directory.segment_folders(), key=lambda name: (-name[1], name[0])):
        yield directory.segment(first, generation), generation
