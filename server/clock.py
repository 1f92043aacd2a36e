"""The time of day, for those to whom it is passed in."""

from __future__ import annotations

import time


def now_us() -> int:
    """The time of day, microseconds since 1970."""
    return time.time_ns() // 1000
