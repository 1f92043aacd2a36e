"""`klomp backup`: all that is stored, consistent, into a folder or an archive, while a server runs or not.

Of each stream the backup has what its catalog says at one moment: the sealed segments, whose files never change, and
the others up to the end of their last whole batch. Metadata is copied first, so that the data is never older than what
they say was done to it.

A folder is incremental. Files of sealed segments are hard links where the file system permits, and what the backup
before has with the same checksum stays. Files that changed get a name of their own beside the old ones; the manifest
is replaced at the end as a whole, and only then what it does not list is removed. So a folder holds the backup before
until the new one is whole.

What the disk cannot read stops nothing: such bytes of data are zeros in the backup, so that all others are where they
were, and are told, also by whoever restores it. An index of which something cannot be read is left out.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from storage.archive import is_archive, is_backup, write_archive
from storage.catalog import Catalog, SegmentEntry, load_catalog
from storage.format import FILE_HEADER, file_header
from storage.manifest import (
    MANIFEST,
    README,
    README_TEXT,
    BackedUpFile,
    BackedUpStream,
    BackupError,
    Manifest,
    load_manifest,
)
from storage.paths import DataDirectory, SegmentDirectory, StreamDirectory, sync_directory
from storage.salvage import copy_readable, readable_checksum, synced_end, whole_batches
from storage.segment import SegmentMeta, checksum, load_meta, recover_entries
from storage.versions import refuse_unknown_versions

STREAM_TRIES = 20  # a segment may be dropped or replaced while it is copied; then the stream is begun again
COPY_BYTES = 1 << 20
STRETCHES_SHOWN = 20  # unreadable ones of a file
STAGING = "backup.new"  # where an archive is put together: links beside the data, removed at the end
NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES})

Progress = Callable[[int], None]
"""Told of bytes that were read."""

Sum = tuple[int, int]
"""Length and crc32 of a file."""


@dataclass(slots=True)
class Outcome:
    """What a backup did.

    Attributes:
        manifest: What is in the backup.
        linked: Files that are hard links to those of the store.
        copied: Files that were copied.
        kept: Files that the backup before had already.
        copied_bytes: The length of those that were copied.
        problems: What is not as it should be in the store, one sentence each.
    """

    manifest: Manifest
    linked: int = 0
    copied: int = 0
    kept: int = 0
    copied_bytes: int = 0
    problems: list[str] = field(default_factory=list)


def backup(data: DataDirectory, target: Path, now_us: int, *, progress: Progress = lambda _: None) -> Outcome:
    """Make a backup: a `.tar` or `.tar.zst` file, else a folder.

    Raises:
        BackupError: the target is of no use for a backup, or there is nothing to back up.
        FormatUnknown: a newer klomp wrote the store, or the backup that is there.
        OSError: a disk refused. The backup that was there before is as it was.
    """
    refuse_unknown_versions(data)
    if is_archive(target):
        return _archive(data, target, now_us, progress)
    if target.exists() and not target.is_dir():
        raise BackupError(f"{target} is no folder", "name a folder, or a file that ends in .tar or .tar.zst")
    if target.resolve().is_relative_to(data.root.resolve()) or data.root.resolve().is_relative_to(
        target.resolve()
    ):
        raise BackupError(f"{target} and {data.root} lie in each other", "keep backups elsewhere")
    return _Folder(data, target, progress).run(now_us)


def _archive(data: DataDirectory, target: Path, now_us: int, progress: Progress) -> Outcome:
    """Put a backup together beside the data, of links, and write it as one file."""
    if target.exists() and not is_backup(target):
        raise BackupError(f"{target} is there and is no backup", "name another file")
    staging = data.root / STAGING
    with _only_one(data.root):
        shutil.rmtree(staging, ignore_errors=True)  # what a crash left
        try:
            outcome = _Folder(data, staging, progress).run(now_us)
            new = target.with_name(target.name + ".new")
            try:
                with new.open("wb") as file:
                    write_archive(file, staging, outcome.manifest, packed=target.name.endswith(".zst"))
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(target)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
            sync_directory(target.absolute().parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    outcome.copied, outcome.linked = outcome.copied + outcome.linked, 0
    outcome.copied_bytes = sum(file.size for file in outcome.manifest.files)
    return outcome


def remove_staging(data: DataDirectory) -> bool:
    """Remove the links to old files that an archive in the making left when it died; whether there are none any more.

    One that is being made now needs them still.
    """
    staging = data.root / STAGING
    if not staging.exists():
        return True
    try:
        with _only_one(data.root):
            shutil.rmtree(staging, ignore_errors=True)
    except BackupError:
        return False
    return not staging.exists()


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError("another backup is being made there", "wait for its end") from error
        yield
    finally:
        os.close(fd)


class _Folder:
    """One run of a backup into a folder."""

    def __init__(self, data: DataDirectory, target: Path, progress: Progress) -> None:
        self._data = data
        self._target = target
        self._progress = progress
        self._before: dict[str, BackedUpFile] = {}
        self._taken: set[str] = set()  # places that the backup before needs
        self._files: dict[str, BackedUpFile] = {}
        self._folders: set[Path] = set()
        self._outcome = Outcome(Manifest(made_us=0, streams=(), files=()))
        self._lost: list[str] = []

    def run(self, now_us: int) -> Outcome:
        """Make the backup."""
        self._target.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in os.scandir(self._target)}
        if present and not present & {README, MANIFEST}:
            raise BackupError(f"{self._target} is not empty, and no backup", "name another folder")
        (self._target / README).write_bytes(README_TEXT)
        with _only_one(self._target / README):
            before = load_manifest(self._target)
            if before is not None:
                self._before = {file.path: file for file in before.files}
                self._taken = {file.place for file in before.files}
            self._metadata()
            streams = [
                stream for name in self._data.stream_names() if (stream := self._stream(name)) is not None
            ]
            self._sync()
            files = tuple(sorted(self._files.values(), key=lambda file: file.path))
            manifest = Manifest(made_us=now_us, streams=tuple(streams), files=files, lost=tuple(self._lost))
            manifest.save(self._target)
            self._prune()
        self._outcome.manifest = manifest
        return self._outcome

    # -- what there is

    def _metadata(self) -> None:
        source = self._data.metadata
        if not source.exists():
            return
        new = self._target / f"{source.name}.new"
        new.unlink(missing_ok=True)
        try:
            with (
                closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as live,
                closing(sqlite3.connect(new)) as copy,
            ):
                live.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        except sqlite3.DatabaseError as error:
            self._tell_lost(f"{source.name} cannot be read and is not in the backup: {error}")
            new.unlink(missing_ok=True)
            return
        self._take_over(source.name, new)

    def _stream(self, name: str) -> BackedUpStream | None:
        """Back up one stream; None where it was deleted meanwhile."""
        directory = self._data.stream(name)
        for _ in range(STREAM_TRIES):
            files, problems, lost = dict(self._files), len(self._outcome.problems), len(self._lost)
            try:
                catalog = self._catalog(directory)
                stream = self._segments(directory, catalog)
                if catalog is None or self._is_still(directory, catalog):
                    return stream
            except FileNotFoundError:
                pass
            # A segment was dropped or replaced, or all of the stream.
            self._files = files
            del self._outcome.problems[problems:]
            del self._lost[lost:]
            if not directory.root.is_dir():
                return None
        raise BackupError(f"stream {name} changed under every try to copy it", "try again")

    def _catalog(self, directory: StreamDirectory) -> Catalog | None:
        try:
            return load_catalog(directory.catalog)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            name = self._name(directory.catalog)
            self._outcome.problems.append(f"{name} cannot be read and is made anew after a restore")
            return None

    def _tell_lost(self, problem: str) -> None:
        """Tell what is lost for good, now and when the backup is restored."""
        self._outcome.problems.append(problem)
        self._lost.append(problem)

    @staticmethod
    def _is_still(directory: StreamDirectory, catalog: Catalog) -> bool:
        now = load_catalog(directory.catalog)
        return now is not None and now.born_us == catalog.born_us

    def _segments(self, directory: StreamDirectory, catalog: Catalog | None) -> BackedUpStream:
        entries = recover_entries(directory) if catalog is None else catalog.segments
        sealed = [entry for entry in entries if entry.sealed]
        sealed_until = max((max(entry.until, entry.first + 1) for entry in sealed), default=0)
        if catalog is not None:
            sealed_until = max(sealed_until, catalog.sealed_until)
        tail = [first for first in directory.segment_firsts() if first >= sealed_until]
        kept = []
        for entry in sealed:
            try:
                kept.append(self._sealed(directory, entry))
            except FileNotFoundError:
                if not self._is_lost(directory, entry):
                    raise
        records, until = sum(entry.records for entry in kept), max(sealed_until, 1)
        for first in tail:
            more, until = self._unsealed(directory, directory.segment(first), newest=first == tail[-1])
            records += more
        if catalog is not None:
            # Its generation rises all the time, and means nothing to a store that begins with it.
            copy = catalog.model_copy(update={"generation": 0, "segments": tuple(kept)})
            new = self._target / "catalog.json.new"
            copy.save(new)
            self._take_over(self._name(directory.catalog), new)
        return BackedUpStream(
            name=directory.name, records=records, until=until, segments=len(kept) + len(tail)
        )

    def _is_lost(self, directory: StreamDirectory, entry: SegmentEntry) -> bool:
        """Whether a segment is live and yet its data is gone: nothing of it can be backed up."""
        data = directory.segment(entry.first, entry.generation).data
        catalog = load_catalog(directory.catalog)
        if catalog is None or entry not in catalog.segments or data.exists():
            return False
        self._tell_lost(f"{self._name(data)} is gone and not in the backup")
        return True

    def _sealed(self, directory: StreamDirectory, entry: SegmentEntry) -> SegmentEntry:
        """Back up a sealed segment; its entry, as it is true of the backup."""
        segment = directory.segment(entry.first, entry.generation)
        meta = load_meta(segment)
        data = self._link(segment.data, meta.files.get(segment.data.name) if meta else None)
        if meta is not None and data != meta.files.get(segment.data.name):
            self._tell_lost(f"{self._name(segment.data)} is damaged, and so it is in the backup")
        self._aside(segment)
        if meta is not None:
            self._link(segment.meta, None)
            if not entry.rebuilding and self._index(segment, meta):
                return entry
        return entry.model_copy(update={"rebuilding": True})

    def _index(self, segment: SegmentDirectory, meta: SegmentMeta) -> bool:
        """Back up the index of a sealed segment; whether it is as it was sealed. One that is not is left out."""
        before = dict(self._files)
        for name, want in meta.files.items():
            if name != segment.data.name and self._link(segment.root / name, want, derived=True) != want:
                if load_meta(segment) != meta:
                    raise FileNotFoundError(errno.ENOENT, "the index was made anew meanwhile", name)
                self._files = before
                problem = (
                    f"{self._name(segment.root / name)} is damaged; the index is made again after a restore"
                )
                self._outcome.problems.append(problem)
                return False
        return True

    def _unsealed(
        self, directory: StreamDirectory, segment: SegmentDirectory, *, newest: bool
    ) -> tuple[int, int]:
        """Back up a segment that is not sealed, to the end of its last whole batch; its records, and where they end."""
        try:
            fd = os.open(segment.data, os.O_RDONLY)
        except FileNotFoundError:
            if not segment.root.is_dir():
                raise
            self._put_bytes(
                self._name(segment.data), file_header()
            )  # a crash came between the folder and the file
            return 0, segment.first
        try:
            if os.fstat(fd).st_size < FILE_HEADER.size:
                self._put_bytes(self._name(segment.data), file_header())
                return 0, segment.first
            size = synced_end(directory, segment, fd) if newest else os.fstat(fd).st_size
            try:
                end, until, records = whole_batches(fd, segment.first, size)
                self._copy(self._name(segment.data), fd, end)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                until, records = self._unreadable_tail(segment, fd, size)
        finally:
            os.close(fd)
        self._aside(segment)
        return records, until

    def _unreadable_tail(self, segment: SegmentDirectory, fd: int, size: int) -> tuple[int, int]:
        """Back up what can be read of a segment that is not sealed; where its records end, and how many there are."""
        new = self._target / "copy.new"
        with new.open("w+b") as out:
            self._tell_unreadable(self._name(segment.data), copy_readable(out, fd, size, self._progress))
            out.flush()
            end, until, records = whole_batches(out.fileno(), segment.first, size)
            out.truncate(end)
        self._take_over(self._name(segment.data), new)
        return until, records

    def _aside(self, segment: SegmentDirectory) -> None:
        for path in segment.root.glob("damaged-*.bin"):
            self._link(path, None)

    # -- how it gets there

    def _name(self, path: Path) -> str:
        return path.relative_to(self._data.root).as_posix()

    def _is_there(self, name: str, want: Sum) -> bool:
        """Whether the backup before has this file; then it is in this one too."""
        before = self._before.get(name)
        if before is None or (before.size, before.crc32) != want:
            return False
        try:
            if (self._target / before.place).stat().st_size != want[0]:
                return False
        except FileNotFoundError:
            return False
        self._files[name] = before
        self._outcome.kept += 1
        return True

    def _place(self, name: str, crc: int) -> Path:
        """A free place for a new file."""
        place = name if name not in self._taken else f"{name}~{crc:08x}"
        path = self._target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # what an interrupted run left, or what is there and damaged
        folder = path.parent
        while folder != self._target:
            self._folders.add(folder)
            folder = folder.parent
        return path

    def _link(self, source: Path, want: Sum | None, *, derived: bool = False) -> Sum | None:
        """Have a file that does not change; its checksum, which is read unless the backup before has it as wanted.

        What the disk cannot read is told. Of a file that is derived nothing is kept then, and the checksum is None.
        """
        name = self._name(source)
        if want is not None and self._is_there(name, want):
            return want
        new = self._target / "copy.new"
        new.unlink(missing_ok=True)
        try:
            os.link(source, new)
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            found = None
        else:
            found = readable_checksum(new)
        if found is not None:
            self._progress(found[0])
            return self._move_in(name, new, found, linked=True)
        new.unlink(missing_ok=True)  # a link to what cannot be read could not be read either
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return self._copy(name, file.fileno(), size, derived=derived)

    def _copy(self, name: str, fd: int, size: int, *, derived: bool = False) -> Sum | None:
        """Have a copy of the first bytes of a file; its checksum, None for what is derived and cannot be read."""
        new = self._target / "copy.new"
        with new.open("wb") as out:
            unreadable = copy_readable(out, fd, size, self._progress)
        if unreadable and derived:
            new.unlink()
            return None
        self._tell_unreadable(name, unreadable)
        return self._take_over(name, new)

    def _tell_unreadable(self, name: str, unreadable: Sequence[tuple[int, int]]) -> None:
        if unreadable:
            size = sum(end - start for start, end in unreadable)
            shown = ", ".join(f"{start} to {end}" for start, end in unreadable[:STRETCHES_SHOWN])
            more = (
                f" and {len(unreadable) - STRETCHES_SHOWN} more" if len(unreadable) > STRETCHES_SHOWN else ""
            )
            self._tell_lost(
                f"{name}: the disk cannot read {size} bytes of it, at {shown}{more}; they are zeros in the backup"
            )

    def _put_bytes(self, name: str, data: bytes) -> None:
        new = self._target / "copy.new"
        new.write_bytes(data)
        self._take_over(name, new)

    def _take_over(self, name: str, new: Path) -> Sum:
        """Have a file that was made in the target."""
        fd = os.open(new, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        return self._move_in(name, new, checksum(new))

    def _move_in(self, name: str, new: Path, found: Sum, *, linked: bool = False) -> Sum:
        if self._is_there(name, found):
            new.unlink()
            return found
        path = self._place(name, found[1])
        new.replace(path)
        if linked:
            self._outcome.linked += 1
        else:
            self._outcome.copied += 1
            self._outcome.copied_bytes += found[0]
        place = path.relative_to(self._target).as_posix()
        stored = "" if place == name else place
        self._files[name] = BackedUpFile(path=name, size=found[0], crc32=found[1], stored=stored)
        return found

    def _sync(self) -> None:
        for folder in sorted(self._folders, reverse=True):
            sync_directory(folder)
        sync_directory(self._target)

    def _prune(self) -> None:
        """Remove what this backup does not list: files of the one before, and of segments that are gone."""
        wanted = {self._target / file.place for file in self._files.values()}
        wanted |= {self._target / README, self._target / MANIFEST}
        for root, folders, names in os.walk(self._target, topdown=False):
            for name in names:
                path = Path(root, name)
                if path not in wanted:
                    path.unlink()
            for name in folders:
                if not any(os.scandir(Path(root, name))):
                    Path(root, name).rmdir()
