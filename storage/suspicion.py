"""Suspicion: an index made the engine fail, so all are held to their checksums now, not when the scrub comes to them.

The engine believes its files. Damaged bytes make it panic, and a file that became shorter than it was mapped kills the
process. Whoever sees that leaves the empty file `suspect` in the data directory; the indexer reads the index files of
all sealed segments, has those that are damaged made anew, and takes the file away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from storage.paths import DataDirectory

SUSPECT_FILE = "suspect"
AGAIN_AFTER_S = (
    60.0  # a query that fails for another reason, again and again, must not have all read all the time
)
WAIT_S = 2.0  # a query waits no longer for it: some gigabytes are read in that time
POLL_S = 0.02

log = logging.getLogger(__name__)


def suspect_file(data: DataDirectory) -> Path:
    """The sign that somebody suspects an index."""
    return data.root / SUSPECT_FILE


def suspect(data: DataDirectory) -> None:
    """Ask for all indexes to be looked through. A disk that refuses this is asked again at the next failure."""
    try:
        suspect_file(data).touch()
    except OSError as error:
        log.warning("%s cannot be written: %s", suspect_file(data), error.strerror)


def is_cleared(data: DataDirectory, left_s: float, *, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Wait for what comes of a suspicion; whether all indexes were looked through by then.

    Args:
        data: The store.
        left_s: How long at most, where that is less than `WAIT_S`.
        sleep: Waits for so many seconds.
    """
    for _ in range(int(max(min(left_s, WAIT_S), 0) / POLL_S)):
        with suppress(OSError):
            if not suspect_file(data).exists():
                return True
        sleep(POLL_S)
    return False
