"""Steps of the index engine that run side by side: each is one call that lets go of the interpreter's lock.

One step keeps one core busy. A question that is asked as two keeps two busy, which takes half the time where a core is
free, and more time in all where none is. So it is counted how many steps run, and others are only begun beside them
while there are fewer than cores, and the kernel says that no other process wants them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
LOAD = Path(
    "/proc/loadavg"
)  # proc_loadavg(5): its fourth field begins with how many threads run or could run now


def idle() -> int:
    """How many cores of the machine no thread of any process wants now; all where the kernel does not say."""
    cores = os.cpu_count() or 1
    try:
        runnable = int(LOAD.read_bytes().split()[3].partition(b"/")[0])
    except (OSError, ValueError, IndexError):
        return cores
    return max(cores - runnable, 0)


class Cores:
    """The cores that steps run on, of this process. Thread-safe.

    Args:
        count: How many there are; each but one has a thread for steps beside others.
        idle: How many of them nobody wants now, in other processes too, but for the caller's own.

    Attributes:
        count: See above.
    """

    def __init__(self, count: int, idle: Callable[[], int] = idle) -> None:
        self.count = count
        self._idle = idle
        self._running = 0
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(max(count - 1, 1), thread_name_prefix="beside")

    @property
    def spare(self) -> int:
        """How many cores there are for steps beside the caller's own."""
        unused = max(self.count - self._running - 1, 0)
        return min(unused, self._idle()) if unused else 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One step runs within it, in the caller's thread, whether there is a core for it or not."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            self._release()

    def each(self, steps: Sequence[Callable[[], Result]]) -> list[Result]:
        """What all of some steps give, in their order; as many at once as there are cores for.

        What one of them raises is raised; those that run beside it come to their end, and nobody looks at what they
        give.
        """
        with self.taken():
            beside: dict[int, Future[Result]] = {}
            for place in range(1, len(steps)):
                if self._take():
                    beside[place] = self._threads.submit(self._released_after, steps[place])
            own = {place: step() for place, step in enumerate(steps) if place not in beside}
        return [own[place] if place in own else beside[place].result() for place in range(len(steps))]

    def _take(self) -> bool:
        with self._lock:
            if self._running >= self.count:
                return False
            self._running += 1
            return True

    def _release(self) -> None:
        with self._lock:
            self._running -= 1

    def _released_after(self, step: Callable[[], Result]) -> Result:
        try:
            return step()
        finally:
            self._release()


@lru_cache(maxsize=1)
def cores() -> Cores:
    """Those of this process."""
    return Cores(CORES)
