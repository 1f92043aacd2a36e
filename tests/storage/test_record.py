"""What is recognised in a record, what is refused, and that nothing else is touched."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import BadRecord
from storage.format import RECORD_BYTES_MAX
from storage.record import DEPTH_MAX, FIELDS_MAX, normalise, render
from storage.times import TIME_US_MAX, TIME_US_MIN, format_time, parse_time

NOW_US = 1_767_225_600_000_000
T = 1_740_960_007_151_000  # 2025-03-03T00:00:07.151Z


def kept(record):
    time_us, line = normalise(dict(record), NOW_US)
    return time_us, orjson.loads(line)


@pytest.mark.parametrize(
    "value",
    [
        "2025-03-03T00:00:07.151Z",
        "2025-03-03t00:00:07.151z",
        "2025-03-03 00:00:07.151",
        "2025-03-03T01:00:07.151+01:00",
        "2025-03-03T00:00:07,151Z",
        "2025-03-03T00:00:07.151000999Z",
        T / 1e6,
        T // 1000,
        T,
        T * 1000 + 999,
        str(T // 1000),
        f"{T / 1e6:.3f}",
    ],
)
def test_times_in_all_their_forms(value):
    assert parse_time(value) == T


@pytest.mark.parametrize(
    "value", ["", "yesterday", "2025-13-01T00:00:00Z", "9999-01-01T00:00:00Z", True, None, [], 2**70]
)
def test_what_is_no_time(value):
    assert parse_time(value) is None


def test_a_leap_second_is_the_second_after():
    assert format_time(parse_time("2016-12-31T23:59:60.5Z")) == "2017-01-01T00:00:00.500000Z"


@given(st.integers(TIME_US_MIN, TIME_US_MAX))
def test_a_time_that_was_written_is_read_back(us):
    assert parse_time(format_time(us)) == us


@pytest.mark.parametrize("name", ["timestamp", "@timestamp", "ts", "time", "_time"])
def test_the_names_of_the_time(name):
    assert kept({name: "2025-03-03T00:00:07.151Z", "x": 1}) == (T, {"x": 1})


def test_the_first_name_that_fits_wins_and_the_others_stay():
    assert kept({"time": "soon", "ts": T, "_time": T + 1}) == (T, {"time": "soon", "_time": T + 1})


def test_a_duration_called_time_is_no_time():
    assert kept({"time": 0.25}) == (NOW_US, {"time": 0.25})


def test_without_a_time_it_is_the_arrival():
    assert kept({"timestamp": None, "a": 1}) == (NOW_US, {"a": 1})


def test_a_timestamp_that_is_none_is_a_mistake():
    with pytest.raises(BadRecord, match='"yesterday", which is no time') as caught:
        kept({"timestamp": "yesterday"})
    assert (caught.value.code, "RFC 3339" in caught.value.hint) == ("bad-timestamp", True)


@pytest.mark.parametrize("name", ["message", "msg", "log", "body", "_msg"])
def test_the_names_of_the_message_keep_their_place(name):
    _, line = normalise({"a": 1, name: "hi", "b": 2}, NOW_US)
    assert line == b'{"a":1,"message":"hi","b":2}'


def test_what_is_no_text_is_no_message():
    assert kept({"log": {"level": "x"}, "body": "hi"})[1] == {"log": {"level": "x"}, "message": "hi"}
    assert kept({"message": 5, "msg": "hi"})[1] == {"message": 5, "msg": "hi"}


@pytest.mark.parametrize(
    ("given_level", "level"),
    [
        ("WARNING", "warn"),
        ("Err", "error"),
        ("notice", "info"),
        ("CRIT", "fatal"),
        ("Trace", "trace"),
        ("odd", "odd"),
    ],
)
def test_levels(given_level, level):
    assert kept({"level": given_level})[1] == {"level": level}


def test_the_names_of_the_level():
    assert kept({"severity": "ERROR"})[1] == {"level": "error"}
    assert kept({"severity": "high"})[1] == {"severity": "high"}
    assert kept({"level": 30, "lvl": "info"})[1] == {"level": 30, "lvl": "info"}


def test_a_stale_address_is_not_kept():
    assert kept({"_stream": "x", "_number": 3, "a": 1})[1] == {"a": 1}


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"a": "x" * RECORD_BYTES_MAX}, "record-too-large"),
        ({f"f{i}": i for i in range(FIELDS_MAX + 1)}, "too-many-fields"),
        ({"a": "\ud800"}, "bad-value"),
    ],
)
def test_records_that_cannot_be_kept(record, code):
    with pytest.raises(BadRecord) as caught:
        normalise(record, NOW_US)
    assert caught.value.code == code


@pytest.mark.parametrize(("depth", "good"), [(DEPTH_MAX, True), (DEPTH_MAX + 1, False), (900, False)])
def test_depth_is_bounded(depth, good):
    record = {}
    for _ in range(depth - 1):
        record = {"a": record}
    if good:
        assert kept(record)[1] == record
    else:
        with pytest.raises(BadRecord, match="deeper"):
            normalise(record, NOW_US)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=6).filter(lambda k: k not in {"level", "lvl"}), JSON, max_size=6))
def test_everything_else_is_kept_as_it_came(record):
    special = {"timestamp", "@timestamp", "ts", "time", "_time", "msg", "log", "body", "_msg", "severity"}
    record = {k: v for k, v in record.items() if k not in special and not k.startswith("_")}
    assert kept(record) == (NOW_US, record)


def test_a_kept_line_takes_no_more_memory_than_it_needs():
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept_lines = [normalise({"n": n}, NOW_US)[1] for n in range(50_000)]
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 50_000
    assert len(kept_lines) == 50_000


def test_integers_past_64_bits_become_floats():
    assert kept({"n": 2**70})[1] == {"n": float(2**70)}


def test_a_row_is_the_record_between_its_time_and_its_address():
    assert render(b'{"a":1}', format_time(0), "main", 7) == (
        b'{"timestamp":"1970-01-01T00:00:00.000000Z","a":1,"_stream":"main","_number":7}'
    )
    assert orjson.loads(render(b"{}", format_time(0), "main", 7))["_number"] == 7
