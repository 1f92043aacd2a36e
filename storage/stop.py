"""When a question is given up: at a moment, or as soon as nobody waits for its answer any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.errors import IndexPanic, QueryAbandoned, QueryTimeout

LONG_SHARE = (
    0.5  # of the time that is left: a step that takes no longer ends in one and a half times the time
)


class StepTooLong(Exception):
    """A step would take long or much memory, cannot be stopped, and can be taken where it can be."""


class Stop:
    """Asked again and again by whoever works on a question. Thread-safe: one thread works, another abandons.

    Args:
        clock: Seconds that only rise.

    Attributes:
        at_s: On that clock, when time is up; None is never.
        alone_bytes_max: What one step may hold here, where somebody else can take those that are long or hold more;
            None where nobody can.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._abandoned = False
        self.at_s: float | None = None
        self.alone_bytes_max: int | None = None

    def within(self, seconds: float | None) -> None:
        """Time is up so many seconds from now; None is never."""
        self.at_s = None if seconds is None else self._clock() + seconds

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self._abandoned = True

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, perhaps below 0; None is any number."""
        return None if self.at_s is None else self.at_s - self._clock()

    def check(self, grace_s: float = 0.0) -> None:
        """Go on only while there is time, and somebody who waits.

        Args:
            grace_s: Seconds beyond it.

        Raises:
            QueryTimeout: there is no time left.
            QueryAbandoned: nobody waits.
        """
        if self._abandoned:
            raise QueryAbandoned("whoever asked hung up", "the query was stopped")
        if self.at_s is not None and self._clock() > self.at_s + grace_s:
            raise out_of_time()

    def begin(self, seconds: float, held_bytes: float = 0) -> None:
        """Begin a step that cannot be stopped, and takes so long and so much, about.

        Raises:
            QueryTimeout: there is no time left.
            QueryAbandoned: nobody waits.
            StepTooLong: it is to be taken elsewhere.
        """
        self.check()
        if self.is_long(seconds, held_bytes):
            raise StepTooLong

    def is_long(self, seconds: float, held_bytes: float = 0) -> bool:
        """Whether a step is to be taken elsewhere."""
        if self.alone_bytes_max is None or self.at_s is None:
            return False
        return held_bytes > self.alone_bytes_max or seconds > LONG_SHARE * (self.at_s - self._clock())


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
