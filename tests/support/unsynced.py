"""Loss of power, simulated: what a disk may have of a folder at any instant, when only what was synced is sure.

A `Recorder` watches the calls that storage makes below a folder. After each it notes what is there, and what of it is
durable: the bytes that a file had at its last fsync or fdatasync, the names that a directory had at its last fsync.
A crash may then leave, of every file that changed since, the old bytes, the new ones, those of a moment between, or a
mix of both by blocks, cut anywhere; and of every name that changed since, the old or the new, each by itself. POSIX
promises no more. File systems that keep the order of names, such as ext4 and xfs, leave a part of these outcomes.

Two things are believed instead: that an inode's number is not used again while we look (so it needs a tmpfs), and that
the engine, which writes and syncs the files and the folder of an index by itself, does so.
"""

from __future__ import annotations

import builtins
import io
import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BLOCK_BYTES = 4096  # what a disk is written by: of unsynced bytes, each block may be there or not
SMALL_BYTES = 512  # files so small are kept in every version since their last sync
ENGINE_FOLDERS = frozenset({"index", "index.new"})

Entries = dict[str, int]
"""The names in a directory -> inode."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment at which the power may go.

    Attributes:
        after: The call that had just returned.
        entries: What is in each directory, by its inode.
        contents: The bytes of each file, by its inode.
        durable_entries: What was in each directory when it was synced last.
        durable: The bytes of each file when it was synced last.
        versions: Other bytes that small files had since.
        note: What the recorder's owner knows at this moment.
    """

    after: str
    root: int
    entries: dict[int, Entries]
    contents: dict[int, bytes]
    durable_entries: dict[int, Entries]
    durable: dict[int, bytes]
    versions: dict[int, tuple[bytes, ...]]
    note: Any


