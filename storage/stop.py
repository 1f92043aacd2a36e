"""When a question is given up: at a moment, or as soon as nobody waits for its answer any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.errors import IndexPanic, QueryAbandoned, QueryTimeout


class Stop:
    """Asked again and again by whoever works on a question. Thread-safe: one thread works, another abandons.

    Args:
        clock: Seconds that only rise.

    Attributes:
        at_s: On that clock, when time is up; None is never.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._abandoned = False
        self.at_s: float | None = None

    def within(self, seconds: float | None) -> None:
        """Time is up so many seconds from now; None is never."""
        self.at_s = None if seconds is None else self._clock() + seconds

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self._abandoned = True

    def check(self) -> None:
        """Go on only while there is time, and somebody who waits.

        Raises:
            QueryTimeout: there is no time left.
            QueryAbandoned: nobody waits.
        """
        if self._abandoned:
            raise QueryAbandoned("whoever asked hung up", "the query was stopped")
        if self.at_s is not None and self._clock() > self.at_s:
            raise out_of_time()


def out_of_time() -> QueryTimeout:
    """What a query gets that took too long."""
    return QueryTimeout(
        "the query takes longer than it may",
        'narrow it by :time or :where, give it more with :timeout "30s", '
        "or take what there is with :on-timeout :partial",
    )


@contextmanager
def panics_named() -> Iterator[None]:
    """Within it, a panic of the index engine is an error with a name.

    A panic is a `BaseException`, so that nothing that handles errors would see it: unnamed, it ends the thread
    or the connection.

    Raises:
        IndexPanic: the engine panicked.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise IndexPanic(
            f"the index engine failed on this query: {error}", "please report it with the query"
        ) from error
