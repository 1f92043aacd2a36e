"""When a rule is evaluated: at whole multiples of `:every` since 1970, shifted by a hash of its name. Pure.

The shift spreads many rules over the time between two evaluations, and is the same after every restart. Evaluations
that were missed are made up for, window by window, the newest of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from dsl.time import UNITS_US

MADE_UP_MAX = 10  # evaluations made up for at once: a restart must not become a storm of queries
MADE_UP_US = (
    5 * UNITS_US["m"]
)  # and none that is older: of a time when nothing was taken in it would say nonsense
SPREAD_US = UNITS_US["ms"]  # shifts are whole milliseconds


def shift_of(name: str, every_us: int) -> int:
    """How far the evaluations of a rule lie behind the whole multiples, microseconds."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (every_us // SPREAD_US) * SPREAD_US


def newest(now_us: int, every_us: int, shift_us: int) -> int:
    """The newest time of evaluation that is not after now."""
    return now_us - (now_us - shift_us) % every_us


@dataclass(frozen=True, slots=True)
class Due:
    """The evaluations that are due.

    Attributes:
        times_us: Their times, rising; those before the last one are made up for.
        missed: How many were not made at their time, whether made up for or not.
        gap: Whether the oldest are not made up for, so that nothing is known of the time before the first.
    """

    times_us: tuple[int, ...]
    missed: int = 0
    gap: bool = False


def due(last_us: int | None, now_us: int, every_us: int, shift_us: int) -> Due:
    """The evaluations of a rule that are due.

    Args:
        last_us: The time of the newest one that was made; None where there is none.
        now_us: The time of day.
        every_us: How often there is one.
        shift_us: From `shift_of`.
    """
    until_us = newest(now_us, every_us, shift_us)
    if last_us is None or last_us > now_us + every_us:  # the clock was wrong, then or now: begin anew
        return Due((until_us,))
    if until_us <= last_us:
        return Due(())
    first_us = newest(last_us, every_us, shift_us) + every_us  # `:every` may have changed since
    made_up = min(MADE_UP_MAX, MADE_UP_US // every_us)
    from_us = max(first_us, until_us - made_up * every_us)
    missed = (until_us - first_us) // every_us
    return Due(tuple(range(from_us, until_us + 1, every_us)), missed, gap=from_us > first_us)
