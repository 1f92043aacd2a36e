"""How long to wait before the next attempt: exponential, with full jitter, and never less than the other side asked.

Full jitter (a wait drawn evenly from zero to the bound) spreads those who failed together as widely as may be:
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage.times import US_PER_S

ATTEMPTS_MAX = 12  # with the waits below some two hours on average: longer outages end in the dead letters
RETRY_AFTER_S_MAX = 3600.0  # what is asked for beyond is cut: an alert a day late is none


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits between attempts.

    Attributes:
        first_s: The bound of the first wait.
        most_s: The bound that doubling stops at.
        attempts_max: So many attempts are made in all.
    """

    first_s: float = 5.0
    most_s: float = 1200.0
    attempts_max: int = ATTEMPTS_MAX

    def bound_s(self, attempts: int) -> float:
        """The longest wait after so many attempts that failed."""
        assert attempts >= 1
        return min(self.most_s, self.first_s * 2.0 ** min(attempts - 1, 60))

    def wait_us(self, attempts: int, random: Callable[[], float], retry_after_s: float | None = None) -> int:
        """The wait after so many attempts that failed, microseconds.

        Args:
            attempts: How many were made, the last one included.
            random: Gives numbers in [0, 1).
            retry_after_s: What the other side asked for; the wait is at least that.
        """
        drawn_s = random() * self.bound_s(attempts)
        # Those who were all told the same time would all come back at it: jitter comes on top, not in place of it.
        asked_s = min(retry_after_s, RETRY_AFTER_S_MAX) if retry_after_s is not None else 0.0
        return int((asked_s + drawn_s) * US_PER_S)

    def is_exhausted(self, attempts: int) -> bool:
        """Whether no further attempt is made."""
        return attempts >= self.attempts_max
