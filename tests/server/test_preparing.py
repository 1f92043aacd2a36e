"""Many records are prepared at once, with what each would get alone."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.preparing import SOME_RECORDS, Batch, Rejected, prepare
from server.protocols import edn, json, ndjson
from storage.errors import BadRecord
from storage.format import RECORD_BYTES_MAX
from storage.record import DEPTH_MAX, FIELDS_MAX, normalise, recognise, write, write_all

NOW_US = 1_700_000_000_000_000


def one_by_one(decode, body):
    """The same, a record at a time: what it is compared with."""
    batch = Batch(Rejected())
    for index, record in enumerate(decode(body)):
        try:
            if isinstance(record, BadRecord):
                raise record
            time_us, line = normalise(record, NOW_US)
        except BadRecord as error:
            batch.rejected.add(index, error)
        else:
            batch.times_us.append(time_us)
            batch.lines.append(line)
    return batch


def nested(depth):
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


LINES = [
    b"{}",
    b'{"message":"hello","timestamp":"2026-01-02T10:00:00Z"}',
    b'{"msg":"a\\n,{\\"b\\":[[[","lvl":"WARN","ts":1700000000.5}',
    b'{"a":{"b":[{"c":1},{"d":"},{"}]}}',
    b'{"timestamp":"soon"}',
    b'{"timestamp":"2026-01-02t10:00:60z","_number":7}',
    b'{"@timestamp":null,"severity":"nope","time":3}',
    b'{"big":123456789012345678901234567890}',
    b'{"a":"' + b"long" * FIELDS_MAX + b'"}',
    b"[1]",
    b"{broken",
    b'{"a":"\xff"}',
    b"",
    nested(DEPTH_MAX),
    nested(DEPTH_MAX + 1),
    nested(250),
    nested(254),
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(LINES), max_size=12), st.integers(0, 2))
def test_a_batch_is_what_its_lines_are_one_by_one(lines, times):
    body = b"\n".join(lines * (1 + times * SOME_RECORDS // 8))
    assert prepare(ndjson.decode, body, NOW_US) == one_by_one(ndjson.decode, body)


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":"' + b"x" * RECORD_BYTES_MAX + b'"}',
        b'{"a":"' + b"x" * (RECORD_BYTES_MAX - 8) + b'"}',
        nested(DEPTH_MAX),
        nested(DEPTH_MAX + 1),
        orjson.dumps({f"f{i}": i for i in range(FIELDS_MAX)}),
        orjson.dumps({f"f{i}": i for i in range(FIELDS_MAX + 1)}),
        orjson.dumps({f"{i:x}": i for i in range(FIELDS_MAX + 1)}),
        orjson.dumps({"a": {chr(0x4E00 + i): 0 for i in range(FIELDS_MAX)}}),
    ],
)
@pytest.mark.parametrize("before", [0, 1, SOME_RECORDS - 1])
def test_a_record_at_a_limit_is_judged_alone(line, before):
    body = b"\n".join([b'{"n":1}'] * before + [b"[]", line, b'{"n":2}'])
    assert prepare(ndjson.decode, body, NOW_US) == one_by_one(ndjson.decode, body)


@pytest.mark.parametrize(
    ("decode", "body"),
    [
        (edn.decode, b"{:a 123456789012345678901234567890} 7 {:b 1}"),
        (json.decode, b'[{"a":1},2,{"timestamp":false},{"b":1}]'),
    ],
)
def test_other_protocols_have_their_mistakes_in_order_too(decode, body):
    assert prepare(decode, body, NOW_US) == one_by_one(decode, body)


def test_a_value_that_json_has_not_is_named_alone():
    def decode(_):
        yield {"a": 1}
        yield {"a": object()}
        yield {"a": 2**70}

    batch = prepare(decode, b"", NOW_US)
    assert batch == one_by_one(decode, b"")
    assert [r["index"] for r in batch.rejected.listed] == [1]


def test_mistakes_of_all_kinds_are_told_in_their_order():
    bad = [b"[]", nested(70), b'{"timestamp":"soon"}', b'{"n":1}']
    batch = prepare(ndjson.decode, b"\n".join(bad * SOME_RECORDS), NOW_US)
    assert batch.rejected.count == 3 * SOME_RECORDS
    assert [r["index"] for r in batch.rejected.listed] == [i for i in range(200) if i % 4 != 3][:100]


@settings(max_examples=60)
@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=3),
            st.recursive(
                st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
                max_leaves=5,
            ),
            max_size=4,
        ),
        max_size=5,
    )
)
def test_lines_written_at_once_are_those_written_one_by_one(records):
    kept = [recognise(dict(record), NOW_US)[1] for record in records if "timestamp" not in record]
    lines = write_all(kept)
    assert lines is None or lines == [write(record) for record in kept]
