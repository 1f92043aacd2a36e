"""What can be set of one stream while klomp runs: when its segments end, and how long records are kept.

    {"rotation": {"bytes_max": "128MiB", "records_max": 2000000, "age_max": "1d"},
     "retention": {"age": "30d", "bytes": "10GiB", "records": 100000000}}

A duration is a text of numbers and units, `7d` or `1h30m`; a size is a number of bytes or a text, `10GiB` or `500MB`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from storage.errors import BadSettings
from storage.log import SEGMENT_AGE_S_MAX, SEGMENT_BYTES_MAX, SEGMENT_RECORDS_MAX, Rotation

log = logging.getLogger(__name__)

SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
"""Seconds of each unit of a duration, the largest first. Months and years are none: their lengths differ."""

BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
"""Bytes of each unit of a size, in lower case: they are written in any."""

AGE_S_LEAST = 60  # retention runs once a minute, and a segment a minute is more than enough
AGE_S_MOST = 100 * 365 * 86_400  # a century: whoever means for ever leaves it out
SEGMENT_BYTES_LEAST = 64 << 10  # smaller segments would cost more in files than they hold
SEGMENT_BYTES_MOST = 8 << 30  # what can still be moved and made anew in minutes
SEGMENT_RECORDS_LEAST = 1000
SEGMENT_RECORDS_MOST = 100_000_000
SIZE_MOST = 1 << 60  # beyond any file system, and within what SQLite and JSON readers hold exactly enough

_DURATION = re.compile(r"(?:[0-9]{1,12}[wdhms])+")
_DURATION_PART = re.compile(r"([0-9]+)([wdhms])")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?) ?([a-zA-Z]{1,3})")
_DURATION_HINT = 'write numbers with the units s m h d w, such as "7d" or "1h30m"'
_SIZE_HINT = 'write bytes as a number, or a text such as "10GiB" or "500MB"'


def parse_duration(value: object) -> int:
    """Seconds of a duration.

    Raises:
        PydanticCustomError: it is none.
    """
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(int(count) * SECONDS[unit] for count, unit in _DURATION_PART.findall(value))
    raise PydanticCustomError(
        "duration", "{shown} is no duration", {"shown": _shown(value), "hint": _DURATION_HINT}
    )


def format_duration(seconds: int) -> str:
    """A duration as `parse_duration` reads it, in as few units as it takes."""
    out = ""
    for unit, length in SECONDS.items():
        count, seconds = divmod(seconds, length)
        if count:
            out += f"{count}{unit}"
    return out or "0s"


def parse_size(value: object) -> int:
    """Bytes of a size.

    Raises:
        PydanticCustomError: it is none.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    unit = BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise PydanticCustomError("size", "{shown} is no size", {"shown": _shown(value), "hint": _SIZE_HINT})
    return int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit


