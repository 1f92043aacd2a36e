"""Stores for tests: records go in as they would from a sender, and come back beside what the oracle sees of them."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from dsl.evaluate import EvaluatedAnswer, evaluate
from dsl.parse import parse
from dsl.record import Record
from server.answer import Answer
from server.engine import Engine
from storage.index import analyse
from storage.indexer import Indexer
from storage.log import StreamLog
from storage.paths import DataDirectory
from storage.record import normalise
from storage.store import Store

NOW_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
MEMORY = Path("/dev/shm")  # where a sync costs nothing

Batch = tuple[str, Sequence[dict[str, Any]]]


@dataclass(slots=True)
class BuiltStore:
    """A store on disk, an engine over it, and all its records as plain data."""

    root: Path
    engine: Engine
    store: Store
    records: list[Record] = field(default_factory=list)

    def query(self, text: str, *, syntax: Any = "json") -> Answer:
        return self.engine.query(text, syntax=syntax)

    def oracle(self, text: str, *, syntax: Any = "json") -> EvaluatedAnswer:
        query = parse(text, syntax, now_us=NOW_US)
        return evaluate(query, self.records, NOW_US, analyse)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, in memory where there is such a place."""
    root = Path(tempfile.mkdtemp(prefix="klomp-test-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def built_store(batches: Iterable[Batch], *, segment_bytes_max: int | None = None) -> Iterator[BuiltStore]:
    """A store of these batches of records: each is appended and committed before the next one.

    Args:
        batches: The stream and its records, each time.
        segment_bytes_max: When a data segment ends; small, every batch has a segment of its own.
    """
    with temporary_folder() as root:
        data = DataDirectory(root)
        store = Store(data)
        built = BuiltStore(root, Engine(store, lambda: NOW_US), store)
        options = {} if segment_bytes_max is None else {"segment_bytes_max": segment_bytes_max}
        logs: dict[str, StreamLog] = {}
        indexer = Indexer(data)
        try:
            for stream, records in batches:
                if stream not in logs:
                    logs[stream] = StreamLog(data.stream(stream), **options)
                built.records += append(logs[stream], records)
                indexer.catch_up()
            yield built
        finally:
            for log in logs.values():
                log.close()
            indexer.close()
            store.close()


def append(log: StreamLog, records: Sequence[dict[str, Any]]) -> list[Record]:
    """Put records into a log, wait until they are on disk, and give them as the evaluator sees them."""
    kept = [normalise(dict(record), NOW_US) for record in records]
    if not kept:
        return []
    done = threading.Event()
    outcome: list[int | Exception] = []

    def tell(result: int | Exception) -> None:
        outcome.append(result)
        done.set()

    log.append([time_us for time_us, _ in kept], [line for _, line in kept], tell)
    assert done.wait(10)
    first = outcome[0]
    assert isinstance(first, int), first
    return [
        Record(time_us, log.directory.name, first + i, orjson.loads(line))
        for i, (time_us, line) in enumerate(kept)
    ]
