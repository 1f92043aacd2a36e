"""A circuit breaker: after some failures in a row a channel is left alone for a while, then tried with one message.

    closed --failures_max in a row--> open --after open_us--> half-open --success--> closed
                                        ^------------------------failure--'

Without it a channel that answers only after its timeout would hold a thread for every message that waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from storage.times import US_PER_S

State = Literal["closed", "open", "half-open"]

FAILURES_MAX = 5  # in a row: one lost packet is no outage
OPEN_S = 60  # how long it is left alone, doubled each time that a trial fails
OPEN_S_MAX = 960  # so that a channel that is back is found within a quarter of an hour


@dataclass(slots=True)
class Breaker:
    """The breaker of one channel. Time is passed in, microseconds since 1970."""

    failures: int = 0
    opened_us: int | None = None
    opened_times: int = 0
    trying: bool = False

    def kept(self) -> tuple[int, int | None, int]:
        """What a restart must not forget."""
        return self.failures, self.opened_us, self.opened_times

    def state(self, now_us: int) -> State:
        """What it is now."""
        if self.opened_us is None:
            return "closed"
        return "half-open" if now_us >= self.until_us() else "open"

    def until_us(self) -> int:
        """Until when it is open, or was."""
        assert self.opened_us is not None
        return self.opened_us + min(OPEN_S << (self.opened_times - 1), OPEN_S_MAX) * US_PER_S

    def allows(self, now_us: int) -> bool:
        """Whether a message may be sent now; half open, one at a time."""
        state = self.state(now_us)
        return state == "closed" or (state == "half-open" and not self.trying)

    def begin(self, now_us: int) -> None:
        """A message is being sent."""
        assert self.allows(now_us)
        self.trying = self.state(now_us) == "half-open"

    def succeed(self) -> None:
        """The channel took a message, or had its reasons not to: it answers."""
        self.failures, self.opened_us, self.opened_times, self.trying = 0, None, 0, False

    def fail(self, now_us: int) -> None:
        """The channel did not answer, or cannot."""
        was_trial = self.trying
        self.trying = False
        self.failures += 1
        if was_trial or (self.opened_us is None and self.failures >= FAILURES_MAX):
            self.opened_us = now_us
            self.opened_times = min(self.opened_times + 1, 10)  # beyond, the bound holds anyway
