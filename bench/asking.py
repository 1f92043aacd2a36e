"""Times questions, checks the answers, and writes tables in Markdown."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.adapters.base import Adapter
from bench.adapters.klomp import Klomp
from bench.check import check
from bench.questions import Kind, Question


@dataclass(frozen=True, slots=True)
class Measured:
    """One query: what it is called, milliseconds of each run, and its count or how many rows it has."""

    question: Question
    kind: Kind
    times_ms: list[float]
    size: int

    @property
    def label(self) -> str:
        return self.question.label(self.kind)

    @property
    def median_ms(self) -> float:
        return statistics.median(self.times_ms)


def timed(ask: Callable[[], Any], runs: int) -> tuple[list[float], Any]:
    """Milliseconds of each run but the first, and the last answer."""
    times = []
    answer = None
    for _ in range(runs + 1):
        started = time.perf_counter()
        answer = ask()
        times.append((time.perf_counter() - started) * 1000)
    return times[1:], answer


def measure(
    klomp: Klomp,
    asked: Sequence[Question],
    answers: Sequence[dict[str, Any]],
    runs: int,
    look: Callable[[], None] = lambda: None,
) -> Iterator[Measured]:
    """Ask klomp every query, and have a look at the machine after each; raises at a wrong answer."""
    for question, want in zip(asked, answers, strict=True):
        for kind in question.kinds:
            statement = klomp.statement(question, kind)
            times_ms, answer = timed(lambda statement=statement: klomp.run(statement), runs)
            look()
            check(question, kind, answer, want)
            yield Measured(question, kind, times_ms, want[kind] if kind == "count" else len(want[kind]))


def compare(found: Iterator[Measured], others: Sequence[Adapter], runs: int) -> list[str]:
    """Print a row for each query with what it takes elsewhere; give the answers there that differ."""
    heads = ["query", "klomp ms", "min", "max", "rows or count"]
    for other in others:
        heads += [f"{other.name} ms", "ratio"]
    print("\n" + row(heads) + "\n" + rule(len(heads)))
    differing = []
    for it in found:
        cells = [
            it.label,
            f"{it.median_ms:.2f}",
            f"{min(it.times_ms):.2f}",
            f"{max(it.times_ms):.2f}",
            str(it.size),
        ]
        for other in others:
            statement = other.statement(it.question, it.kind)
            if statement is None:
                cells += ["", ""]
                continue
            theirs, answer = timed(lambda other=other, text=statement: other.run(text), runs)
            size = other.size(it.kind, answer)
            median = statistics.median(theirs)
            mark = ""
            if size != it.size:
                mark = f" ({size})"
                differing.append(f"{other.name}: {it.label}: {size}, not {it.size}: {statement}")
            cells += [f"{median:.2f}{mark}", f"{median / it.median_ms:.1f}"]
        print(row(cells), flush=True)
    return differing


def row(cells: Sequence[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(cells) + " |"


def rule(columns: int) -> str:
    """What stands below its heads."""
    return "|" + "---|" * columns
