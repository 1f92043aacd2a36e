"""Publication: the one way in which a stream's catalog and view change.

Several processes change what is live: the indexer adds what is new, retention drops, compaction and deletion replace.
Each does it as an edit, a function from the catalog that is to the catalog that shall be, under a lock. The view is
made first and the catalog last, so that a reader who sees a catalog finds at least what it promises.

A stream may be deleted meanwhile, and another one of its name come into being: its folder is moved away under the same
lock. Whoever works in a folder for longer than an edit has a `Hold` on it, by which it learns of that; the new stream
waits until all have let go.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.catalog import Catalog, SegmentEntry, load_catalog
from storage.errors import UnknownStream
from storage.paths import StreamDirectory
from storage.segment import index_is_usable, recover_entries
from storage.view import publish, read_meta, segment_ids

PUBLISH_TRIES = 20  # a merge may take files away between reading their list and linking them
PUBLISH_RETRY_S = 0.005
HOLD_POLL_S = 0.005

Edit = Callable[[Catalog], Catalog]


def edit(directory: StreamDirectory, change: Edit, *, durable: bool = False, relink: bool = False) -> Catalog:
    """Change a stream's catalog; the catalog that was published.

    Args:
        directory: The stream.
        change: From the catalog that is to the one that shall be. May run more than once.
        durable: Whether a loss of power must not undo it: where what it takes out must never come back.
        relink: Whether the view may have lost some of its links, as in a loss of power.

    Raises:
        UnknownStream: there is no such stream any more.
    """
    with locked(directory):
        return edit_locked(directory, change, durable=durable, relink=relink)


def edit_locked(
    directory: StreamDirectory, change: Edit, *, durable: bool = False, relink: bool = False
) -> Catalog:
    """The same for one who has the lock."""
    catalog = live_catalog(directory)
    for attempt in range(PUBLISH_TRIES):
        changed = change(catalog)
        try:
            published = _publish(directory, changed, catalog.generation + 1, relink=relink)
        except FileNotFoundError:
            if attempt == PUBLISH_TRIES - 1:
                raise
            time.sleep(PUBLISH_RETRY_S)
        else:
            published.save(directory.catalog, durable=durable)
            return published
    raise AssertionError("unreachable")


def live_catalog(directory: StreamDirectory) -> Catalog:
    """What is published of a stream; where that is lost, what its folders say is live of its sealed segments."""
    catalog = load_catalog(directory.catalog)
    if catalog is not None:
        return catalog
    entries = [
        entry
        if entry.rebuilding or index_is_usable(directory.segment(entry.first, entry.generation))
        else entry.model_copy(update={"rebuilding": True})
        for entry in recover_entries(directory)
    ]
    return Catalog(
        stream=directory.name,
        born_us=time.time_ns() // 1000,
        sealed_until=_sealed_until(entries),
        segments=tuple(entries),
    )


def _publish(directory: StreamDirectory, catalog: Catalog, generation: int, *, relink: bool) -> Catalog:
    """Make the view of a catalog; the catalog as it is to be saved."""
    sources = []
    entries = []
    for entry in catalog.segments:
        if entry.rebuilding:
            entries.append(entry.model_copy(update={"tantivy": ()}))
            continue
        folder = directory.segment(entry.first, entry.generation).index
        meta = read_meta(folder)
        sources.append((folder, meta))
        entries.append(entry.model_copy(update={"tantivy": segment_ids(meta)}))
    if sources:
        publish(directory.view, sources, sources[-1][1], relink=relink)
    elif relink:
        shutil.rmtree(directory.view, ignore_errors=True)
    elif (directory.view / "meta.json").exists():
        _empty_view(directory)
    return catalog.model_copy(
        update={
            "generation": generation,
            "segments": tuple(entries),
            "sealed_until": max(catalog.sealed_until, _sealed_until(entries)),
        }
    )


def _empty_view(directory: StreamDirectory) -> None:
    """Show nothing, where there was something."""
    try:
        publish(directory.view, [], read_meta(directory.view))
    except ValueError:  # it is not as it was written, and without it nothing is shown either
        shutil.rmtree(directory.view)


def _sealed_until(entries: Iterable[SegmentEntry]) -> int:
    """The number after the last sealed segment; one that lost all its records still ends behind its first."""
    return max((max(entry.until, entry.first + 1) for entry in entries if entry.sealed), default=0)


@contextmanager
def locked(directory: StreamDirectory) -> Iterator[None]:
    """Be the only one who changes what is live of a stream.

    Raises:
        UnknownStream: there is no such stream any more.
    """
    path = directory.root / "catalog.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError as error:
        raise _deleted(directory) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if not _is_at(fd, path):
            raise _deleted(directory)
        yield
    finally:
        os.close(fd)


class Hold:
    """Keeps a stream's folder known: whether it is still the stream's can be asked, and deletion waits for its end.

    It is a shared lock on the folder itself. While it is open no other folder gets the same inode.

    Raises:
        UnknownStream: there is no such stream.
    """

    def __init__(self, directory: StreamDirectory) -> None:
        self._directory = directory
        try:
            self._fd = os.open(directory.root, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError as error:
            raise _deleted(directory) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise _deleted(directory) from error
        if self.is_gone():
            self.release()
            raise _deleted(directory)

    def is_gone(self) -> bool:
        """Whether the stream was deleted; another one of its name may be there."""
        return not _is_at(self._fd, self._directory.root)

    def check(self) -> None:
        """Make sure that the stream is there.

        Raises:
            UnknownStream: it was deleted.
        """
        if self.is_gone():
            raise _deleted(self._directory)

    def release(self) -> None:
        """Let go."""
        os.close(self._fd)


def wait_for_holds(fd: int, timeout_s: float) -> bool:
    """Wait until nobody has a hold on an open folder; whether it came to that in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(HOLD_POLL_S)
        else:
            return True


def _is_at(fd: int, path: Path) -> bool:
    """Whether an open file or folder is the one that a path leads to."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _deleted(directory: StreamDirectory) -> UnknownStream:
    return UnknownStream(f"no stream {directory.name!r}", "it was deleted")
