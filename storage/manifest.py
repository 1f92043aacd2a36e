"""The manifest of a backup, `manifest.json`: which files it has, with their checksums, and how many records.

It is written last: a folder or an archive without it is no whole backup. It has a checksum of its own in front
(`storage/checked.py`).
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from storage.checked import add_checksum, checksum_holds
from storage.errors import FormatUnknown, StoreError
from storage.paths import write_atomically

MANIFEST_VERSION = 1
MANIFEST = "manifest.json"
README = "KLOMP-BACKUP.txt"
README_TEXT = b"""This is a backup of a klomp data directory, made by `klomp backup`.

    klomp restore THIS --data DIR       puts it back
    klomp restore THIS --verify         reads all of it and compares it with its checksums

Without manifest.json, which is written last, it is not whole.
"""


class BackupError(StoreError):
    """A backup cannot be made, or one that is there cannot be used."""


class BackedUpFile(BaseModel):
    """A file of a backup.

    Attributes:
        path: Where it belongs, from the data directory on.
        size: Its length in bytes.
        crc32: Its checksum.
        stored: Where it lies in the backup, "" for the same path.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    size: int
    crc32: int
    stored: str = ""

    @property
    def place(self) -> str:
        """Where it lies in the backup."""
        return self.stored or self.path


class BackedUpStream(BaseModel):
    """What a backup has of a stream.

    Attributes:
        name: The stream.
        records: How many records.
        until: The number that the next one would have got.
        segments: How many segments.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    records: int
    until: int
    segments: int


class Manifest(BaseModel):
    """What a backup has.

    Attributes:
        version: Of this format.
        made_us: When it was begun, microseconds since 1970.
        streams: The streams, by name.
        files: All files, but this one.
        lost: What the store had lost already, or the disk could not read, one sentence each.
    """

    model_config = ConfigDict(frozen=True)

    version: int = MANIFEST_VERSION
    made_us: int
    streams: tuple[BackedUpStream, ...]
    files: tuple[BackedUpFile, ...]
    lost: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The bytes of its file."""
        return add_checksum(self.model_dump_json().encode())

    def save(self, folder: Path) -> None:
        """Put it into a folder, durably, in place of the one before."""
        write_atomically(folder / MANIFEST, self.to_bytes(), durable=True)


def read_manifest(data: bytes) -> Manifest:
    """The manifest of these bytes.

    Raises:
        FormatUnknown: a newer klomp wrote it.
        BackupError: they are not as they were written.
    """
    try:
        if not checksum_holds(data):
            raise BackupError(f"{MANIFEST} is damaged")
        version = orjson.loads(data).get("version")
        if version != MANIFEST_VERSION:
            raise FormatUnknown(
                f"{MANIFEST} has format version {version}, this klomp knows version {MANIFEST_VERSION}",
                "use the klomp that wrote it, or a newer one",
            )
        manifest = Manifest.model_validate_json(data)
    except (ValidationError, orjson.JSONDecodeError, AttributeError) as error:
        raise BackupError(f"{MANIFEST} is damaged") from error
    for file in manifest.files:
        check_inside(file.path)
        check_inside(file.place)
    return manifest


def load_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none.

    Raises:
        FormatUnknown: a newer klomp wrote it.
        BackupError: it is damaged.
    """
    try:
        return read_manifest((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None


def check_inside(path: str) -> str:
    """A relative path that leads nowhere but down.

    Raises:
        BackupError: it leads elsewhere.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise BackupError(f"the backup names a file outside of itself: {path[:200]!r}")
    return path
