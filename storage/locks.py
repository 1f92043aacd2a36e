"""Lock files: held for a process's life, asked whether they are, and shared to keep their owners away for a moment."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StoreLocked


def hold_lock(path: Path, message: str) -> int:
    """Take a lock file for as long as this process lives; its file descriptor.

    Raises:
        StoreLocked: another process has it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(fd, 64, 0).decode(errors="replace").strip()
        os.close(fd)
        raise StoreLocked(
            f"{message} (process {owner or 'unknown'})", "stop it, or use another --data directory"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


def is_held(path: Path) -> bool:
    """Whether some process has the lock now. Asks for a shared one, and gives it back at once."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Keep those away who take the lock for themselves; where there is no lock file, there is nobody."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)
