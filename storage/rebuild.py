"""`klomp rebuild`: indexes made again from the data, here or by the indexer that runs.

A segment is marked in the catalog as one whose index is being made anew. From then on its records are not found, and
answers say so, until whoever indexes the stream has made the index again and taken the mark away. A mark survives the
end of that process.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection

from storage.catalog import Catalog, SegmentEntry, load_catalog
from storage.errors import StoreLocked, UnknownStream
from storage.locks import hold_lock
from storage.paths import DataDirectory, StreamDirectory
from storage.publication import edit
from storage.stream_indexer import StreamIndexer

POLL_S = 0.1  # how often a running indexer is looked at

Tell = Callable[[int, int, int, int], None]
"""Told of segments done, segments there are, and bytes done and there are of the one under way (0 where unknown)."""

Name = tuple[int, int]
"""First number and generation of a segment."""


def live_segments(directory: StreamDirectory) -> list[SegmentEntry]:
    """The segments of a stream that have an index; none where nothing was ever indexed, or the catalog is lost.

    Raises:
        UnknownStream: there is no such stream.
    """
    if not directory.root.is_dir():
        raise UnknownStream(f"no stream {directory.name!r}", "klomp check lists what there is")
    catalog = load_catalog(directory.catalog)
    return list(catalog.segments) if catalog is not None else []


def rebuild(
    data: DataDirectory,
    stream: str,
    names: Collection[Name] = (),
    *,
    tell: Tell = lambda *_: None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Make indexes of a stream again; returns when they are whole, with their number.

    Args:
        data: The store.
        stream: The stream.
        names: Its segments; all of them where none is named.
        tell: Told how far it is.
        sleep: Waits for so many seconds.

    Raises:
        UnknownStream: there is no such stream, or it was deleted meanwhile.
    """
    directory = data.stream(stream)
    live_segments(directory)
    wanted: set[Name] | None = None
    while True:
        try:
            lock = hold_lock(data.root / "indexer.lock", "another process indexes this data directory")
        except StoreLocked:
            if wanted is None:
                wanted = mark(directory, names)
            left = _unfinished(directory, wanted)
            tell(len(wanted) - left, len(wanted), 0, 0)
            if not left:
                return len(wanted)
            sleep(POLL_S)
            continue
        try:
            return _rebuild_here(directory, names if wanted is None else wanted, tell)
        finally:
            os.close(lock)


def _rebuild_here(directory: StreamDirectory, names: Collection[Name], tell: Tell) -> int:
    """Do what an indexer does; nobody else indexes."""
    shutil.rmtree(directory.view, ignore_errors=True)  # it is made of links to the indexes, and made again
    indexer = StreamIndexer(directory, time.monotonic)
    try:
        indexer.step()
        wanted = mark(directory, names)
        while indexer.step():
            left = _unfinished(directory, wanted)
            tell(len(wanted) - left, len(wanted), *(indexer.mending or (0, 0)))
        return len(wanted)
    finally:
        indexer.close()


def mark(directory: StreamDirectory, names: Collection[Name]) -> set[Name]:
    """Ask for indexes to be made anew, all of a stream where none is named; which they are.

    Raises:
        UnknownStream: there is no such stream.
    """
    marked: set[Name] = set()

    def marked_in(catalog: Catalog) -> Catalog:
        marked.clear()
        entries = []
        for entry in catalog.segments:
            if not names or (entry.first, entry.generation) in names:
                marked.add((entry.first, entry.generation))
                entries.append(entry.model_copy(update={"rebuilding": True}))
            else:
                entries.append(entry)
        return catalog.model_copy(update={"segments": tuple(entries)})

    edit(directory, marked_in)
    return marked


def _unfinished(directory: StreamDirectory, names: Collection[Name]) -> int:
    """How many of these segments have no whole index yet; one that was dropped or replaced needs none."""
    return sum(
        (entry.first, entry.generation) in names and (entry.rebuilding or entry.catching_up)
        for entry in live_segments(directory)
    )
