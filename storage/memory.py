"""Memory that the index engine freed, given back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

_libc = ctypes.CDLL(None)
# glibc's only: https://man7.org/linux/man-pages/man3/malloc_trim.3.html. Where there is none, nothing need be done.
_trim: Callable[[int], int] | None = getattr(_libc, "malloc_trim", None)


def give_back() -> None:
    """Let the system have what was freed; to be called after work that needed much, when none like it comes at once.

    The engine's threads allocate in arenas of their own, and glibc keeps what is freed in the middle of them for
    itself: hundreds of megabytes, when an index has been written or merged. It takes some milliseconds.
    """
    if _trim is not None:
        _trim(0)
