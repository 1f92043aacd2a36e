"""Dropping: segments and whole streams that have to go, so that a crash between any two steps leaves all or nothing.

A segment goes in three steps. The catalog is published without it, durably: from then on it is gone. Its folder is
moved to `dropped/`, under the same lock. What lies there is removed. What a crash leaves between the steps is found by
`collect`. A stream goes as a whole, by one rename of its folder into the trash.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from storage.catalog import Catalog, SegmentEntry, load_catalog
from storage.paths import DataDirectory, SegmentDirectory, StreamDirectory, check_stream_name, sync_directory
from storage.publication import edit_locked, live_catalog, locked, wait_for_holds

UNFINISHED_S_MAX = 3600.0  # a replacement that nobody wrote to for so long was left by a crash
HOLDS_TIMEOUT_S = 30.0  # the indexer looks at every stream many times a second, but may be in a large commit

Choose = Callable[[Catalog], Iterable[SegmentEntry]]


def drop(directory: StreamDirectory, choose: Choose) -> list[SegmentEntry]:
    """Take segments out of a stream and remove them; those that went.

    A query that has begun keeps their open files and finishes with them.

    Args:
        directory: The stream.
        choose: The segments of a catalog that shall go. Called again under the lock.

    Raises:
        UnknownStream: there is no such stream any more.
        OSError: the disk refused. Either nothing has changed, or the segments are gone and `collect` removes the rest.
    """
    if not list(choose(live_catalog(directory))):
        return []
    dropped: list[SegmentEntry] = []
    with locked(directory):
        firsts = directory.segment_firsts()

        def without(catalog: Catalog) -> Catalog:
            # The log goes on behind the newest folder it finds: numbers would be given twice without it.
            dropped[:] = [
                entry
                for entry in choose(catalog)
                if entry.sealed and (entry.generation or entry.first != firsts[-1])
            ]
            gone = {(entry.first, entry.generation) for entry in dropped}
            left = [entry for entry in catalog.segments if (entry.first, entry.generation) not in gone]
            return catalog.model_copy(update={"segments": tuple(left)})

        edit_locked(directory, without, durable=True)
        retire(directory, [directory.segment(entry.first, entry.generation) for entry in dropped])
        # The view keeps what it had for one round more, which would be the next record's: do it now.
        edit_locked(directory, lambda catalog: catalog)
    remove_retired(directory)
    return dropped


def retire(directory: StreamDirectory, segments: Iterable[SegmentDirectory]) -> None:
    """Move the folders of segments that no catalog lists out of the way; for one who has the lock."""
    moved = False
    for segment in segments:
        directory.dropped.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another one was faster
            segment.root.rename(directory.dropped / f"{segment.root.name}.{time.time_ns()}")
            moved = True
    if moved:
        sync_directory(directory.dropped)
        sync_directory(directory.segments)


def remove_retired(directory: StreamDirectory) -> int:
    """Remove the folders of segments that are not live any more; how many."""
    return _empty(directory.dropped)


def collect(directory: StreamDirectory, now_s: float, unfinished_s: float = UNFINISHED_S_MAX) -> int:
    """Remove what crashes left of segments that were dropped or replaced; how many folders.

    Args:
        directory: The stream.
        now_s: Seconds since 1970.
        unfinished_s: How long nobody wrote to a replacement that is taken for left; less than 0 where it is known that
            nobody makes one.

    Raises:
        UnknownStream: there is no such stream any more.
    """
    if list(orphans(directory, now_s, unfinished_s)):
        with locked(directory):
            retire(directory, orphans(directory, now_s, unfinished_s))
    return remove_retired(directory)


def orphans(
    directory: StreamDirectory, now_s: float, unfinished_s: float = UNFINISHED_S_MAX
) -> list[SegmentDirectory]:
    """The folders in `segments/` of segments that are not live, and will not be.

    A folder as the log made it is one when the indexer has passed it (`sealed_until`) and the catalog does not list it.
    What the indexer has not come to yet begins later, and so does what the log writes to; its newest folder is left
    alone in any case. A replacement is one when the catalog does not list it and nobody works on it any more.
    """
    # The folders first: what is published in between is in the catalog that is read next, and so no orphan.
    folders = directory.segment_folders()
    newest = max((first for first, generation in folders if not generation), default=0)
    catalog = load_catalog(directory.catalog)
    if catalog is None:
        return []
    live = {(entry.first, entry.generation) for entry in catalog.segments}
    found = []
    for first, generation in folders:
        if (first, generation) in live:
            continue
        segment = directory.segment(first, generation)
        if generation:
            is_orphan = now_s - _last_write_s(segment.root) > unfinished_s
        else:
            is_orphan = first < catalog.sealed_until and first != newest
        if is_orphan:
            found.append(segment)
    return found


def unfinished(directory: StreamDirectory) -> set[str]:
    """The folders of replacements that no catalog lists: somebody makes them now, of older segments, or has died."""
    folders = directory.segment_folders()
    catalog = load_catalog(directory.catalog) or Catalog(stream=directory.name)
    live = {(entry.first, entry.generation) for entry in catalog.segments}
    return {directory.segment(*name).root.name for name in folders if name[1] and name not in live}


def delete_stream(data: DataDirectory, name: str) -> bool:
    """Take a stream with all its data away; whether everybody has let go of it.

    It is gone when this returns or the process dies, or there as it was. What is left of it lies in the trash. Until
    everybody has let go, no stream of the same name should come into being.

    Raises:
        UnknownStream: there is none.
    """
    directory = data.stream(check_stream_name(name))
    data.trash.mkdir(exist_ok=True)
    with locked(directory):
        folder = os.open(directory.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            directory.root.rename(data.trash / f"{name}.{time.time_ns()}")
        except OSError:
            os.close(folder)
            raise
    try:
        sync_directory(data.trash)
        sync_directory(data.streams)
        return wait_for_holds(folder, HOLDS_TIMEOUT_S)
    finally:
        os.close(folder)


def empty_trash(data: DataDirectory) -> int:
    """Remove what is left of deleted streams; how many there were."""
    return _empty(data.trash)


def disk_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, as the disk counts them."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.stat(os.path.join(root, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # merged away meanwhile
    return total


def _empty(folder: Path) -> int:
    removed = 0
    for path in _folders(folder):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue  # another one was faster
        removed += 1
    return removed


def _folders(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _last_write_s(folder: Path) -> float:
    """When something below a folder last changed, seconds since 1970; now and later if that can't be told."""
    try:
        return max(os.stat(path).st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return float("inf")
