"""DuckDB in this process, on a file of its own: `.venv/bin/pip install duckdb`."""

from __future__ import annotations

import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.adapters import sql
from bench.corpus import Corpus
from bench.questions import Kind, Question


class DuckDB:
    """The corpus as a table."""

    name = "DuckDB"

    def __init__(self, corpus: Corpus) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="klomp-bench-duckdb-"))
        self._db = import_module("duckdb").connect(str(self._folder / "logs.duckdb"))
        self.load(corpus)

    def load(self, corpus: Corpus) -> None:
        table = self._folder / "rows.ndjson"
        sql.write_table(corpus, table)
        types = ", ".join(f"{name}: '{kind}'" for name, kind in sql.COLUMNS)
        self._db.execute(
            f"create table logs as select * from read_json('{table}', format='newline_delimited', columns={{{types}}})"
        )
        table.unlink()

    def statement(self, question: Question, kind: Kind) -> str:
        return (
            sql.select(question, kind)
            .replace("MATCH(", "regexp_matches(")
            .replace("QUANTILE(latency, 0.95)", "quantile_cont(latency, 0.95)")
        )

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        return list(self._db.execute(statement).fetchall())

    def size(self, kind: Kind, answer: list[tuple[Any, ...]]) -> int:
        return sql.size(kind, answer)

    def close(self) -> None:
        self._db.close()
        shutil.rmtree(self._folder)
