"""Reading where the disk gives no answer for some blocks (`EIO`): zeros stand for their bytes, and checksums tell.

So a block that cannot be read is damage like any other: it costs the frames that it hits, and the rest is served.
"""

from __future__ import annotations

import errno
import os

UNREADABLE = frozenset({errno.EIO, errno.EBADMSG, errno.EUCLEAN})
"""What a file system says when the disk, or its own checksums, let it down; nothing that passes by itself."""

BLOCK_BYTES = 4096  # what a disk loses at least; so much is looked at by itself where more cannot be read


def pread(fd: int, size: int, offset: int) -> bytes:
    """As `os.pread`, with zeros for what the disk cannot read."""
    try:
        return os.pread(fd, size, offset)
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
    end = min(offset + size, os.fstat(fd).st_size)
    pieces = []
    while offset < end:
        most = min(BLOCK_BYTES - offset % BLOCK_BYTES, end - offset)
        try:
            piece = os.pread(fd, most, offset)
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            piece = bytes(most)
        if not piece:
            break  # it has become shorter meanwhile
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)
