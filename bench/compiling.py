"""`python -m bench.compiling --data DIR`: what each question of the table costs before anything is searched.

For each the processor time of this thread, in milliseconds, the median of some runs, in three parts:

    read       the text becomes forms (a text that was read lately is not read again)
    analyze    forms become the checked tree
    compile    the tree becomes the index's two queries, and the function that checks one record

The rule is that the last two together stay under a millisecond; the exit code is 1 where one question breaks it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from bench.adapters.klomp import document
from bench.corpus import Corpus
from bench.questions import questions, survey
from dsl.analyze import analyze
from dsl.ast import Query
from dsl.compile import compile_predicate
from dsl.evaluate import matches
from dsl.reader import read
from storage.index import analyse
from storage.paths import DataDirectory
from storage.snapshot import Snapshot
from storage.store import Store

COMPILE_MS_MAX = 1.0  # what is promised
SURVEYED = 20_000  # records from the beginning, enough to have every value that is asked for

T = TypeVar("T")


def main() -> int:
    """Measure, print a table, and say by the exit code whether the rule holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder of data that no server writes to")
    parser.add_argument("--corpus", type=Path, required=True, help="the records that are in it")
    parser.add_argument("--stream", default="main")
    parser.add_argument("--runs", type=int, default=31)
    chosen = parser.parse_args()
    asked = questions(survey(islice(Corpus(chosen.corpus).records(), SURVEYED)))
    store = Store(DataDirectory(chosen.data))
    slow = []
    print("| question | read | analyze | compile | analyze + compile |\n|---|---|---|---|---|")
    try:
        for question in asked:
            for kind in question.kinds:
                parts = measure(store, chosen.stream, document(question, kind, chosen.stream), chosen.runs)
                both_ms = parts[1] + parts[2]
                cells = " | ".join(f"{ms:.3f}" for ms in (*parts, both_ms))
                print(f"| {question.name}, {kind} | {cells} |")
                if both_ms >= COMPILE_MS_MAX:
                    slow.append(f"{question.name}, {kind}: {both_ms:.3f} ms")
    finally:
        store.close()
    print(f"\n{'over 1 ms: ' + '; '.join(slow) if slow else 'all compile in less than 1 ms'}")
    return 1 if slow else 0


def measure(store: Store, stream: str, text: str, runs: int) -> tuple[float, float, float]:
    """Milliseconds of processor time to read, analyze and compile a text: the medians of so many runs."""
    now_us = time.time_ns() // 1000
    took: list[tuple[float, float, float]] = []
    for _ in range(runs):
        form, read_ms = _timed(partial(read, text))
        query, analyze_ms = _timed(partial(analyze, form, now_us=now_us))
        snapshot = store.snapshot([stream])  # a new one: nothing that the last run compiled is there
        _, compile_ms = _timed(partial(_compile, query, snapshot, now_us))
        took.append((read_ms, analyze_ms, compile_ms))
    read_ms, analyze_ms, compile_ms = (statistics.median(part) for part in zip(*took, strict=True))
    return read_ms, analyze_ms, compile_ms


def _compile(query: Query, snapshot: Snapshot, now_us: int) -> None:
    assert snapshot.queries is not None, "the stream has no records"
    compile_predicate(query.where, snapshot.queries, now_us)
    if query.time is not None:
        snapshot.queries.instants(*query.time.resolve(now_us))
    matches(query.where, analyse, now_us)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started_ns = time.thread_time_ns()
    done = work()
    return done, (time.thread_time_ns() - started_ns) / 1_000_000


if __name__ == "__main__":
    raise SystemExit(main())
