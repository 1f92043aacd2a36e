"""`python -m bench.growth`: the same questions of the beginning of one corpus, at several sizes, side by side.

    python -m bench.growth --corpus corpus.ndjson --sizes 1000000,3000000,10000000

Each size has a server of its own on a fresh folder. The questions are the same at all sizes, with values that the
smallest has, so that a page of the newest has more and more history below it, and an hour has more and more after it.
Every answer is checked; one pass of brute force over the corpus serves all sizes. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.adapters.klomp import Klomp
from bench.asking import Measured, measure, row, rule
from bench.corpus import Corpus
from bench.expected import snapshots
from bench.load import Loaded, load
from bench.machine import describe
from bench.questions import Question, questions, survey
from bench.server import Memory, Peak, Server

STREAM = "main"


@dataclass(frozen=True, slots=True)
class Grown:
    """What one size took: loading, processor seconds from the start until all was quiet, bytes, memory, queries."""

    loaded: Loaded
    cpu_s: float
    disk_bytes: int
    loading: Memory
    asking: Memory
    now: Memory
    peaks_mb: float
    queries: list[Measured]


def run_size(
    corpus: Corpus, asked: list[Question], answers: list[dict[str, Any]], chosen: argparse.Namespace
) -> Grown:
    """Load a corpus into a fresh server and ask every question."""
    server = Server(tuple(shlex.split(chosen.serve)))
    try:
        peak = Peak(server.processes.memory)
        with peak.watching():
            loaded = load(server.url, STREAM, corpus.batches(chosen.batch), chosen.connections)
            server.settle()
        cpu_s, disk_bytes = server.processes.cpu_s() - server.start_cpu_s, server.disk_bytes()
        asking = Peak(server.processes.memory)
        klomp = Klomp(server.url, stream=STREAM)
        queries = list(measure(klomp, asked, answers, chosen.runs, asking.look))
        klomp.close()
        return Grown(
            loaded,
            cpu_s,
            disk_bytes,
            peak.memory,
            asking.memory,
            server.processes.memory(),
            server.processes.peaks_mb(),
            queries,
        )
    finally:
        server.stop()


def tables(sizes: Sequence[int], grown: Sequence[Grown]) -> str:
    """Both tables: taking in, and asking."""
    heads = [f"{size:,} records".replace(",", " ") for size in sizes]
    takes: list[tuple[str, list[str]]] = [
        ("acknowledged, records/s", [f"{g.loaded.records / g.loaded.acknowledged_s:,.0f}" for g in grown]),
        ("searchable, records/s", [f"{g.loaded.records / g.loaded.searchable_s:,.0f}" for g in grown]),
        (
            "processor s for a million, all processes",
            [f"{g.cpu_s / g.loaded.records * 1e6:.1f}" for g in grown],
        ),
        ("on disk, of the raw NDJSON", [f"{g.disk_bytes / g.loaded.raw_bytes:.3f}" for g in grown]),
        ("peak while loading, PSS (of it anonymous), MB", [_memory(g.loading) for g in grown]),
        ("peak while asking, PSS (of it anonymous), MB", [_memory(g.asking) for g in grown]),
        ("after asking, PSS (of it anonymous), MB", [_memory(g.now) for g in grown]),
        ("after asking, sum of RSS, MB", [f"{g.now.resident_mb:.0f}" for g in grown]),
        ("sum of each process's peak of RSS, MB", [f"{g.peaks_mb:.0f}" for g in grown]),
    ]
    lines = [row(["", *heads]), rule(len(heads) + 1)]
    lines += [row([name, *cells]) for name, cells in takes]
    lines += ["", row(["median ms", *heads, "growth", "rows or count"]), rule(len(heads) + 3)]
    for same in zip(*(g.queries for g in grown), strict=True):
        medians = [it.median_ms for it in same]
        lines.append(
            row(
                [
                    same[0].label,
                    *(f"{median:.2f}" for median in medians),
                    f"{medians[-1] / medians[0]:.1f}",
                    " / ".join(str(size) for size in dict.fromkeys(it.size for it in same)),
                ]
            )
        )
    return "\n".join(lines)


def _memory(memory: Memory) -> str:
    return f"{memory.proportional_mb:.0f} ({memory.anonymous_mb:.0f})"


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--sizes", default="1000000,3000000,10000000")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--serve", default="", help='more options of `klomp serve`, as "--workers 2"')
    chosen = parser.parse_args(arguments)
    chosen.sizes = sorted({int(size) for size in chosen.sizes.split(",")})
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for."""
    chosen = options(arguments)
    corpus = Corpus(chosen.corpus, chosen.sizes[-1])
    print(f"{describe()}, {corpus.path.name}", flush=True)
    asked = questions(survey(corpus.first(chosen.sizes[0]).records()))
    answers = dict(snapshots(asked, corpus, chosen.sizes))
    if missing := [size for size in chosen.sizes if size not in answers]:
        raise SystemExit(f"{corpus.path} has {max(answers)} records: sizes {missing} are more")
    grown = []
    for size in chosen.sizes:
        grown.append(run_size(corpus.first(size), asked, answers[size], chosen))
        print(
            "\n" + tables(chosen.sizes[: len(grown)], grown), flush=True
        )  # what there is, should it end here


if __name__ == "__main__":
    main()
