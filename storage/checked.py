"""Small JSON files that carry their own checksum: `{"crc32":"9ae0daaf",` and then the rest of an object.

The checksum, eight hexadecimal digits, is that of all bytes behind the comma that follows it. It is for disks that
forget, not against people: whoever edits such a file by hand takes it out of use, and what it says is made anew.
"""

from __future__ import annotations

import zlib

_FRONT = b'{"crc32":"'
_BODY_AT = len(_FRONT) + 8 + len(b'",')


def add_checksum(document: bytes) -> bytes:
    """A compact JSON object, not empty, with its checksum in front."""
    assert document.startswith(b'{"')
    body = document[1:]
    return _FRONT + b"%08x" % zlib.crc32(body) + b'",' + body


def checksum_holds(data: bytes) -> bool:
    """Whether a file's bytes are those that were written."""
    return data[:_BODY_AT] == _FRONT + b"%08x" % zlib.crc32(data[_BODY_AT:]) + b'",'
