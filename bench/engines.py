"""The same questions put to engines that live in this process: DuckDB and chDB (ClickHouse), from PyPI.

They have no HTTP, no JSON and no acknowledgement in their figures; compare with that in mind. Install what is compared:
`.venv/bin/pip install duckdb chdb`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from bench.corpus import read_corpus
from bench.questions import PAGE, Question, field_of

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
CHUNK = 50_000


def rows(corpus: Path) -> Iterator[tuple[Any, ...]]:
    """The records as rows of the table."""
    for record in read_corpus(corpus):
        us = record.pop("_us")
        yield (
            us,
            record.get("level", "").lower(),
            record.get("service") or "",
            record.get("trace_id") or "",
            field_of(record, "http.status"),
            record.get("latency_ms"),
            record.get("message") or "",
            orjson.dumps(record).decode(),
        )


def ndjson(corpus: Path, out: Path) -> None:
    """The rows as a file that both engines read quickly."""
    names = [name for name, _ in COLUMNS]
    table = rows(corpus)
    with out.open("wb") as file:
        while chunk := list(islice(table, CHUNK)):
            file.write(b"".join(orjson.dumps(dict(zip(names, row, strict=True))) + b"\n" for row in chunk))


class DuckDB:
    """DuckDB on a file of its own."""

    name = "DuckDB"

    def __init__(self, table: Path, folder: Path) -> None:
        duckdb = import_module("duckdb")
        self._db = duckdb.connect(str(folder / "logs.duckdb"))
        types = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS)
        self._db.execute(
            f"create table logs as select * from read_json('{table}', format='newline_delimited', columns={{{types}}})"
        )

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        sql = sql.replace("MATCH(", "regexp_matches(").replace(
            "QUANTILE(latency, 0.95)", "quantile_cont(latency, 0.95)"
        )
        return list(self._db.execute(sql).fetchall())


class ChDB:
    """ClickHouse in this process."""

    name = "chDB"

    def __init__(self, table: Path, folder: Path) -> None:
        session = import_module("chdb.session")
        self._session = session.Session(str(folder / "chdb"))
        kinds = {
            "BIGINT": "Int64",
            "VARCHAR": "String",
            "INTEGER": "Nullable(Int32)",
            "DOUBLE": "Nullable(Float64)",
        }
        columns = ", ".join(
            f"{name} {'LowCardinality(String)' if name in ('level', 'service') else kinds[kind]}"
            for name, kind in COLUMNS
        )
        self._session.query(f"create table logs ({columns}) engine = MergeTree order by ts")
        self._session.query(f"insert into logs select * from file('{table}', 'JSONEachRow', '{columns}')")

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        sql = sql.replace("MATCH(", "match(").replace("QUANTILE(latency, 0.95)", "quantile(0.95)(latency)")
        sql = sql.replace("\\", "\\\\")
        text = self._session.query(sql, "JSONCompactEachRow").bytes().decode()
        return [tuple(json.loads(line)) for line in text.splitlines()]


ENGINES: dict[str, Callable[[Path, Path], Any]] = {"duckdb": DuckDB, "chdb": ChDB}


def start(name: str, corpus: Path) -> Any:
    """An engine with the corpus in it."""
    folder = Path(tempfile.mkdtemp(prefix=f"klomp-bench-{name}-"))
    table = folder / "rows.ndjson"
    ndjson(corpus, table)
    return ENGINES[name](table, folder)


def statements(question: Question) -> list[tuple[str, str]]:
    """Kind and SQL of the queries that ask a question."""
    if question.select:
        return [("groups", question.select)]
    return [
        ("page", f"select line from logs where {question.sql} order by ts desc limit {PAGE}"),
        ("count", f"select count(*) from logs where {question.sql}"),
    ]


def answer(kind: str, found: list[tuple[Any, ...]]) -> Any:
    """What of an answer can be compared: the count, or how many rows."""
    return int(found[0][0]) if kind == "count" else len(found)
