"""Where everything lies under the data directory.

DATA/klomp.lock                                    held by the running server
DATA/klomp.db                                      what is set, and which jobs ran
DATA/trash/<stream>.<microsecond>/                 streams that were deleted, until they are gone
DATA/views/<process>.<random>/                     views over several streams, made by one reader for itself
DATA/streams/<stream>/catalog.json                 the live segments and how far the index reaches
DATA/streams/<stream>/synced                       how far its newest data file is on disk
DATA/streams/<stream>/view/                        hard links: one index over all live segments
DATA/streams/<stream>/segments/<first-number>/     data.log, index/, meta.json once sealed
DATA/streams/<stream>/dropped/                     segments that are not live any more, until they are gone
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from storage.errors import BadStreamName

STREAM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")
STREAM_NAME_RULE = (
    "1 to 100 of the letters a-z A-Z, digits, '_', '.' and '-', the first a letter, a digit or '_'"
)
SEGMENT_NAME = re.compile(r"(\d{20})(?:\.([1-9]\d{0,8}))?\Z", re.ASCII)
SEGMENT_NAME_DIGITS = 20  # a 64-bit number, so that names sort as numbers do


def check_stream_name(name: str) -> str:
    """The name itself, when a stream may be called that.

    Raises:
        BadStreamName: it may not.
    """
    if not STREAM_NAME.match(name):
        raise BadStreamName(f"{name[:120]!r} is no name for a stream", f"use {STREAM_NAME_RULE}")
    return name


class DataDirectory:
    """The folders of one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.streams = root / "streams"
        self.lock = root / "klomp.lock"
        self.metadata = root / "klomp.db"
        self.trash = root / "trash"
        self.views = root / "views"

    def stream(self, name: str) -> StreamDirectory:
        """The folders of the stream `name`, a checked name."""
        return StreamDirectory(self.streams / name)

    def stream_names(self) -> list[str]:
        """The streams that exist, by name."""
        try:
            return sorted(
                e.name for e in os.scandir(self.streams) if e.is_dir() and STREAM_NAME.match(e.name)
            )
        except FileNotFoundError:
            return []


class StreamDirectory:
    """The folders of one stream."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = root.name
        self.catalog = root / "catalog.json"
        self.synced = root / "synced"
        self.view = root / "view"
        self.segments = root / "segments"
        self.dropped = root / "dropped"

    def segment(self, first: int, generation: int = 0) -> SegmentDirectory:
        """The folder of the segment whose first record has this number."""
        suffix = f".{generation}" if generation else ""
        return SegmentDirectory(self.segments / f"{first:0{SEGMENT_NAME_DIGITS}d}{suffix}")

    def segment_folders(self) -> list[tuple[int, int]]:
        """First number and generation of all segment folders, rising."""
        try:
            found = [SEGMENT_NAME.match(e.name) for e in os.scandir(self.segments) if e.is_dir()]
        except FileNotFoundError:
            return []
        return sorted((int(name[1]), int(name[2] or 0)) for name in found if name)

    def segment_firsts(self) -> list[int]:
        """The first numbers of all segments as they were written, rising."""
        return [first for first, generation in self.segment_folders() if not generation]


class SegmentDirectory:
    """The files of one segment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.first = int(root.name.partition(".")[0])
        self.data = root / "data.log"
        self.index = root / "index"
        self.new_index = root / "index.new"
        self.meta = root / "meta.json"


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_durably(folder: Path) -> None:
    """Make a folder, and those above it that are not there, so that they survive a loss of power."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def write_atomically(path: Path, data: bytes, *, durable: bool) -> None:
    """Replace a file as a whole: a reader sees the old bytes or the new ones.

    Args:
        path: The file.
        data: Its new bytes.
        durable: Whether to wait until it survives a loss of power.
    """
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fdatasync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)
    if durable:
        sync_directory(path.parent)
