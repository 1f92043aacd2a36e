"""Lines of bytes that come in chunks, in bounded memory however long a line is."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

LINE_BYTES_MAX = 1024 * 1024  # what the server takes as one record: a longer line is not read into memory


class Line(NamedTuple):
    """A line without its end; of one that is too long only the length is kept."""

    number: int
    data: bytes | None
    length_bytes: int


def split_lines(chunks: Iterable[bytes | None]) -> Iterator[Line | None]:
    r"""Lines ended by `\n`, the last perhaps by the end; at most `LINE_BYTES_MAX` and a chunk are in memory.

    None stands for a pause, as in the chunks.
    """
    number = 0
    rest = bytearray()
    dropped_bytes = 0
    for chunk in chunks:
        if chunk is None:
            yield None
            continue
        *ended, tail = chunk.split(b"\n")
        for part in ended:
            number += 1
            length = dropped_bytes + len(rest) + len(part)
            if length > LINE_BYTES_MAX:
                yield Line(number, None, length)
            else:
                yield Line(number, bytes(rest) + part if rest else part, length)
            rest.clear()
            dropped_bytes = 0
        rest += tail
        if dropped_bytes or len(rest) > LINE_BYTES_MAX:
            dropped_bytes += len(rest)
            rest.clear()
    if dropped_bytes:
        yield Line(number + 1, None, dropped_bytes)
    elif rest:
        yield Line(number + 1, bytes(rest), len(rest))
