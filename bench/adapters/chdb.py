"""ClickHouse in this process, on a folder of its own: `.venv/bin/pip install chdb`."""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.adapters import sql
from bench.corpus import Corpus
from bench.questions import Kind, Question

KINDS = {
    "BIGINT": "Int64",
    "VARCHAR": "String",
    "INTEGER": "Nullable(Int32)",
    "DOUBLE": "Nullable(Float64)",
}


class ChDB:
    """The corpus as a table, ordered by time."""

    name = "chDB"

    def __init__(self, corpus: Corpus) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="klomp-bench-chdb-"))
        self._session = import_module("chdb.session").Session(str(self._folder / "chdb"))
        self.load(corpus)

    def load(self, corpus: Corpus) -> None:
        table = self._folder / "rows.ndjson"
        sql.write_table(corpus, table)
        columns = ", ".join(
            f"{name} {'LowCardinality(String)' if name in ('level', 'service') else KINDS[kind]}"
            for name, kind in sql.COLUMNS
        )
        self._session.query(f"create table logs ({columns}) engine = MergeTree order by ts")
        self._session.query(f"insert into logs select * from file('{table}', 'JSONEachRow', '{columns}')")
        table.unlink()

    def statement(self, question: Question, kind: Kind) -> str:
        return (
            sql.select(question, kind)
            .replace("MATCH(", "match(")
            .replace("QUANTILE(latency, 0.95)", "quantile(0.95)(latency)")
            .replace("\\", "\\\\")
        )

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        text = self._session.query(statement, "JSONCompactEachRow").bytes().decode()
        return [tuple(json.loads(line)) for line in text.splitlines()]

    def size(self, kind: Kind, answer: list[tuple[Any, ...]]) -> int:
        return sql.size(kind, answer)

    def close(self) -> None:
        self._session.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # its threads may still be writing logs there
