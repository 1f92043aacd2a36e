"""Files that a newer klomp wrote: each carries its format's version, and one that we do not know is refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from struct import Struct
from typing import NamedTuple

import orjson

from storage.catalog import CATALOG_VERSION, META_VERSION
from storage.checked import checksum_holds
from storage.errors import FormatUnknown
from storage.format import FILE_HEADER, FORMAT_VERSION, is_newer_version
from storage.migrations import MIGRATIONS
from storage.paths import DataDirectory, StreamDirectory

SQLITE_MAGIC = b"SQLite format 3\0"
SQLITE_HEADER = Struct(">60xi36x")  # of 100 bytes; user_version stands at 60
assert SQLITE_HEADER.size == 100

HINT = "use the klomp that wrote it, or a newer one"


class UnknownVersion(NamedTuple):
    """A file of a version that is not ours."""

    path: Path
    found: int
    known: int

    @property
    def message(self) -> str:
        """What is wrong, without the file's name."""
        return f"it has format version {self.found}, this klomp knows version {self.known}"


def unknown_versions(directory: StreamDirectory) -> Iterator[UnknownVersion]:
    """The files of a stream whose version we do not know."""
    yield from _document(directory.catalog, CATALOG_VERSION)
    for first, generation in directory.segment_folders():
        segment = directory.segment(first, generation)
        yield from _data_file(segment.data)
        yield from _document(segment.meta, META_VERSION)


def unknown_metadata_version(data: DataDirectory) -> UnknownVersion | None:
    """The metadata of a store, where their version is one that we do not know."""
    # Read from the file's own header, https://www.sqlite.org/fileformat.html: to open it would make files beside it.
    try:
        with data.metadata.open("rb") as file:
            header = file.read(SQLITE_HEADER.size)
    except FileNotFoundError:
        return None
    if len(header) < SQLITE_HEADER.size or not header.startswith(SQLITE_MAGIC):
        return None  # damaged, which is another matter
    (found,) = SQLITE_HEADER.unpack(header)
    return UnknownVersion(data.metadata, found, len(MIGRATIONS)) if found > len(MIGRATIONS) else None


def refuse_unknown_versions(data: DataDirectory) -> None:
    """Make sure that every file of a store can be read by this program.

    Raises:
        FormatUnknown: one can't, with its name and version.
    """
    metadata = unknown_metadata_version(data)
    found = [metadata] if metadata is not None else []
    for unknown in chain(found, *(unknown_versions(data.stream(name)) for name in data.stream_names())):
        raise FormatUnknown(f"{unknown.path}: {unknown.message}", HINT)


def _document(path: Path, known: int) -> Iterator[UnknownVersion]:
    try:
        data = path.read_bytes()
        version = orjson.loads(data).get("version") if checksum_holds(data) else known
    except (OSError, orjson.JSONDecodeError):
        return  # gone, damaged or not ours to read, which is another matter
    if version != known and isinstance(version, int):
        yield UnknownVersion(path, version, known)


def _data_file(path: Path) -> Iterator[UnknownVersion]:
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return  # as above
    try:
        header = os.pread(fd, FILE_HEADER.size, 0)
    except OSError:
        return
    finally:
        os.close(fd)
    version = is_newer_version(header)
    if version is not None:
        yield UnknownVersion(path, version, FORMAT_VERSION)
