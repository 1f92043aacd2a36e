"""Publication: the one way in which a stream's catalog and view change.

Several processes change what is live: the indexer adds what is new, retention drops, compaction and deletion replace.
Each does it as an edit, a function from the catalog that is to the catalog that shall be, under a lock. The view is
made first and the catalog last, so that a reader who sees a catalog finds at least what it promises.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.catalog import Catalog, load_catalog
from storage.paths import StreamDirectory
from storage.view import publish, read_meta, segment_ids

PUBLISH_TRIES = 20  # a merge may take files away between reading their list and linking them
PUBLISH_RETRY_S = 0.005

Edit = Callable[[Catalog], Catalog]


def edit(directory: StreamDirectory, change: Edit) -> Catalog:
    """Change a stream's catalog; the catalog that was published.

    Args:
        directory: The stream.
        change: From the catalog that is to the one that shall be. May run more than once.
    """
    with _locked(directory):
        catalog = load_catalog(directory.catalog) or Catalog(stream=directory.name)
        for attempt in range(PUBLISH_TRIES):
            changed = change(catalog)
            try:
                return _publish(directory, changed, catalog.generation + 1)
            except FileNotFoundError:
                if attempt == PUBLISH_TRIES - 1:
                    raise
                time.sleep(PUBLISH_RETRY_S)
        raise AssertionError("unreachable")


def _publish(directory: StreamDirectory, catalog: Catalog, generation: int) -> Catalog:
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
        publish(directory.view, sources, sources[-1][1])
    elif (directory.view / "meta.json").exists():
        publish(directory.view, [], read_meta(directory.view))
    published = catalog.model_copy(update={"generation": generation, "segments": tuple(entries)})
    published.save(directory.catalog)
    return published


@contextmanager
def _locked(directory: StreamDirectory) -> Iterator[None]:
    directory.root.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory.root / "catalog.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
