"""The bytes of a segment's `data.log`: a file header, then frames of records.

Integers are little-endian. The file header, 16 bytes:

    offset  size  field
    0       8     magic, `KLOMPLOG`
    8       1     version of the format, 1
    9       7     zero

A frame is a header of 48 bytes and a payload:

    offset  size  field
    0       4     crc32 (as in zlib) of bytes 4 to 47 and of the payload
    4       4     magic, `KFRM`
    8       4     payload length in bytes, at most FRAME_PAYLOAD_BYTES_MAX
    12      4     length of the payload before compression, at most FRAME_RAW_BYTES_MAX
    16      4     number of records, at least 1
    20      2     flags: 1 = the batch goes on in the next frame, 2 = the first frame of a write
    22      2     length of the ticket in bytes, 0 for none
    24      8     number of the first record; the others follow without a gap
    32      8     smallest timestamp, microseconds since 1970 (signed)
    40      8     largest timestamp, microseconds since 1970 (signed)

The payload is the ticket, if any, then one zstd frame. Decompressed, that is a timestamp per record
 (8 bytes each, signed microseconds since
1970) followed by a JSON object per record, without its time, compact, each closed by a line feed.

The line of a record that was deleted is empty: numbers never move.

The ticket of a batch that came with an idempotency key, at the front of its first frame:

    offset  size  field
    0       8     time of arrival, microseconds since 1970 (signed)
    8       16    the first half of the SHA-256 of the request's body
    24      4     number of records in the batch
    28      n     the key, UTF-8, 1 to TICKET_KEY_BYTES_MAX bytes

Recovery. A batch is frames in a row, each but the last with flag 1, synced before anyone is told. Bytes after the last
valid frame, and frames of a batch whose end is missing, are a write that a crash cut off: nobody was told of it. A
write begins when the one before it is synced: so damage with the first frame of a write behind it hit what was synced.
"""

from __future__ import annotations

import struct
import threading
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import zstandard

from storage.errors import FrameDamaged

FILE_MAGIC = b"KLOMPLOG"
FORMAT_VERSION = 1
FILE_HEADER = struct.Struct("<8sB7x")
assert FILE_HEADER.size == 16

FRAME_MAGIC = b"KFRM"
FRAME_HEADER = struct.Struct("<I4sIIIHHQqq")
assert FRAME_HEADER.size == 48

FLAG_CONTINUES = 1
FLAG_BEGINS = 2
TICKET = struct.Struct("<q16sI")
assert TICKET.size == 28
TICKET_KEY_BYTES_MAX = 255  # a UUID has 36; more is a mistake

RECORD_BYTES_MAX = (
    1 << 20
)  # one record's JSON: what a person still calls a log line, with room for payload dumps
FRAME_RAW_BYTES_TARGET = (
    1 << 16
)  # 64 KiB: the unit of reading; larger saves little space, smaller compresses badly
FRAME_RAW_BYTES_MAX = FRAME_RAW_BYTES_TARGET + RECORD_BYTES_MAX + 4096
FRAME_PAYLOAD_BYTES_MAX = FRAME_RAW_BYTES_MAX + 65536  # zstd may grow what it cannot shrink
COMPRESSION_LEVEL = (
    3  # a sixth more time than level 1 for a thirtieth less space; the next levels cost twice that
)
FEW_LINES_MAX = 8  # wanted of one frame: finding more one by one costs as much as taking all apart


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Where a frame stands in its file and which records it holds."""

    offset: int
    payload_bytes: int
    raw_bytes: int
    records: int
    first: int
    min_us: int
    max_us: int
    flags: int = 0
    ticket_bytes: int = 0

    @property
    def continues(self) -> bool:
        """Whether the batch goes on in the next frame."""
        return bool(self.flags & FLAG_CONTINUES)

    @property
    def begins(self) -> bool:
        """Whether a write begins with the frame, so that all before it was synced."""
        return bool(self.flags & FLAG_BEGINS)

    @property
    def end(self) -> int:
        """The offset after the frame's last byte."""
        return self.offset + FRAME_HEADER.size + self.payload_bytes

    @property
    def until(self) -> int:
        """The number after the frame's last record."""
        return self.first + self.records


