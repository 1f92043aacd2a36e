"""Time as a query writes it: `now-1d/d`, `2026-01-02T03:04:05Z`, `{:last "1h"}`, `{:since … :until …}`.

All times are microseconds since 1970 UTC. What is relative to now stays so until a caller says, once, when
now is.
RFC 3339: https://www.rfc-editor.org/rfc/rfc3339
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, TypeAlias

from dsl.errors import quoted
from dsl.nodes import Node, Open

Unit: TypeAlias = Literal["ms", "s", "m", "h", "d", "w"]

UNITS_US: dict[str, int] = {
    "w": 7 * 86_400_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
}
"""Microseconds of each unit, the largest first. Months and years are none: their lengths differ."""

WEEK_ORIGIN_US = 4 * UNITS_US["d"]  # 1970-01-05, the first Monday: weeks are counted from it
TIME_US_MIN = (
    -62_135_596_800_000_000
)  # 0001-01-01T00:00:00Z, the first instant that RFC 3339 and Python share
TIME_US_MAX = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z, the last
DURATION_US_MAX = TIME_US_MAX - TIME_US_MIN
_DIGITS_MAX = 18  # of a count in a duration: more would pass every bound, and long integers cost time

_MINUTE_US = UNITS_US["m"]
_DAY_US = UNITS_US["d"]
_CLOCK = [f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in range(60)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# RFC 3339 (a blank may stand for the T, as its note has it); as in `#inst` parts after the year may miss.
_TIME = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,18}))?)?)?)?)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_FULL_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DURATION = re.compile(r"(?:[0-9]+[a-zA-Zµ]+)+")
_DURATION_PART = re.compile(r"([0-9]+)([a-zA-Zµ]+)")
_RELATIVE = re.compile(r"now((?:[+-](?:[0-9]+[a-zA-Zµ]+)+|/[a-zA-Zµ]+)*)")
_STEP = re.compile(r"([+-])((?:[0-9]+[a-zA-Zµ]+)+)|/([a-zA-Zµ]+)")

_MEANT = {
    **dict.fromkeys(("sec", "secs", "second", "seconds", "S"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours", "H"), "h"),
    **dict.fromkeys(("day", "days", "D"), "d"),
    **dict.fromkeys(("week", "weeks", "W"), "w"),
    **dict.fromkeys(("millis", "msec", "millisecond", "milliseconds", "MS"), "ms"),
}
_UNITS_HINT = "the units are ms s m h d w, as in 90m or 1h30m"
_TIME_HINT = 'write now, now-15m, now-1d/d, "2026-01-02T03:04:05Z" or #inst "2026-01-02T03:04:05Z"'


class BadTime(ValueError):
    """A text that is no time or no duration: `code` is `bad-time` or `bad-duration`."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Instant(Node):
    """A point in time: microseconds since 1970 UTC."""

    instant_us: int

    def resolve(self, now_us: int) -> int:
        """The instant itself, whenever now is."""
        del now_us
        return self.instant_us

    def text(self) -> str:
        """As RFC 3339 in UTC, with a fraction only where there is one."""
        return format_instant(self.instant_us).replace(".000000Z", "Z")


class Relative(Node):
    """A point in time by steps from now: a number shifts by microseconds, a unit rounds down to its start."""

    steps: tuple[int | Unit, ...]

    def resolve(self, now_us: int) -> int:
        """The instant at `now_us`, held within the years 1 to 9999."""
        us = now_us
        for step in self.steps:
            us = us + step if isinstance(step, int) else floor_to(us, step)
            us = min(max(us, TIME_US_MIN), TIME_US_MAX)
        return us

    def text(self) -> str:
        """As it is written: `now-1d/d`."""
        return "now" + "".join(_step_text(step) for step in self.steps)


Moment: TypeAlias = Instant | Relative


class Time(Node):
    """The time range of a query, half-open.

    It is `last` microseconds before now, from `since` to `until`, or `within` microseconds before and after `around`.
    """

    last_us: Open[int | None] = None
    since: Open[Moment | None] = None
    until: Open[Moment | None] = None
    around: Open[Moment | None] = None
    within_us: Open[int | None] = None

    @property
    def has_both_ends(self) -> bool:
        """Whether neither end is open."""
        return self.last_us is not None or self.around is not None or None not in (self.since, self.until)

    def resolve(self, now_us: int) -> tuple[int | None, int | None]:
        """From when, and until when (not included); None where that end is open."""
        if self.last_us is not None:
            return max(now_us - self.last_us, TIME_US_MIN), now_us
        if self.around is not None and self.within_us is not None:
            at_us = self.around.resolve(now_us)
            return max(at_us - self.within_us, TIME_US_MIN), min(at_us + self.within_us, TIME_US_MAX)
        low = None if self.since is None else self.since.resolve(now_us)
        return low, None if self.until is None else self.until.resolve(now_us)


def floor_to(us: int, unit: str) -> int:
    """The beginning of the unit that holds an instant, in UTC; a week begins on Monday."""
    origin = WEEK_ORIGIN_US if unit == "w" else 0
    return us - (us - origin) % UNITS_US[unit]


