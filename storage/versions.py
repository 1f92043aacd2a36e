"""Files that a newer klomp wrote: each carries its format's version, and one that we do not know is refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from storage.catalog import CATALOG_VERSION
from storage.checked import checksum_holds
from storage.errors import FormatUnknown
from storage.format import FILE_HEADER, FILE_MAGIC, FORMAT_VERSION
from storage.paths import DataDirectory, StreamDirectory
from storage.segment import META_VERSION

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


def refuse_unknown_versions(data: DataDirectory) -> None:
    """Make sure that every file of a store can be read by this program.

    Raises:
        FormatUnknown: one can't, with its name and version.
    """
    for name in data.stream_names():
        for unknown in unknown_versions(data.stream(name)):
            raise FormatUnknown(f"{unknown.path}: {unknown.message}", HINT)


def _document(path: Path, known: int) -> Iterator[UnknownVersion]:
    try:
        data = path.read_bytes()
        version = orjson.loads(data).get("version") if checksum_holds(data) else known
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):
        return
    if version != known and isinstance(version, int):
        yield UnknownVersion(path, version, known)


def _data_file(path: Path) -> Iterator[UnknownVersion]:
    try:
        fd = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        header = os.pread(fd, FILE_HEADER.size, 0)
    finally:
        os.close(fd)
    if len(header) == FILE_HEADER.size:
        magic, version = FILE_HEADER.unpack(header)
        if magic == FILE_MAGIC and version != FORMAT_VERSION:
            yield UnknownVersion(path, version, FORMAT_VERSION)
