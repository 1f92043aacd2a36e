"""What times, durations and ranges mean."""

import pytest
from strategies import NOW_US

from dsl.parse import parse
from dsl.time import (
    TIME_US_MAX,
    TIME_US_MIN,
    UNITS_US,
    BadTime,
    Instant,
    Time,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
    parse_moment,
    rfc3339,
)

HOUR, DAY = UNITS_US["h"], UNITS_US["d"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("now", "2026-01-02T03:04:05.678901Z"),
        ("now-15m", "2026-01-02T02:49:05.678901Z"),
        ("now+1h", "2026-01-02T04:04:05.678901Z"),
        ("now-1h30m", "2026-01-02T01:34:05.678901Z"),
        ("now/ms", "2026-01-02T03:04:05.678000Z"),
        ("now/s", "2026-01-02T03:04:05.000000Z"),
        ("now/m", "2026-01-02T03:04:00.000000Z"),
        ("now/h", "2026-01-02T03:00:00.000000Z"),
        ("now/d", "2026-01-02T00:00:00.000000Z"),
        ("now/w", "2025-12-29T00:00:00.000000Z"),  # a Monday
        ("now-1d/d", "2026-01-01T00:00:00.000000Z"),
        ("now-1d-2h", "2026-01-01T01:04:05.678901Z"),
        ("now/d-1h", "2026-01-01T23:00:00.000000Z"),
        ("2026-01-02", "2026-01-02T00:00:00.000000Z"),
        ("2026", "2026-01-01T00:00:00.000000Z"),
        ("2026-01-02T03:04", "2026-01-02T03:04:00.000000Z"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05.000000Z"),
        ("2026-01-02t03:04:05.5z", "2026-01-02T03:04:05.500000Z"),
        ("2026-01-02T03:04:05.6789019+02:00", "2026-01-02T01:04:05.678901Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ("0001-01-01", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_moment(text: str, want: str) -> None:
    moment = parse_moment(text)
    assert format_instant(moment.resolve(NOW_US)) == want
    assert parse_moment(moment.text()) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "now-",
        "now-15",
        "now 15m",
        "now-5x",
        "now/y",
        "now-1M",
        "2026-13-01",
        "2026-02-29",
        "2026-01-02T24:00",
        "2026-01-02T03:04:60Z",
        "2026-01-02T03:04:05+24:00",
        "0000-01-01",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "1767323045",
        "now-99999999999999999999d",
        "now" + "-9999999d" * 900,
        "\uff12026-01-01",
    ],
)
def test_no_moment(text: str) -> None:
    with pytest.raises(BadTime) as caught:
        parse_moment(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("15m", 15 * 60_000_000),
        ("1h30m", 5_400_000_000),
        ("250ms", 250_000),
        ("1w", 7 * DAY),
        ("0s", 0),
        ("90m", 5_400_000_000),
    ],
)
def test_a_duration(text: str, us: int) -> None:
    assert parse_duration(text) == us
    assert parse_duration(format_duration(us)) == us


@pytest.mark.parametrize(
    "text", ["", "m", "15", "-5m", "1.5h", "1h 30m", "5y", "9" * 30 + "d", "\uff19m", "999999999d"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(BadTime):
        parse_duration(text)


def test_a_moment_far_from_now_stays_within_the_years() -> None:
    assert parse_moment("now-3000000d").resolve(NOW_US) == TIME_US_MIN
    assert parse_moment("now+3000000d").resolve(NOW_US) == TIME_US_MAX


def test_full_times_of_records() -> None:
    assert rfc3339("2026-01-02T03:04:05Z") == parse_instant("2026-01-02T03:04:05Z")
    assert rfc3339("2026-01-02") is None
    assert rfc3339("2026-01-02T03:04:05") is None
    assert rfc3339("2026-02-30T03:04:05Z") is None
    assert rfc3339("2026-01-02T03:04:05." + "9" * 50 + "Z") == NOW_US // 10**6 * 10**6 + 999_999


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ('{:last "1h"}', NOW_US - HOUR, NOW_US),
        ('{:last #log/duration "90m"}', NOW_US - 90 * 60_000_000, NOW_US),
        ('{:since "now-1h"}', NOW_US - HOUR, None),
        ('{:until "now"}', None, NOW_US),
        ('{:since "now-1d/d" :until "now/d"}', NOW_US // DAY * DAY - DAY, NOW_US // DAY * DAY),
        ('{:since #inst "1970-01-01" :until "1970-01-01T00:00:01Z"}', 0, 1_000_000),
    ],
)
def test_a_range(text: str, low: int | None, high: int | None) -> None:
    query = parse(f"{{:time {text}}}", now_us=NOW_US)
    assert query.time is not None
    assert query.time.resolve(NOW_US) == (low, high)


def test_around_an_instant_is_as_long_before_it_as_after_it():
    query = parse('{:time {:around "2026-01-02T10:00:00Z" :within "5m"}}')
    low, high = query.time.resolve(0)
    assert (format_instant(low), format_instant(high)) == (
        "2026-01-02T09:55:00.000000Z",
        "2026-01-02T10:05:00.000000Z",
    )
    assert parse('{:time {:around "now-1h" :within "1h"}}').time.resolve(NOW_US) == (
        NOW_US - 2 * UNITS_US["h"],
        NOW_US,
    )
    assert Time(around=Instant(instant_us=TIME_US_MIN), within_us=5).resolve(0) == (
        TIME_US_MIN,
        TIME_US_MIN + 5,
    )
