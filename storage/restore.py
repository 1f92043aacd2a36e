"""`klomp restore`: a backup read, compared with its checksums, and put back where there is nothing yet.

All of it is read into a folder of its own inside the new data directory first; only when it is whole is it moved to its
place. So a restore that is interrupted leaves nothing that a server would take for a store.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

import zstandard

from storage.archive import open_archive
from storage.errors import FormatUnknown
from storage.manifest import (
    MANIFEST,
    README,
    BackupError,
    Manifest,
    check_inside,
    load_manifest,
    read_manifest,
)
from storage.paths import DataDirectory, sync_directory
from storage.versions import refuse_unknown_versions

STAGING = "restore.new"
COPY_BYTES = 1 << 20
PROBLEMS_SHOWN = 5

Progress = Callable[[int], None]
"""Told of bytes that were read."""

Sums = dict[str, tuple[int, int]]
"""Length and crc32 of what was read, by its place in the backup."""


@dataclass(slots=True)
class Restored:
    """What was read of a backup.

    Attributes:
        manifest: What it says that it has; None where that is lost.
        problems: What is wrong with it, one sentence each.
    """

    manifest: Manifest | None
    problems: list[str] = field(default_factory=list)

    @property
    def lost(self) -> tuple[str, ...]:
        """What was lost before it was made, one sentence each: nothing is wrong with the backup itself."""
        return self.manifest.lost if self.manifest is not None else ()


def verify(source: Path, *, progress: Progress = lambda _: None) -> Restored:
    """Read all of a backup and compare it with its checksums.

    Raises:
        FormatUnknown: a newer klomp wrote it.
        BackupError: it is no backup.
    """
    return _read(source, None, progress)


def restore(
    source: Path, data: DataDirectory, *, allow_damage: bool = False, progress: Progress = lambda _: None
) -> Restored:
    """Make a data directory of a backup.

    Args:
        source: A folder, or a `.tar` or `.tar.zst` file.
        data: Where there is nothing yet.
        allow_damage: Whether to restore what can be read of a backup that is damaged or not whole.
        progress: Told of bytes that were read.

    Raises:
        FormatUnknown: a newer klomp wrote it.
        BackupError: it is no backup, or is damaged; or there is something at the target.
        OSError: a disk refused. There is nothing at the target then.
    """
    root = data.root
    existed = root.exists()
    if existed and (not root.is_dir() or {entry.name for entry in os.scandir(root)} - {STAGING}):
        raise BackupError(f"{root} is not empty", "name a folder that is not there yet, or is empty")
    staging = root / STAGING
    shutil.rmtree(staging, ignore_errors=True)  # what an interrupted one left
    staging.mkdir(parents=True)
    try:
        restored = _read(source, staging, progress)
        if not allow_damage:
            _refuse_damage(source, restored.problems)
        refuse_unknown_versions(DataDirectory(staging))
        _move_up(staging, root)
    except BaseException:
        shutil.rmtree(root if not existed else staging, ignore_errors=True)
        raise
    return restored


def _refuse_damage(source: Path, problems: list[str]) -> None:
    if problems:
        more = len(problems) - PROBLEMS_SHOWN
        shown = "; ".join(problems[:PROBLEMS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise BackupError(
            f"{source} is damaged: {shown}",
            "use another backup, or --allow-damage to restore what is left of this one",
        )


def _read(source: Path, staging: Path | None, progress: Progress) -> Restored:
    """Read a backup, into a folder where there is one, and bring the files there to their places."""
    if source.is_dir():
        restored, sums = _read_folder(source, staging, progress)
    elif source.is_file():
        restored, sums = _read_archive(source, staging, progress)
    else:
        raise BackupError(f"there is no {source}", "name the folder or the file that klomp backup made")
    if restored.manifest is not None:
        restored.problems += _differing(restored.manifest, sums)
    if staging is not None:
        _arrange(staging, restored.manifest, sums)
    return restored


def _read_folder(source: Path, staging: Path | None, progress: Progress) -> tuple[Restored, Sums]:
    if not ((source / README).exists() or (source / MANIFEST).exists()):
        raise BackupError(f"{source} holds no backup", "name the folder or the file that klomp backup made")
    restored = Restored(None)
    try:
        restored.manifest = load_manifest(source)
        if restored.manifest is None:
            restored.problems.append(f"it is not whole: it has no {MANIFEST}")
    except FormatUnknown:
        raise
    except BackupError as error:
        restored.problems.append(error.message)
    sums: Sums = {}
    if restored.manifest is not None:
        places = [file.place for file in restored.manifest.files]
    else:
        found = sorted(path for path in source.rglob("*") if path.is_file())
        places = [path.relative_to(source).as_posix() for path in found]
    for place in places:
        if place in (README, MANIFEST):
            continue
        try:
            with (source / place).open("rb") as file:
                sums[place] = _copy(file, staging, place, progress)
        except FileNotFoundError:
            continue
        except OSError as error:
            restored.problems.append(f"{place} cannot be read: {error.strerror}")
    return restored, sums


def _read_archive(source: Path, staging: Path | None, progress: Progress) -> tuple[Restored, Sums]:
    restored = Restored(None)
    sums: Sums = {}
    first = True
    try:
        with open_archive(source) as archive:
            for member in archive:
                content = _content(archive, member, first=first)
                first = False
                with closing(content):
                    if member.name == MANIFEST:
                        restored.manifest = read_manifest(content.read())
                    elif member.name != README:
                        sums[member.name] = _copy(content, staging, check_inside(member.name), progress)
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        if first:
            raise BackupError(f"{source} is no backup: {error}", "name what klomp backup made") from error
        restored.problems.append(f"it is cut off or damaged: {error}")
    except BackupError as error:
        if first or error.message != f"{MANIFEST} is damaged":
            raise
        restored.problems.append(error.message)
    if restored.manifest is None and not restored.problems:
        restored.problems.append(f"it is not whole: it has no {MANIFEST}")
    return restored, sums


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, *, first: bool) -> IO[bytes]:
    """The bytes of a file in an archive."""
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:
        raise BackupError(f"it has something in it that is no file: {member.name[:200]!r}")
    if first and member.name != README:
        raise BackupError("it is no backup", "name what klomp backup made")
    return content


def _copy(file: IO[bytes], staging: Path | None, place: str, progress: Progress) -> tuple[int, int]:
    """Read a file, and write it where there is a folder for it; its length and checksum."""
    size = crc = 0
    out = None
    if staging is not None:
        path = staging / place
        path.parent.mkdir(parents=True, exist_ok=True)
        out = path.open("wb")
    try:
        while piece := file.read(COPY_BYTES):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
            progress(len(piece))
            if out is not None:
                out.write(piece)
        if out is not None:
            out.flush()
            os.fsync(out.fileno())
    finally:
        if out is not None:
            out.close()
    return size, crc


def _differing(manifest: Manifest, sums: Sums) -> Iterator[str]:
    for file in manifest.files:
        found = sums.get(file.place)
        if found is None:
            yield f"{file.path} is missing"
        elif found != (file.size, file.crc32):
            yield f"{file.path} does not match its checksum"


def _arrange(staging: Path, manifest: Manifest | None, sums: Sums) -> None:
    """Bring what was read to the places where it belongs; leave indexes out that are not whole."""
    if manifest is None:
        for place in sums:
            # A newer file that was put beside the one before: what grows is longer in the newer one.
            path, mark, _ = place.partition("~")
            if mark and (path not in sums or sums[path] < sums[place]):
                (staging / place).replace(staging / path)
            elif mark:
                (staging / place).unlink()
        return
    listed = {file.place for file in manifest.files}
    for place in sums.keys() - listed:
        (staging / place).unlink()
    for file in manifest.files:
        if file.stored and file.place in sums:
            (staging / file.place).replace(staging / file.path)
    for file in manifest.files:
        if sums.get(file.place) != (file.size, file.crc32):
            folder = PurePosixPath(file.path).parent
            if folder.name == "index":
                shutil.rmtree(staging / folder, ignore_errors=True)  # it is made again from the data


def _move_up(staging: Path, root: Path) -> None:
    """Bring a whole store to its place, durably, its streams last."""
    for folder, _, _ in os.walk(staging, topdown=False):
        sync_directory(Path(folder))
    (staging / "streams").mkdir(exist_ok=True)
    for path in sorted(staging.iterdir(), key=lambda path: path.name == "streams"):
        path.rename(root / path.name)
    staging.rmdir()
    sync_directory(root)
    sync_directory(root.absolute().parent)
