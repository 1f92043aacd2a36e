"""The documents of the index, cut out of stored lines, are those that reading the lines gives."""

import re
from array import array

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from storage.format import FrameRecords
from storage.index_document import document, documents

NAMES = st.sampled_from(
    ["message", "level", "a", "a.b", "", "m\x01n", 'quo"te', "message ", "\ue000x"]
) | st.text(max_size=4)
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        '","',
        "\\",
        '"',
        '\\","a":"',
        '","message":"',
        "2026-01-02T03:04:05Z",
        "2026-01-02",
        "\ue000",
        "\x00\x01",
        "x" * 300,
        "ü" * 200,
        "é" * 70_000,
        "[" * 30,
        "{{",
    ]
)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0)
VALUES = st.recursive(
    TEXTS | NUMBERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=5)
DEEP = st.integers(15, 30).map(lambda n: {"message": "m", "deep": orjson.loads(b"[" * n + b"]" * n)})


@example([None, {"message": {"message": ""}}])
@given(st.lists(st.none() | RECORDS | DEEP, min_size=1, max_size=8))
def test_a_document_cut_out_of_its_line_is_the_one_that_was_read(records):
    lines = [b"" if record is None else orjson.dumps(record) for record in records]
    raw = b"".join(line + b"\n" for line in lines)
    frame = FrameRecords(7, array("q", range(len(lines))), raw)
    want = [document(line, i, "main", 7 + i) for i, line in enumerate(lines) if line]
    got = list(documents(frame, "main"))
    assert [isinstance(one, dict) for one in got] == [misread(line) for line in lines if line]
    assert [same(one) for one in got] == [same(orjson.dumps(one)) for one in want]


def misread(line):
    """Whether a float of so many digits that the engine's JSON reader takes another one for it is in a line."""
    return bool(re.search(rb"[:,[]-?((?=[\d.]{17})\d+\.|\d(\.\d+)?[eE])", line))


def same(document):
    """A document so that what differs looks different, -0.0 from 0 and true from 1 too."""
    values = document if isinstance(document, dict) else orjson.loads(document)
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)


@given(
    st.lists(st.binary(max_size=6).map(lambda b: b.replace(b"\n", b"")), min_size=1, max_size=9),
    st.integers(0, 8),
)
def test_a_line_of_a_frame_is_found_without_taking_the_others_apart(lines, i):
    i %= len(lines)
    raw = b"times..." + b"".join(line + b"\n" for line in lines)
    frame = FrameRecords(1, array("q", range(len(lines))), raw, 8)
    assert frame.line(i) == lines[i]
    assert frame.lines == lines
    assert frame.line(i) == lines[i]
    assert frame.until == 1 + len(lines)
