"""A record as it comes, `{"ts": 1700000000, "msg": "hello", "lvl": "WARN", …}`, and as it is kept.

Kept are its time in microseconds and, beside it, the JSON of all the rest with `message` and `level` under those
names. Three things are recognised, each by the first of its names that fits; all else is kept as it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

from storage.errors import BadRecord
from storage.format import RECORD_BYTES_MAX
from storage.times import parse_time

TIME_NAMES = ("timestamp", "@timestamp", "ts", "time", "_time")
MESSAGE_NAMES = ("message", "msg", "log", "body", "_msg")
LEVEL_NAMES = ("level", "lvl", "severity")
ADDRESS_NAMES = (
    "_stream",
    "_number",
)  # given by the store; a record read back and sent again brings stale ones

# Under these two names a value that is no time is a mistake; under the others it may be something else (a duration).
TIME_NAMES_STRICT = frozenset(TIME_NAMES[:2])
EPOCH_PLAUSIBLE_S = 10**8  # 1973: a smaller number under a name like `time` is more likely a duration

SHOWN_CHARACTERS_MAX = 60  # of a value in a message: enough to recognise it
DEPTH_MAX = 64  # the index refuses 128; nobody can read 64
FIELDS_MAX = 2048  # each name is a column of the index
FIELD_BYTES_MIN = 4  # `"":0`: a record of so many fields is no shorter

_LEVELS = {
    "trace": "trace verbose finest finer all",
    "debug": "debug fine config dbg",
    "info": "info information informational notice log",
    "warn": "warn warning",
    "error": "error err severe",
    "fatal": "fatal critical crit alert emerg emergency panic dpanic",
}
LEVELS = {name: level for level, names in _LEVELS.items() for name in names.split()}
LEVELS |= {name.upper(): level for name, level in LEVELS.items()}

_LINE_FEED = orjson.Fragment(b"\n")


def normalise(record: dict[str, Any], now_us: int) -> tuple[int, bytes]:
    """The time of a record in microseconds, and the JSON of its other fields. Takes `record` apart.

    Args:
        record: The decoded map; its keys are strings.
        now_us: The time of arrival, for a record without a time.

    Raises:
        BadRecord: `bad-timestamp`, `record-too-large`, `record-too-deep`, `too-many-fields`, `bad-value`.
    """
    time_us, record = recognise(record, now_us)
    return time_us, write(record)


def recognise(record: dict[str, Any], now_us: int) -> tuple[int, dict[str, Any]]:
    """The time of a record in microseconds, and its other fields as they are kept. Takes `record` apart.

    Args:
        record: The decoded map; its keys are strings.
        now_us: The time of arrival, for a record without a time.

    Raises:
        BadRecord: `bad-timestamp`.
    """
    time_us = _take_time(record, now_us)
    if record.get("message") is None:
        record = _rename(record, "message", MESSAGE_NAMES, _is_text)
    level = record.get("level")
    if level is None:
        record = _rename(record, "level", LEVEL_NAMES, _is_level)
        level = record.get("level")
    if type(level) is str:
        record["level"] = LEVELS.get(level) or LEVELS.get(level.lower(), level)
    if "_stream" in record or "_number" in record:
        for name in ADDRESS_NAMES:
            record.pop(name, None)
    return time_us, record


def write(record: dict[str, Any]) -> bytes:
    """The JSON of a record that was recognised.

    Raises:
        BadRecord: `record-too-large`, `record-too-deep`, `too-many-fields`, `bad-value`.
    """
    line = _dump(record)
    if len(line) > RECORD_BYTES_MAX:
        raise BadRecord(
            "record-too-large",
            f"the record has {len(line)} bytes, more than {RECORD_BYTES_MAX}",
            "split it, or leave out its largest field",
        )
    if line.count(b"{") + line.count(b"[") > DEPTH_MAX:
        _check_depth(record)
    if line.count(b'":') > FIELDS_MAX and _fields(record) > FIELDS_MAX:
        raise BadRecord(
            "too-many-fields", f"the record has more than {FIELDS_MAX} fields", "send them as an array"
        )
    return line


def write_all(records: list[dict[str, Any]]) -> list[bytes] | None:
    """What `write` gives for each of some records; None where some need a look of its own.

    One call for all of them takes a fifth of the time. A line feed stands between them that can be nowhere else.
    """
    if not records:
        return []
    between: list[Any] = [_LINE_FEED] * (2 * len(records) - 1)
    between[::2] = records
    try:
        text = orjson.dumps(between)
    except (TypeError, ValueError):
        return None
    lines = text[1:-1].split(b",\n,")
    longest = max(map(len, lines))
    if longest > RECORD_BYTES_MAX:
        return None
    if longest > FIELDS_MAX * FIELD_BYTES_MIN and any(line.count(b'":') > FIELDS_MAX for line in lines):
        return None
    # Each of the others has one bracket at least.
    if text.count(b"{") + text.count(b"[") - len(lines) >= DEPTH_MAX and any(
        line.count(b"{") + line.count(b"[") > DEPTH_MAX for line in lines
    ):
        return None
    return lines


def _take_time(record: dict[str, Any], now_us: int) -> int:
    """Remove the record's time from it and return it."""
    value = record.get("timestamp")
    if type(value) is str:  # as most have it
        time_us = parse_time(value)
        if time_us is not None:
            del record["timestamp"]
            return time_us
    for name in TIME_NAMES:
        value = record.get(name)
        if value is None:
            if name == "timestamp":
                record.pop(name, None)  # an explicit nil says the same as nothing
            continue
        time_us = parse_time(value)
        strict = name in TIME_NAMES_STRICT
        if time_us is None:
            if not strict:
                continue
            raise BadRecord(
                "bad-timestamp",
                f"{name} is {_shown(value)}, which is no time",
                "use RFC 3339, or a number of s, ms, us or ns since 1970, between the years 1685 and 2255",
            )
        if not strict and type(value) is not str and abs(value) < EPOCH_PLAUSIBLE_S:
            continue
        del record[name]
        return time_us
    return now_us