def parse_duration(text: str) -> int:
    """Microseconds of `90m`, `1h30m`, `250ms`.

    Raises:
        BadTime: it is no duration (`bad-duration`).
    """
    if not _DURATION.fullmatch(text):
        raise BadTime("bad-duration", f"not a duration: {_shown(text)}", _UNITS_HINT)
    us = 0
    for count, unit in _DURATION_PART.findall(text):
        us += _shift(count, unit)
    if us > DURATION_US_MAX:
        raise BadTime(
            "bad-duration", f"a duration of more than 9999 years: {_shown(text)}", "write a shorter one"
        )
    return us


def parse_moment(text: str) -> Moment:
    """The point in time that a text names.

    Raises:
        BadTime: it names none (`bad-time`), or a unit of it is unknown (`bad-duration`).
    """
    relative = _RELATIVE.fullmatch(text)
    if relative:
        return Relative(steps=tuple(_steps(text)))
    us = parse_instant(text)
    if us is None:
        raise BadTime("bad-time", f"not a time: {_shown(text)}", _TIME_HINT)
    return Instant(instant_us=us)


def parse_instant(text: str) -> int | None:
    """Microseconds of an RFC 3339 time or a beginning of one, UTC where it has no zone; None of others."""
    match = _TIME.fullmatch(text)
    return None if match is None else _microseconds(match)


def rfc3339(text: str) -> int | None:
    """Microseconds of a full RFC 3339 time, cut below the microsecond; None when the text is none."""
    match = _FULL_TIME.fullmatch(text)
    return None if match is None else _microseconds(match)


def format_instant(us: int) -> str:
    """An instant as rows have it: RFC 3339 in UTC with six decimals."""
    text = (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def format_instants(instants: Sequence[int]) -> list[str]:
    """Many instants as rows have them, faster: they share days, or lie alike in them.

    The beginning of a bucket may lie before the year 1: it is held within the years 1 to 9999.
    """
    if instants and (min(instants) < TIME_US_MIN or max(instants) > TIME_US_MAX):
        instants = [min(max(us, TIME_US_MIN), TIME_US_MAX) for us in instants]
    days: dict[int, str] = {}
    rests: dict[int, str] = {}
    texts = []
    for us in instants:
        day, rest = divmod(us, _DAY_US)
        if day not in days:
            days[day] = format_instant(day * _DAY_US)[:11]
        if rest not in rests:
            minute, in_minute = divmod(rest, _MINUTE_US)
            second, fraction = divmod(in_minute, UNITS_US["s"])
            rests[rest] = f"{_CLOCK[minute]}:{second:02d}.{fraction:06d}Z"
        texts.append(days[day] + rests[rest])
    return texts


def format_duration(us: int) -> str:
    """A duration in the fewest units: `1h30m`. A part of a millisecond is not shown: no unit is smaller."""
    parts = []
    for unit, unit_us in UNITS_US.items():
        count, us = divmod(us, unit_us)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _microseconds(match: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    leap = second == "60"
    try:
        zone = timezone(_offset(offset))
        date = int(year), int(month or 1), int(day or 1)
        clock = int(hour or 0), int(minute or 0), 59 if leap else int(second or 0)
        moment = datetime(*date, *clock, tzinfo=zone)
    except ValueError:
        return None
    us = (moment - _EPOCH) // _MICROSECOND + int((fraction or "0")[:6].ljust(6, "0"))
    if leap:  # a leap second ends an hour; it counts as the second after
        if moment.minute != 59:
            return None
        us += UNITS_US["s"]
    return us if TIME_US_MIN <= us <= TIME_US_MAX else None


def _offset(text: str | None) -> timedelta:
    if text is None or text in "Zz":
        return timedelta()
    hours, minutes = int(text[1:3]), int(text[4:])
    if hours > 23 or minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if text[0] == "-" else offset


def _steps(text: str) -> list[int | Unit]:
    """The steps of a relative time, shifts one after another taken together."""
    steps: list[int | Unit] = []
    total = 0
    for sign, duration, unit in _STEP.findall(text):
        if unit:
            steps.append(_unit(unit))
            continue
        shift = parse_duration(duration) * (-1 if sign == "-" else 1)
        total += abs(shift)
        if steps and isinstance(steps[-1], int):
            shift += steps.pop()  # type: ignore[operator]
        if shift:
            steps.append(shift)
    if total > DURATION_US_MAX:
        raise BadTime(
            "bad-time", f"more than 9999 years from now: {_shown(text)}", "write a time nearer to now"
        )
    return steps


def _step_text(step: int | Unit) -> str:
    if not isinstance(step, int):
        return f"/{step}"
    return ("-" if step < 0 else "+") + format_duration(abs(step))


def _shift(count: str, unit: str) -> int:
    if len(count) > _DIGITS_MAX:
        raise BadTime(
            "bad-duration",
            f"a duration of more than 9999 years: {_shown(count + unit)}",
            "write a shorter one",
        )
    return int(count) * UNITS_US[_unit(unit)]


def _unit(text: str) -> Unit:
    if text in UNITS_US:
        return text  # type: ignore[return-value]  # the keys are the units
    meant = _MEANT.get(text)
    if meant is None and text in {"M", "mo", "month", "months", "y", "Y", "year", "years"}:
        hint = "months and years differ in length: count in days, as in 30d"
    elif meant is None:
        hint = _UNITS_HINT
    else:
        hint = f"did you mean {meant}?"
    raise BadTime("bad-duration", f"no unit {_shown(text)}", hint)


def _shown(text: str) -> str:
    return quoted(text) or '""'
