"""The questions in SQL, for engines that live in this process, and the table that they are asked of.

They have no HTTP, no JSON and no acknowledgement in their figures; compare with that in mind.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from bench.corpus import Corpus
from bench.questions import (
    MINUTE_US,
    PAGE,
    Condition,
    CountBy,
    Kind,
    Level,
    Pattern,
    Phrase,
    Question,
    Service,
    StatusFrom,
    Substring,
    Trace,
    WordPrefix,
    Words,
    field_of,
)

COLUMNS = (
    ("ts", "BIGINT"),
    ("level", "VARCHAR"),
    ("service", "VARCHAR"),
    ("trace_id", "VARCHAR"),
    ("status", "INTEGER"),
    ("latency", "DOUBLE"),
    ("message", "VARCHAR"),
    ("line", "VARCHAR"),
)
CHUNK = 50_000  # records; what is in memory at a time


def write_table(corpus: Corpus, out: Path) -> None:
    """The records as a file of rows that all these engines read quickly."""
    names = [name for name, _ in COLUMNS]
    table = _rows(corpus)
    with out.open("wb") as file:
        while chunk := list(islice(table, CHUNK)):
            file.write(b"".join(orjson.dumps(dict(zip(names, row, strict=True))) + b"\n" for row in chunk))


def _rows(corpus: Corpus) -> Iterator[tuple[Any, ...]]:
    for record in corpus.records():
        us = record.pop("_us")
        yield (
            us,
            (record.get("level") or "").lower(),
            record.get("service") or "",
            record.get("trace_id") or "",
            field_of(record, "http.status"),
            record.get("latency_ms"),
            record.get("message") or "",
            orjson.dumps(record).decode(),
        )


def condition_sql(condition: Condition) -> str:
    """A condition over the columns; `MATCH(` is put in each engine's own words."""
    match condition:
        case Level(name):
            return f"level = {_text(name)}"
        case Service(name, other):
            return f"service {'<>' if other else '='} {_text(name)}"
        case StatusFrom(low):
            return f"status >= {low}"
        case Trace(trace):
            return f"trace_id = {_text(trace)}"
        case Words(words):
            return " and ".join(_match(rf"(?i)\b{word}\b") for word in words)
        case Phrase(words):
            return _match(r"(?i)\b" + r"\W+".join(words) + r"\b")
        case WordPrefix(text):
            return _match(f"(?i)(^|[^a-z0-9]){text}")
        case Substring(text):
            return f"message like {_text(f'%{text}%')}"
        case Pattern(regex):
            return _match(regex)


def select(question: Question, kind: Kind) -> str:
    """A query. `QUANTILE(latency, 0.95)` is put in each engine's own words too."""
    tests = [condition_sql(condition) for condition in question.conditions]
    if question.time:
        tests.append(f"ts >= {question.time[0]} and ts < {question.time[1]}")
    where = f" where {' and '.join(tests)}" if tests else ""
    if kind == "page":
        return f"select line from logs{where} order by ts desc limit {PAGE}"
    if kind == "count":
        return f"select count(*) from logs{where}"
    if isinstance(question.groups, CountBy):
        level, minute = question.groups.level, question.groups.minute
        columns = ["level"] * level + [f"ts - ts % {MINUTE_US} as m"] * minute
        names = ["level"] * level + ["m"] * minute
        return f"select {', '.join(columns)}, count(*) from logs{where} group by {', '.join(names)}"
    assert question.groups
    return (
        f"select service, count(*) as n, avg(latency), QUANTILE(latency, 0.95) from logs{where}"
        f" group by service order by n desc, service limit {question.groups.services}"
    )


def _match(regex: str) -> str:
    return f"MATCH(message, {_text(regex)})"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def size(kind: Kind, rows: list[tuple[Any, ...]]) -> int:
    """The count, or how many rows."""
    return int(rows[0][0]) if kind == "count" else len(rows)
