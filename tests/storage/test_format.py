"""The frame format: what is written is read, and no changed byte goes unseen."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import FrameDamaged
from storage.format import (
    FILE_HEADER,
    FRAME_HEADER,
    FRAME_RAW_BYTES_TARGET,
    FrameEncoder,
    Ticket,
    decode_frame,
    file_header,
    file_header_is_ours,
    frame_is_valid,
    is_newer_version,
    read_frame_header,
    read_ticket,
)
from storage.format import frame as make_frame

LINES = st.lists(st.binary(max_size=200).map(lambda b: b.replace(b"\n", b" ")), min_size=1, max_size=50)


@given(LINES, st.integers(1, 2**40), st.integers(-(2**53), 2**53))
def test_a_frame_gives_back_its_records(lines, first, time_us):
    times = [time_us + i for i in range(len(lines))]
    frame = FrameEncoder().encode(first, times, lines)
    header = read_frame_header(frame, 0)
    assert header is not None
    assert (header.first, header.until, header.end) == (first, first + len(lines), len(frame))
    assert (header.min_us, header.max_us) == (times[0], times[-1])
    records = decode_frame(header, frame)
    assert (records.first, list(records.times_us), records.lines) == (first, times, lines)


def test_every_flipped_byte_is_seen():
    frame = FrameEncoder().encode(7, [1, 2, 3], [b'{"a":1}', b'{"b":2}', b'{"c":3}'])
    for at in range(len(frame)):
        damaged = bytearray(frame)
        damaged[at] ^= 0x40
        assert not frame_is_valid(bytes(damaged)), at


def test_a_batch_is_split_into_frames_of_about_the_target():
    lines = [b"x" * 1000] * 500
    frames = list(FrameEncoder().split(1, list(range(500)), lines))
    headers = [read_frame_header(frame, 0) for frame in frames]
    assert sum(h.records for h in headers) == 500
    assert [h.first for h in headers] == [
        1 + sum(h.records for h in headers[:i]) for i in range(len(headers))
    ]
    assert all(FRAME_RAW_BYTES_TARGET <= h.raw_bytes < FRAME_RAW_BYTES_TARGET + 2000 for h in headers[:-1])


def test_a_decompression_that_promises_too_much_is_damage():
    frame = FrameEncoder().encode(1, [1], [b"{}"])
    header = read_frame_header(frame, 0)
    shorter = frame[:-1]
    with pytest.raises(FrameDamaged):
        decode_frame(header, shorter)


def test_headers_of_newer_versions_are_told_from_damaged_ones():
    newer, damaged = FILE_HEADER.pack(b"KLOMPLOG", 9), b"KLOMPLOG\x09" + bytes(6) + b"\x01"
    assert file_header_is_ours(file_header())
    assert is_newer_version(newer) == 9
    for other in (newer, damaged, b"PARQUET1" + bytes(8), FILE_HEADER.pack(b"KLOMPLOG", 0), b"KLO", b""):
        assert not file_header_is_ours(other)
        assert other == newer or is_newer_version(other) is None


def test_the_documented_layout_is_the_layout():
    frame = FrameEncoder().encode(5, [-3, 9], [b"{}", b'{"a":1}'])
    assert FRAME_HEADER.size == 48
    assert frame[4:8] == b"KFRM"
    assert struct.unpack_from("<III", frame, 8) == (len(frame) - 48, 16 + 3 + 8, 2)
    assert struct.unpack_from("<HH", frame, 20) == (0, 0)
    assert struct.unpack_from("<Qqq", frame, 24) == (5, -3, 9)
    ticket = Ticket("key", b"d" * 16, 77, 2)
    packed = FrameEncoder().pack([-3, 9], [b"{}", b'{"a":1}'])
    frame = make_frame(packed, 5, continues=True, ticket=ticket)
    assert struct.unpack_from("<HH", frame, 20) == (1, 28 + 3)
    assert struct.unpack_from("<q16sI3s", frame, 48) == (77, b"d" * 16, 2, b"key")
    header = read_frame_header(frame, 0)
    assert read_ticket(header, frame) == ticket
    assert decode_frame(header, frame).lines == [b"{}", b'{"a":1}']
