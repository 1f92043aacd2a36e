"""A backup that is one file: a tar archive of its folder, perhaps packed with zstd. The manifest is its last file."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import zstandard

from storage.manifest import MANIFEST, README, Manifest

ARCHIVE_LEVEL = 1  # what is in it is packed already


def is_archive(path: Path) -> bool:
    """Whether a backup of this name is one file."""
    return path.name.endswith((".tar", ".tar.zst"))


def write_archive(file: IO[bytes], folder: Path, manifest: Manifest, *, packed: bool) -> None:
    """Write a whole backup that is a folder as one file."""
    if packed:
        packer = zstandard.ZstdCompressor(level=ARCHIVE_LEVEL).stream_writer(file, closefd=False)
        with packer, tarfile.open(fileobj=packer, mode="w|") as archive:
            _add_all(archive, folder, manifest)
    else:
        with tarfile.open(fileobj=file, mode="w|") as archive:
            _add_all(archive, folder, manifest)


def _add_all(archive: tarfile.TarFile, folder: Path, manifest: Manifest) -> None:
    for name in (README, *(stored.place for stored in manifest.files), MANIFEST):
        path = folder / name
        about = tarfile.TarInfo(name)
        about.size, about.mtime, about.mode = path.stat().st_size, int(path.stat().st_mtime), 0o644
        with path.open("rb") as content:
            archive.addfile(about, content)


def is_backup(path: Path) -> bool:
    """Whether a file is an archive of ours."""
    try:
        with open_archive(path) as archive:
            first = archive.next()
            return first is not None and first.name == README
    except (tarfile.TarError, zstandard.ZstdError, OSError):
        return False


@contextmanager
def open_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """A backup that is one file, to be read from its beginning to its end."""
    with path.open("rb") as file:
        if path.name.endswith(".zst"):
            with (
                zstandard.ZstdDecompressor().stream_reader(file) as unpacked,
                tarfile.open(fileobj=unpacked, mode="r|") as archive,
            ):
                yield archive
        else:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                yield archive
