"""The views that one reader makes for itself: `views/<process>.<random>/`, locked while it lives.

A folder is made anew by each reader and never taken over. So what a loss of power left of one, or a process that died,
is in nobody's way, whoever gets its number next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from storage.paths import DataDirectory
from storage.view import index_segment_of

MAKE_TRIES = 20  # a folder may be taken for one that was left, between being made and being locked


class OwnViews:
    """The folder of one reader; made when the first view is.

    Args:
        views: Where all readers have theirs.
    """

    def __init__(self, views: Path) -> None:
        self._views = views
        self._root: Path | None = None
        self._fd = -1

    def folder(self, name: str) -> Path:
        """Where a view of this name lies."""
        if self._root is None:
            self._root, self._fd = self._make()
        return self._root / name

    def has(self, path: Path) -> bool:
        """Whether a view is one of these."""
        return self._root is not None and path.is_relative_to(self._root)

    def close(self) -> None:
        """Remove them all."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            os.close(self._fd)
            self._root = None

    def _make(self) -> tuple[Path, int]:
        for _ in range(MAKE_TRIES):
            self._views.mkdir(parents=True, exist_ok=True)
            root = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}.", dir=self._views))
            try:
                fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                if root.is_dir():
                    return root, fd
            except BlockingIOError:
                pass
            os.close(fd)
        raise FileNotFoundError(f"every folder made in {self._views} was taken away")


def remove_stale_views(data: DataDirectory) -> int:
    """Remove the views of readers that have ended: they keep dropped segments on the disk; how many readers."""
    removed = 0
    for folder in _folders(data.views):
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its reader lives
        else:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
        finally:
            os.close(fd)
    return removed


def remove_stale_links(data: DataDirectory) -> int:
    """Take index files out of all readers' views that no stream's own view has any more; how many.

    Whoever has such a file open keeps it until its query is done. Whoever is about to open it makes its view anew. So
    once a segment is out of its stream's view, after this no name below `views/` leads to its bytes.

    Raises:
        OSError: a view cannot be looked into, or a file not removed.
    """
    # These first: whatever is linked into one of them meanwhile is still in the view of its stream.
    linked = [
        path
        for reader in _folders(data.views)
        for view in _folders(reader)
        for path in _files(view)
        if index_segment_of(path.name) is not None
    ]
    if not linked:
        return 0
    live = {path.name for name in data.stream_names() for path in _files(data.stream(name).view)}
    stale = [path for path in linked if path.name not in live]
    # The file that says that all are there goes first: without it the others are linked again where they are wanted.
    for path in sorted(stale, key=lambda path: path.suffix != ".idx"):
        path.unlink(missing_ok=True)
    return len(stale)


def _folders(folder: Path) -> Iterator[Path]:
    try:
        yield from [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from [Path(entry.path) for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return
