"""Free space on the disk of the data: below a floor nothing more is taken in, before the disk is full.

A full disk stops more than this store: the index that makes records searchable, compaction that would make room, and
whatever else lives there. Reading goes on, and writing begins again by itself when there is room.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from storage.errors import DiskNearlyFull

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0  # a disk fills by some hundred megabytes in it at most
HINT = "make room on the disk, or drop old logs; writing begins again by itself"


@dataclass(frozen=True, slots=True)
class Space:
    """What a file system has for us, in bytes."""

    free_bytes: int
    total_bytes: int

    @property
    def free_percent(self) -> float:
        """The free part of what unprivileged users may use; 100 where a file system does not tell."""
        return 100 * self.free_bytes / self.total_bytes if self.total_bytes else 100.0


class FreeSpace:
    """Looks after the floor. Used from one event loop.

    Args:
        path: A folder on the file system in question.
        percent_min: The floor, in percent of the file system; 0 for none.
        clock: Seconds that only rise.
        statvfs: As `os.statvfs`.
    """

    def __init__(
        self,
        path: Path,
        percent_min: float,
        clock: Callable[[], float] = time.monotonic,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._path = path
        self._percent_min = percent_min
        self._clock = clock
        self._statvfs = statvfs
        self._looked_s = float("-inf")
        self._error: str | None = None

    @property
    def problem(self) -> str | None:
        """Why nothing is taken in; None while there is room. Looks at the disk once in LOOK_AGAIN_S."""
        now = self._clock()
        if self._percent_min and now - self._looked_s >= LOOK_AGAIN_S:
            self._looked_s = now
            before, self._error = self._error, self._look()
            if self._error and not before:
                log.error("%s; records are refused until there is more", self._error)
            elif before and not self._error:
                log.warning("there is room on the disk of %s again; records are taken in", self._path)
        return self._error

    def check(self) -> None:
        """Refuse to go on without room.

        Raises:
            DiskNearlyFull: there is less than the floor.
        """
        problem = self.problem
        if problem:
            raise DiskNearlyFull(problem, HINT)

    def _look(self) -> str | None:
        try:
            found = self._statvfs(self._path)
        except OSError as error:
            log.warning("cannot see how full the disk of %s is: %s", self._path, error)
            return None
        used = found.f_blocks - found.f_bfree
        space = Space(found.f_bavail * found.f_frsize, (used + found.f_bavail) * found.f_frsize)
        if space.free_percent >= self._percent_min:
            return None
        return (
            f"the disk has {space.free_percent:.1f} % free ({space.free_bytes >> 20} MiB), "
            f"less than the {self._percent_min:g} % that must stay"
        )
