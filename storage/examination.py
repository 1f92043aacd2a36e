"""The examination of all indexes of sealed segments, where one of them is suspected: `storage/suspicion.py`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from storage.catalog import SegmentEntry, load_catalog
from storage.errors import UnknownStream
from storage.paths import DataDirectory, StreamDirectory
from storage.rebuild import mark
from storage.segment import checksum, load_meta
from storage.suspicion import AGAIN_AFTER_S, suspect_file

log = logging.getLogger(__name__)


class Examination:
    """Looks through indexes when somebody suspects one, a segment at a time.

    Args:
        data: The store.
        clock: Seconds that only rise.
    """

    def __init__(self, data: DataDirectory, clock: Callable[[], float]) -> None:
        self._data = data
        self._clock = clock
        self._sign = suspect_file(data)
        self._not_before_s = float("-inf")
        self._left: Iterator[tuple[StreamDirectory, SegmentEntry]] | None = None

    def step(self) -> bool:
        """Look through the next segment, if anybody asked for it; whether there was anything to do."""
        if self._left is None:
            if not self._sign.exists() or self._clock() < self._not_before_s:
                return False
            self._left = _sealed(self._data)
        found = next(self._left, None)
        if found is not None:
            _examine(*found)
            return True
        self._left = None
        self._not_before_s = self._clock() + AGAIN_AFTER_S
        self._sign.unlink(missing_ok=True)
        return True


def _examine(directory: StreamDirectory, entry: SegmentEntry) -> None:
    """Have an index made anew that is not as it was sealed."""
    folder = directory.segment(entry.first, entry.generation)
    meta = load_meta(folder)
    if meta is None:
        return  # dropped, or the scrub's business
    for name, want in meta.files.items():
        path = folder.root / name
        if path == folder.data:
            continue
        try:
            if checksum(path) == want:
                continue
        except OSError:
            pass  # it is gone, or the disk cannot read it
        now = load_meta(folder)
        if now is None or now.files != meta.files:
            return  # dropped, or made anew meanwhile
        log.error("%s is not as it was sealed; the index is made anew", path)
        try:
            mark(directory, {(entry.first, entry.generation)})
        except UnknownStream:
            log.info("%s was dropped while it was read", folder.root)
        return


def _sealed(data: DataDirectory) -> Iterator[tuple[StreamDirectory, SegmentEntry]]:
    """The sealed segments of all streams that have an index."""
    for name in data.stream_names():
        directory = data.stream(name)
        catalog = load_catalog(directory.catalog)
        for entry in catalog.segments if catalog else ():
            if entry.sealed and not entry.rebuilding:
                yield directory, entry