class FrameRecords:
    """The records of one frame, taken apart as far as somebody asks: most readers want a few of hundreds.

    Args:
        first: The number of its first record.
        times_us: The time of each.
        raw: The decompressed frame.
        start: Where in `raw` the lines begin; each ends with a line feed.
    """

    __slots__ = ("_lines", "_raw", "_start", "first", "times_us")

    def __init__(self, first: int, times_us: array[int], raw: bytes, start: int = 0) -> None:
        self.first = first
        self.times_us = times_us
        self._raw = raw
        self._start = start
        self._lines: list[bytes] | None = None

    @property
    def until(self) -> int:
        """The number after the last record's."""
        return self.first + len(self.times_us)

    @property
    def text(self) -> bytes:
        """All lines, each with its line feed."""
        return self._raw[self._start :]

    @property
    def lines(self) -> list[bytes]:
        """The JSON of each record; of a deleted one nothing."""
        return self._lines if self._lines is not None else self.split()

    def split(self) -> list[bytes]:
        """Take all lines apart, if that was not done before."""
        if self._lines is None:
            lines = self.text.split(b"\n")
            lines.pop()
            self._lines = lines
        return self._lines

    def count(self) -> None:
        """See that there are as many lines as there are times.

        Raises:
            FrameDamaged: there are not.
        """
        if self._raw.count(b"\n", self._start) != len(self.times_us):
            raise _miscounted(self.first, len(self.times_us))

    def line(self, i: int) -> bytes:
        """The JSON of record `first + i`, without taking all the others apart."""
        return self.pick((i,))[0]

    def pick(self, wanted: Sequence[int]) -> list[bytes]:
        """The JSON of records `first + i`, without taking all the others apart where few are wanted.

        Args:
            wanted: Each `i`, rising.

        Raises:
            FrameDamaged: the frame holds fewer or more records than it promises, as far as that is seen here.
        """
        if self._lines is None and len(wanted) <= FEW_LINES_MAX:
            try:
                return self._walk(wanted)
            except ValueError as error:
                raise _miscounted(self.first, len(self.times_us)) from error
        lines = self.lines
        if len(lines) != len(self.times_us):
            raise _miscounted(self.first, len(self.times_us))
        return [lines[i] for i in wanted]

    def _walk(self, wanted: Sequence[int]) -> list[bytes]:
        """Some lines, found from both ends: the widest gap between those that are wanted is never gone through."""
        raw, start, last = self._raw, self._start, len(self.times_us) - 1
        ends = [-1, *wanted, last + 1]
        gaps = [after - before for before, after in pairwise(ends)]
        turn = gaps.index(max(gaps))
        front: list[bytes] = []
        at, place = start, 0
        for i in wanted[:turn]:
            for _ in range(i - place):
                at = raw.index(b"\n", at) + 1
            end = raw.index(b"\n", at)
            front.append(raw[at:end])
            at, place = end + 1, i + 1
        back: list[bytes] = []
        end, place = len(raw) - 1, last
        for i in reversed(wanted[turn:]):
            for _ in range(place - i):
                end = raw.rindex(b"\n", start, end)
            at = raw.rindex(b"\n", start, end) + 1 if i else start
            back.append(raw[at:end])
            end, place = at - 1, i - 1
        back.reverse()
        return front + back


def file_header() -> bytes:
    """The first bytes of a data file."""
    return FILE_HEADER.pack(FILE_MAGIC, FORMAT_VERSION)


def is_newer_version(data: bytes) -> int | None:
    """The version of a file header that a newer klomp wrote; None for one of ours, and for one that is damaged."""
    if len(data) < FILE_HEADER.size:
        return None
    magic, version = FILE_HEADER.unpack_from(data)
    # Versions begin with 1 and what follows is zero: whatever else stands there was not written by anybody.
    whole = FILE_HEADER.pack(magic, version) == data[: FILE_HEADER.size]
    return version if magic == FILE_MAGIC and whole and version > FORMAT_VERSION else None


