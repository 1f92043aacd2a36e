"""Where the records of a benchmark come from: an NDJSON file or its beginning, or the demo's logs spread over a week.

A corpus may be larger than memory: whoever reads it takes a line, or a batch of lines, at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from server.demo.generator import Demo
from storage.times import parse_time

WEEK_S = 7 * 86_400
START = "2026-01-05T00:00:00Z"
CENTURY_US = 100 * 366 * 86_400_000_000
MINUTES_KEPT_MAX = 20_000  # two weeks of minutes, whose texts are read once

# Length of `2025-03-03T00:00:07Z`, with three and with six digits of a fraction, and the last digit in microseconds.
_UNITS_US = {20: 1_000_000, 24: 1_000, 27: 1}


@dataclass(frozen=True, slots=True)
class Corpus:
    """The first records of a file, all of them without a bound."""

    path: Path
    records_max: int | None = None

    def first(self, records: int) -> Corpus:
        """Its beginning."""
        return replace(self, records_max=records)

    def lines(self) -> Iterator[bytes]:
        """Each record's line, with its end."""
        with self.path.open("rb") as file:
            yield from islice(file, self.records_max)

    def records(self) -> Iterator[dict[str, Any]]:
        """Each record with its time in microseconds as `_us`."""
        read_us = time_reader()
        for line in self.lines():
            record = orjson.loads(line)
            record["_us"] = read_us(record["timestamp"])
            yield record

    def batches(self, size: int) -> Iterator[bytes]:
        """The lines in request bodies of `size` records each, made as they are asked for."""
        lines = self.lines()
        while batch := list(islice(lines, size)):
            yield b"".join(batch)


def time_reader() -> Callable[[str], int]:
    """A function like `parse_time` that is quicker where minutes come again, as they do in logs."""
    minutes: dict[str, int] = {}

    def read_us(text: str) -> int:
        unit_us = _UNITS_US.get(len(text))
        if unit_us is not None and text[-1] == "Z" and text[19] in ".Z" and text[17] < "6":
            minute_us = minutes.get(text[:17])
            if minute_us is None:
                if len(minutes) >= MINUTES_KEPT_MAX:
                    minutes.clear()
                minute_us = minutes[text[:17]] = _slow_us(text[:17] + "00Z")
            digits = text[17:19] + text[20:-1]
            if digits.isascii() and digits.isdecimal():
                return minute_us + int(digits) * unit_us
        return _slow_us(text)

    return read_us


def _slow_us(text: str) -> int:
    us = parse_time(text)
    if us is None:
        raise ValueError(f"{text!r} is no time: a corpus has RFC 3339 in `timestamp`")
    return us


def make_corpus(path: Path, count: int) -> None:
    """Logs of the demo, as many records as wanted, spread over a week."""
    start_us = parse_time(START)
    assert start_us is not None
    shop = Demo(1, start_us, rate=count / WEEK_S)
    part = path.with_suffix(".part")  # a run that is cut off leaves no short corpus behind
    with part.open("wb") as out:
        for record in islice(shop.records(start_us + CENTURY_US), count):
            out.write(orjson.dumps(record) + b"\n")
    part.replace(path)
