"""Work done ahead in threads, in order, while whoever asked is busy with what came before: reading and unpacking."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import chain, islice
from typing import TypeVar

from storage.side_by_side import CORES

READERS_MAX = 3  # one thread checks what they unpack, and takes half as long for a frame as one of them
READERS = min(CORES - 1, READERS_MAX)  # one that shares its core with the caller only takes the lock from it

Task = TypeVar("Task")
Result = TypeVar("Result")


def ahead(work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """The result of each task, in their order.

    At most `READERS` and two are held that nobody has taken. Tasks are made in the caller's thread, as they are
    needed; a single one, or any on a machine with one core, is worked on there too.
    """
    tasks = iter(tasks)
    first = list(islice(tasks, 2))
    if len(first) < 2 or READERS < 1:
        yield from map(work, chain(first, tasks))
        return
    pool = _readers()
    begun: deque[Future[Result]] = deque()
    try:
        for task in chain(first, tasks):
            begun.append(pool.submit(work, task))
            if len(begun) > READERS + 1:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for one in begun:
            one.cancel()


@lru_cache(maxsize=1)
def _readers() -> ThreadPoolExecutor:
    """Threads that read for any query."""
    return ThreadPoolExecutor(READERS, thread_name_prefix="read-frames")