def _shown(value: object) -> str:
    """A value of a record as its sender wrote it, in JSON, bounded."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[: SHOWN_CHARACTERS_MAX - 1] + "…"


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_level(value: object) -> bool:
    return type(value) is str and (value in LEVELS or value.lower() in LEVELS)


def _rename(record: dict[str, Any], to: str, names: tuple[str, ...], fits: Any) -> dict[str, Any]:
    """The record with the first of `names` that fits called `to`, in its place."""
    for name in names:
        if name in record and fits(record[name]):
            if name == to:
                return record
            return {(to if key == name else key): value for key, value in record.items() if key != to}
    return record


def _dump(record: dict[str, Any]) -> bytes:
    try:
        return _exact(orjson.dumps(record))
    except (TypeError, ValueError):
        _check_depth(record)
    try:
        return _exact(orjson.dumps(_to_64_bits(record)))
    except (TypeError, ValueError) as error:
        raise BadRecord("bad-value", f"the record has a value that JSON cannot hold: {error}") from error


def _exact(data: bytes) -> bytes:
    """The same bytes in no more memory than they need: orjson's own keep a buffer of some kilobytes each."""
    return memoryview(data).tobytes()


def _to_64_bits(value: Any) -> Any:
    """The same value with integers past 64 bits as floats, as every JSON reader of 64 bits takes them."""
    if type(value) is int and not -(2**63) <= value < 2**64:
        try:
            return float(value)
        except OverflowError:
            return str(value)
    if type(value) is list:
        return [_to_64_bits(item) for item in value]
    if type(value) is dict:
        return {key: _to_64_bits(item) for key, item in value.items()}
    return value


def _check_depth(record: dict[str, Any]) -> None:
    if _depth(record) > DEPTH_MAX:
        raise BadRecord("record-too-deep", f"the record nests deeper than {DEPTH_MAX} levels", "flatten it")


def _depth(value: Any) -> int:
    """Levels of maps and arrays; counted in rounds, so that no depth can exhaust the stack."""
    depth, level = 0, _containers([value])
    while level:
        depth += 1
        level = _containers(child for item in level for child in _children(item))
    return depth


def _fields(value: Any) -> int:
    """Names of all maps in a value."""
    count, level = 0, _containers([value])
    while level:
        count += sum(len(item) for item in level if isinstance(item, dict))
        level = _containers(child for item in level for child in _children(item))
    return count


def _containers(values: Iterable[Any]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if isinstance(value, dict | list)]


def _children(container: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def render(line: bytes, time_us_text: str, stream: str, number: int) -> bytes:
    """The JSON of a whole row: the record with its time before it and its address behind it.

    Args:
        line: The record's stored JSON.
        time_us_text: Its time as RFC 3339.
        stream: A checked stream name, which needs no escape.
        number: Its number.
    """
    body = line[1:-1] + b"," if len(line) > 2 else b""
    return b'{"timestamp":"%b",%b"_stream":"%b","_number":%d}' % (
        time_us_text.encode(),
        body,
        stream.encode(),
        number,
    )
