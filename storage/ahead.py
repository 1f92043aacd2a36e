"""Work on many things side by side in threads, in order, while whoever asked takes what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

from storage.side_by_side import CORES

READERS_MAX = 4  # a third of what each does needs the interpreter's lock: more would wait for it
READERS = min(CORES, READERS_MAX) if CORES > 1 else 0

Task = TypeVar("Task")
Result = TypeVar("Result")


def ahead(
    work: Callable[[Task], Result], tasks: Iterable[Task], threads: int = READERS_MAX
) -> Iterator[Result]:
    """The result of each task, in their order.

    At most as many as threads and two are held that nobody has taken. Tasks are made in the caller's thread, as they
    are needed; a single one, or any on a machine with one core, is worked on there too. The threads are the caller's
    own: a check that takes long keeps no other query waiting.

    Args:
        work: What is done in some thread.
        tasks: To be done.
        threads: How many at most, of `READERS`.
    """
    tasks = iter(tasks)
    first = list(islice(tasks, 2))
    threads = min(threads, READERS)
    if len(first) < 2 or not threads:
        yield from map(work, chain(first, tasks))
        return
    readers = ThreadPoolExecutor(threads, thread_name_prefix="read-frames")
    begun: deque[Future[Result]] = deque()
    try:
        for task in chain(first, tasks):
            begun.append(readers.submit(work, task))
            if len(begun) > threads + 1:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
