"""A disk with blocks that it cannot read: `EIO` for whoever reads one of these bytes with `pread`."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any


class Unreadable:
    """Bytes of a file that cannot be read, while `install` is in force.

    Args:
        path: The file. It counts under any of its names.
        start: Where they begin,
        end: and where they end.
    """

    def __init__(self, path: Path, start: int, end: int) -> None:
        self._inode = path.stat().st_ino
        self._start = start
        self._end = end
        self._pread = os.pread
        self.refused = 0

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """`os.pread`, of a disk that is as it says."""
        if os.fstat(fd).st_ino == self._inode and offset < self._end and offset + size > self._start:
            self.refused += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._pread(fd, size, offset)

    def install(self, monkeypatch: Any) -> None:
        """Let it be so until the test ends."""
        monkeypatch.setattr(os, "pread", self.pread)
