"""Instants as the store keeps them: integer microseconds since 1970 UTC, and their RFC 3339 text.

Microseconds, because they fit a 64-bit float exactly until the year 2255 and the index computes time buckets in
floats. RFC 3339: https://www.rfc-editor.org/rfc/rfc3339
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

TIME_US_MIN = -(2**53)  # 1684-07-28: beyond it a float would round
TIME_US_MAX = 2**53  # 2255-06-05
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_NAIVE = datetime(1970, 1, 1)  # noqa: DTZ001 - a time without a zone is taken as UTC
US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S

_NUMBER = re.compile(r"-?\d{1,19}(\.\d+)?\Z", re.ASCII)

# An epoch number is read by its size: as seconds it would lie past the year 5138, so it must be finer.
EPOCH_SECONDS_BELOW = 10**11
EPOCH_MILLISECONDS_BELOW = 10**14
EPOCH_MICROSECONDS_BELOW = 10**17


def parse_time(value: object) -> int | None:
    """Microseconds since 1970 of an RFC 3339 text or an epoch number in s, ms, us or ns; None for anything else.

    A text without a zone counts as UTC; a fraction finer than a microsecond is cut; a leap second is the second after.
    """
    if type(value) is str:
        return _parse_text(value)
    if type(value) is int or type(value) is float:
        return _parse_epoch(value)
    return None


def _parse_text(text: str) -> int | None:
    if len(text) < 16 or text[4] != "-" or text[7] != "-" or text[10] not in "Tt ":
        if _NUMBER.match(text):
            return _parse_epoch(float(text) if "." in text else int(text))
        return None
    leap = 0
    if text[-1] == "z" or text[10] == "t":
        text = text.upper()
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        if text[17:19] != "60":
            return None
        leap = US_PER_S
        try:
            when = datetime.fromisoformat(text[:17] + "59" + text[19:])
        except ValueError:
            return None
    try:
        since = when - (EPOCH_NAIVE if when.tzinfo is None else EPOCH)
    except OverflowError:
        return None
    us = since.days * US_PER_DAY + since.seconds * US_PER_S + since.microseconds + leap
    return us if TIME_US_MIN <= us <= TIME_US_MAX else None


def _parse_epoch(value: float) -> int | None:
    size = abs(value)
    if size < EPOCH_SECONDS_BELOW:
        us = round(value * US_PER_S)
    elif size < EPOCH_MILLISECONDS_BELOW:
        us = round(value * 1000)
    elif size < EPOCH_MICROSECONDS_BELOW:
        us = round(value)
    elif size < 2**64:
        us = int(value // 1000)
    else:
        return None
    return us if TIME_US_MIN <= us <= TIME_US_MAX else None


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return (EPOCH_NAIVE + timedelta(seconds=second)).isoformat()


def format_time(us: int) -> str:
    """RFC 3339 in UTC with six decimals."""
    second, fraction = divmod(us, US_PER_S)
    return f"{_second_text(second)}.{fraction:06d}Z"


def shown_time(us: int | None) -> str | None:
    """As `format_time`; None where there is no time, as answers have it."""
    return None if us is None else format_time(us)