def file_header_is_ours(data: bytes) -> bool:
    """Whether a file begins as we begin it; what does not is damaged, for newer files are refused before that."""
    return data.startswith(FILE_MAGIC + bytes([FORMAT_VERSION])) and len(data) >= FILE_HEADER.size


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is remembered of a batch that came with an idempotency key.

    Attributes:
        key: The key.
        digest: 16 bytes that stand for the request's body.
        arrived_us: When it came.
        records: How many records the batch has.
    """

    key: str
    digest: bytes
    arrived_us: int
    records: int

    def pack(self) -> bytes:
        """Its bytes."""
        return TICKET.pack(self.arrived_us, self.digest, self.records) + self.key.encode()


def read_ticket(header: FrameHeader, frame: bytes | memoryview) -> Ticket | None:
    """The ticket at the front of a valid frame, if it has one."""
    if not header.ticket_bytes:
        return None
    data = bytes(frame[FRAME_HEADER.size : FRAME_HEADER.size + header.ticket_bytes])
    arrived_us, digest, records = TICKET.unpack_from(data)
    return Ticket(data[TICKET.size :].decode(), digest, arrived_us, records)


@dataclass(frozen=True, slots=True)
class Packed:
    """The records of a frame, compressed, before they have numbers: what can be made anywhere, in any order."""

    records: int
    raw_bytes: int
    min_us: int
    max_us: int
    data: bytes


def frame(
    packed: Packed,
    first: int,
    *,
    continues: bool = False,
    begins: bool = False,
    ticket: Ticket | None = None,
) -> bytes:
    """The bytes of a frame whose records are numbered from `first`."""
    front = ticket.pack() if ticket else b""
    payload = front + packed.data
    rest = FRAME_HEADER.pack(
        0,
        FRAME_MAGIC,
        len(payload),
        packed.raw_bytes,
        packed.records,
        (FLAG_CONTINUES if continues else 0) | (FLAG_BEGINS if begins else 0),
        len(front),
        first,
        packed.min_us,
        packed.max_us,
    )[4:]
    crc = zlib.crc32(payload, zlib.crc32(rest))
    return struct.pack("<I", crc) + rest + payload


def batch_frames(
    packed: Sequence[Packed], first: int, ticket: Ticket | None = None, *, begins: bool = False
) -> Iterator[bytes]:
    """The frames of one batch, kept whole or not at all."""
    for i, one in enumerate(packed):
        yield frame(
            one,
            first,
            continues=i < len(packed) - 1,
            begins=begins and i == 0,
            ticket=ticket if i == 0 else None,
        )
        first += one.records


class FrameEncoder:
    """Makes frames. Holds a compressor, so one encoder belongs to one thread."""

    def __init__(self, level: int = COMPRESSION_LEVEL) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)

    def pack(self, times_us: Sequence[int], lines: Sequence[bytes]) -> Packed:
        """The records of one frame."""
        raw = array("q", times_us).tobytes() + b"\n".join(lines) + b"\n"
        return Packed(len(lines), len(raw), min(times_us), max(times_us), self._compressor.compress(raw))

    def pack_batch(self, times_us: Sequence[int], lines: Sequence[bytes]) -> list[Packed]:
        """The records of a batch, in frames of about FRAME_RAW_BYTES_TARGET bytes each."""
        ends: list[int] = []
        size = 0
        for i, line in enumerate(lines):
            size += len(line) + 9
            if size >= FRAME_RAW_BYTES_TARGET:
                ends.append(i + 1)
                size = 0
        if not ends or ends[-1] < len(lines):
            ends.append(len(lines))
        starts = [0, *ends]
        return [
            self.pack(times_us[start:end], lines[start:end]) for start, end in zip(starts, ends, strict=False)
        ]

    def encode(self, first: int, times_us: Sequence[int], lines: Sequence[bytes]) -> bytes:
        """One frame of records numbered from `first`."""
        return frame(self.pack(times_us, lines), first)

    def split(
        self,
        first: int,
        times_us: Sequence[int],
        lines: Sequence[bytes],
        ticket: Ticket | None = None,
        *,
        begins: bool = False,
    ) -> Iterator[bytes]:
        """The frames of a batch, about FRAME_RAW_BYTES_TARGET bytes each."""
        return batch_frames(self.pack_batch(times_us, lines), first, ticket, begins=begins)


def read_frame_header(data: bytes | memoryview, offset: int, at: int = 0) -> FrameHeader | None:
    """The header at `data[at:]`, which stands at `offset` in its file; None when it can't be one."""
    if len(data) - at < FRAME_HEADER.size:
        return None
    _, magic, payload, raw, records, flags, ticket, first, min_us, max_us = FRAME_HEADER.unpack_from(data, at)
    if magic != FRAME_MAGIC or not records or payload > FRAME_PAYLOAD_BYTES_MAX or raw > FRAME_RAW_BYTES_MAX:
        return None
    return FrameHeader(offset, payload, raw, records, first, min_us, max_us, flags, ticket)


def frame_is_valid(frame: bytes | memoryview) -> bool:
    """Whether the checksum of these bytes, one whole frame, holds."""
    crc: int = struct.unpack_from("<I", frame)[0]
    return zlib.crc32(memoryview(frame)[4:]) == crc


def decode_frame(header: FrameHeader, frame: bytes | memoryview) -> FrameRecords:
    """The records of a whole frame (header and payload).

    Raises:
        FrameDamaged: the checksum, the compression or the counts are wrong.
    """
    records = unpack_frame(header, frame)
    records.count()
    return records


def unpack_frame(header: FrameHeader, frame: bytes | memoryview) -> FrameRecords:
    """The same without counting its lines, which takes half as long as decompressing it.

    It is for records that the index knows: who made the index of them counted, and what the checksum covers is what
    was counted then, the promise in the header too.

    Raises:
        FrameDamaged: the checksum, the compression or the length is wrong.
    """
    if len(frame) != header.end - header.offset or not frame_is_valid(frame):
        raise FrameDamaged(f"the frame at byte {header.offset} does not match its checksum")
    try:
        raw = _decompressor().decompress(
            memoryview(frame)[FRAME_HEADER.size + header.ticket_bytes :], max_output_size=FRAME_RAW_BYTES_MAX
        )
    except zstandard.ZstdError as error:
        raise FrameDamaged(f"the frame at byte {header.offset} cannot be decompressed: {error}") from error
    at = 8 * header.records
    if len(raw) != header.raw_bytes or len(raw) <= at or not raw.endswith(b"\n"):
        raise _miscounted(header.first, header.records)
    return FrameRecords(header.first, array("q", raw[:at]), raw, at)


def _miscounted(first: int, records: int) -> FrameDamaged:
    return FrameDamaged(f"the frame from record {first} on does not hold the {records} records it promises")


class _Decompressors(threading.local):
    """One decompressor per thread: making one takes as long as using it."""

    def __init__(self) -> None:
        self.own = zstandard.ZstdDecompressor()


_decompressors = _Decompressors()


def _decompressor() -> zstandard.ZstdDecompressor:
    return _decompressors.own