def _shown(value: object) -> str:
    shown = f'"{value}"' if isinstance(value, str) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    Field(ge=AGE_S_LEAST, le=AGE_S_MOST),
    PlainSerializer(format_duration, return_type=str),
]
Size = Annotated[int, BeforeValidator(parse_size)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RotationSettings(_Settings):
    """When a segment ends and the next begins: by whichever is met first."""

    bytes_max: Size = Field(
        SEGMENT_BYTES_MAX,
        ge=SEGMENT_BYTES_LEAST,
        le=SEGMENT_BYTES_MOST,
        description="the length of its data file, compressed",
    )
    records_max: int = Field(
        SEGMENT_RECORDS_MAX,
        strict=True,
        ge=SEGMENT_RECORDS_LEAST,
        le=SEGMENT_RECORDS_MOST,
        description="its records",
    )
    age_max_s: Duration = Field(
        SEGMENT_AGE_S_MAX, alias="age_max", description="the time since its first record came in"
    )

    def policy(self) -> Rotation:
        """What the log needs to know of it."""
        return Rotation(self.bytes_max, self.records_max, self.age_max_s)


class RetentionSettings(_Settings):
    """How long records are kept: whichever is met first; without any, for ever. Whole segments go."""

    age_s: Duration | None = Field(None, alias="age", description="by the records' own time")
    bytes_most: Size | None = Field(
        None, alias="bytes", ge=1, le=SIZE_MOST, description="what the stream may take on disk"
    )
    records_most: int | None = Field(
        None, alias="records", strict=True, ge=1, le=SIZE_MOST, description="how many records it may have"
    )

    @property
    def is_for_ever(self) -> bool:
        """Whether nothing is ever dropped."""
        return self.age_s is None and self.bytes_most is None and self.records_most is None


class StreamSettings(_Settings):
    """The settings of a stream."""

    rotation: RotationSettings = RotationSettings()
    retention: RetentionSettings = RetentionSettings()

    def to_json(self) -> dict[str, Any]:
        """All settings, with the defaults of those that are not set."""
        return self.model_dump(mode="json", by_alias=True)


def read_settings(given: object) -> StreamSettings:
    """The settings in decoded JSON; what is left out, or null, has its default.

    Raises:
        BadSettings: they have mistakes; all of them.
    """
    if not isinstance(given, Mapping):
        raise BadSettings("the settings are no map", 'send an object, such as {"retention": {"age": "30d"}}')
    try:
        return StreamSettings.model_validate(_without_nulls(given))
    except ValidationError as error:
        mistakes = [_mistake(detail) for detail in error.errors()]
        raise BadSettings.of(mistakes) from error


def stored_settings(name: str, given: Mapping[str, Any]) -> StreamSettings:
    """The settings that were stored of a stream. Where this program cannot read them it keeps all, and says so."""
    try:
        return read_settings(given)
    except BadSettings as error:
        log.error("the stored settings of stream %s are not used: %s", name, error.message)  # noqa: TRY400
        return StreamSettings()


def merge(settings: Mapping[str, Any], change: object) -> dict[str, Any]:
    """Settings with a change merged in: maps key by key, null takes a key away (RFC 7396).

    Raises:
        BadSettings: the change is no map.
    """
    if not isinstance(change, Mapping):
        raise BadSettings("the change is no map", 'send an object, such as {"retention": {"age": "30d"}}')
    merged = dict(settings)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            old = merged.get(key)
            merged[key] = merge(old if isinstance(old, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def _without_nulls(given: Mapping[Any, Any]) -> dict[Any, Any]:
    return {
        key: _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in given.items()
        if value is not None
    }


def _mistake(detail: ErrorDetails) -> BadSettings:
    """One of Pydantic's findings in words of this program."""
    message, hint = _said(detail)
    path = tuple(str(part) for part in detail["loc"])
    return BadSettings(message, hint, path, is_key=detail["type"] == "extra_forbidden")


def _said(detail: ErrorDetails) -> tuple[str, str]:
    """Message and hint."""
    path = ".".join(str(part) for part in detail["loc"])
    shown = _shown(detail["input"])
    context = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = _known(detail["loc"][:-1])
        return f"no setting {path}", f"there are: {', '.join(known)}"
    if kind in ("duration", "size"):
        return f"{path}: {detail['msg']}", str(context["hint"])
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = context["ge" if kind == "greater_than_equal" else "le"]
        told = format_duration(bound) if detail["loc"][-1] in ("age", "age_max") else str(bound)
        side = "at least" if kind == "greater_than_equal" else "at most"
        return f"{path} is {shown}", f"use {side} {told}"
    if kind in ("model_type", "model_attributes_type"):
        return f"{path} is {shown}, which is no map", f"its settings are: {', '.join(_known(detail['loc']))}"
    return f"{path} is {shown}, which is no whole number", "write a number such as 1000000"


def _known(path: tuple[int | str, ...]) -> list[str]:
    """The settings at a place."""
    model: type[BaseModel] = StreamSettings
    for part in path:
        inner = model.model_fields[str(part)].annotation
        assert isinstance(inner, type)
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]