@dataclass(slots=True)
class Recorder:
    """Notes an instant after every call that changes something below `root`.

    Attributes:
        root: The folder; its name and what is in it at the beginning are durable.
        note: What to note beside each instant.
    """

    root: Path
    note: Callable[[], Any]
    instants: list[Instant] = field(default_factory=list)
    _durable: dict[int, bytes] = field(default_factory=dict)
    _durable_entries: dict[int, Entries] = field(default_factory=dict)
    _versions: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    _engine: dict[int, bytes] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _looking: bool = False

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Watch what is done meanwhile, by all threads."""
        entries, contents = self._look()
        self._durable_entries = entries
        self._durable = dict(contents)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("write", "pwrite", "ftruncate"):
                patch.setattr(os, name, self._after(name, getattr(os, name), self._wrote))
            for name in ("replace", "rename", "mkdir", "link", "unlink", "rmdir"):
                patch.setattr(os, name, self._after(name, getattr(os, name), None))
            for name in ("fsync", "fdatasync"):
                patch.setattr(os, name, self._after(name, getattr(os, name), self._synced))
            # Files that are opened by name write past `os`: have them write through it.
            patch.setattr(io, "open", self._opening(io.open))
            patch.setattr(builtins, "open", self._opening(builtins.open))
            patch.setattr("shutil._USE_CP_SENDFILE", False)
            yield

    def _after(self, name: str, real: Callable[..., Any], told: Callable[[int], None] | None) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                result = real(*args, **options)
                if not self._looking and self._is_ours(args[0], options):
                    if told is not None:
                        told(args[0])
                    self._take(f"{name} {self._name(args[0])}")
            return result

        return call

    def _opening(self, real: Callable[..., Any]) -> Any:
        def opening(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if mode != "wb" or not self._is_ours(file, {}):
                return real(file, mode, *args, **options)
            raw = _Raw(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644))
            return io.BufferedWriter(raw)

        return opening

    def _is_ours(self, what: Any, options: dict[str, Any]) -> bool:
        return options.get("dir_fd") is not None or self._name(what).startswith(f"{self.root}")

    @staticmethod
    def _name(what: Any) -> str:
        return str(Path(f"/proc/self/fd/{what}").readlink()) if isinstance(what, int) else os.fspath(what)

    def _wrote(self, fd: int) -> None:
        found = os.fstat(fd)
        if found.st_size <= SMALL_BYTES:
            self._versions[found.st_ino] = (
                *self._versions.get(found.st_ino, ()),
                Path(f"/proc/self/fd/{fd}").read_bytes(),
            )

    def _synced(self, fd: int) -> None:
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            self._durable_entries[found.st_ino] = {e.name: e.inode() for e in os.scandir(fd)}
        else:
            self._durable[found.st_ino] = Path(f"/proc/self/fd/{fd}").read_bytes()
            self._versions.pop(found.st_ino, None)

    def _take(self, after: str) -> None:
        self._looking = True
        try:
            entries, contents = self._look()
            durable = {**self._engine, **self._durable}
            self.instants.append(
                Instant(
                    after,
                    self.root.stat().st_ino,
                    entries,
                    contents,
                    dict(self._durable_entries),
                    durable,
                    dict(self._versions),
                    self.note(),
                )
            )
        finally:
            self._looking = False

    def _look(self) -> tuple[dict[int, Entries], dict[int, bytes]]:
        """All directories and files that are there now."""
        entries: dict[int, Entries] = {}
        contents: dict[int, bytes] = {}
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            try:
                found = list(os.scandir(folder))
                number = folder.stat().st_ino
                entries[number] = {e.name: e.inode() for e in found}
                if folder.name in ENGINE_FOLDERS:
                    self._durable_entries[number] = entries[number]
            except FileNotFoundError:
                continue  # the engine's threads tidy up meanwhile
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    self._read(folder, entry, contents)
        return entries, contents

    def _read(self, folder: Path, entry: os.DirEntry[str], contents: dict[int, bytes]) -> None:
        number = entry.inode()
        try:
            contents[number] = Path(entry.path).read_bytes()
        except FileNotFoundError:
            return
        if folder.name in ENGINE_FOLDERS:
            self._engine[number] = contents[number]


class _Raw(io.RawIOBase):
    """A file that is written through `os.write`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any) -> int:
        return os.write(self._fd, data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


@dataclass(frozen=True, slots=True)
class Loss:
    """What is lost of what was not synced.

    Attributes:
        names: The share of changed names that are lost.
        bytes: The share of changed files that are not as they were at the crash.
        seed: Of the choice.
    """

    names: float
    bytes: float
    seed: int


def leave(instant: Instant, loss: Loss, target: Path) -> None:
    """Make `target`, a folder that is not there, what a loss of power left of an instant."""
    _Leaving(instant, loss, random.Random(loss.seed)).folder(instant.root, target)  # no secret


class _Leaving:
    def __init__(self, instant: Instant, loss: Loss, choose: random.Random) -> None:
        self._instant = instant
        self._loss = loss
        self._choose = choose
        self._files: dict[int, Path] = {}  # hard links stay links

    def folder(self, number: int, target: Path) -> None:
        target.mkdir()
        old = self._instant.durable_entries.get(number, {})
        new = self._instant.entries.get(number, {})
        for name in sorted(old.keys() | new.keys()):
            lost = self._choose.random() < self._loss.names
            found = old.get(name) if lost else new.get(name)
            if found is None:
                continue
            if found in self._instant.entries or found in self._instant.durable_entries:
                self.folder(found, target / name)
            else:
                self._file(found, target / name)

    def _file(self, number: int, target: Path) -> None:
        if number in self._files:
            os.link(self._files[number], target)
            return
        self._files[number] = target
        target.write_bytes(self._bytes(number))

    def _bytes(self, number: int) -> bytes:
        old = self._instant.durable.get(number, b"")
        new = self._instant.contents.get(number, old)  # not there: its name is gone, and not durably
        if old == new or self._choose.random() >= self._loss.bytes:
            return new
        versions = self._instant.versions.get(number, ())
        if versions and self._choose.random() < 0.5:
            return self._choose.choice(versions)
        if self._choose.random() < 0.3:
            return old
        mixed = bytearray(max(len(old), len(new)))
        for at in range(0, len(mixed), BLOCK_BYTES):
            one = old if self._choose.random() < 0.5 else new
            piece = one[at : at + BLOCK_BYTES]
            mixed[at : at + len(piece)] = piece
        # Where both agree there is nothing to lose; its length is that of any moment between.
        kept = next(
            (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
        )
        mixed[:kept] = new[:kept]
        return bytes(mixed[: self._choose.randint(kept, len(mixed))])
