"""The store in one process, with no server: what is on disk is indexed if nobody else does it, then asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.clock import now_us
from server.engine import Engine
from storage.errors import StoreLocked
from storage.indexer import Indexer
from storage.paths import DataDirectory
from storage.store import Store
from storage.versions import refuse_unknown_versions


@contextmanager
def open_embedded(data: Path) -> Iterator[Engine]:
    """An engine over a data directory.

    Raises:
        FileNotFoundError: there is no such directory.
        FormatUnknown: a newer klomp wrote something there.
    """
    if not data.is_dir():
        raise FileNotFoundError(f"no data directory {data}")
    directory = DataDirectory(data)
    refuse_unknown_versions(directory)
    try:
        indexer = Indexer(directory)
    except StoreLocked:
        pass  # a server runs and indexes already
    else:
        indexer.catch_up()
        indexer.close()
    store = Store(directory)
    try:
        yield Engine(store, now_us)
    finally:
        store.close()
