"""Where the records of a benchmark come from: an NDJSON file, or the demo's logs spread over a week."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from server.demo.generator import Demo
from storage.times import parse_time

WEEK_S = 7 * 86_400
START = "2026-01-05T00:00:00Z"
CENTURY_US = 100 * 366 * 86_400_000_000


def make_corpus(path: Path, count: int) -> None:
    """Logs of the demo, as many records as wanted, spread over a week."""
    start_us = parse_time(START)
    assert start_us is not None
    shop = Demo(1, start_us, rate=count / WEEK_S)
    with path.open("wb") as out:
        for record in islice(shop.records(start_us + CENTURY_US), count):
            out.write(orjson.dumps(record) + b"\n")


def read_corpus(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a corpus with their time in microseconds as `_us`."""
    with path.open("rb") as lines:
        for line in lines:
            record = orjson.loads(line)
            record["_us"] = parse_time(record["timestamp"])
            yield record


def batches(path: Path, size: int) -> list[bytes]:
    """The file's lines in request bodies of `size` records each."""
    lines = path.read_bytes().split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [b"\n".join(lines[i : i + size]) for i in range(0, len(lines), size)]
