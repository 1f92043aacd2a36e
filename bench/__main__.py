"""`python -m bench`: load a corpus over HTTP, ask questions, check every answer, print the medians.

    python -m bench --records 1000000                    a corpus of the demo's logs, made on the spot
    python -m bench --corpus corpus.ndjson               any NDJSON file with timestamp, level, service, message
    python -m bench --corpus F --truth F.truth.json      and counts that were made with it
    python -m bench --corpus F --against duckdb,chdb     and the same questions in these engines
    python -m bench --records 100000 --rates             and rates of taking in

A server is started on a fresh folder and stopped afterwards; `--url` asks one that runs and has the corpus.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from bench import engines
from bench.corpus import batches, make_corpus, read_corpus
from bench.load import load
from bench.questions import PAGE, Question, questions, survey
from bench.rates import freshness, singles
from bench.server import Client, Server
from storage.times import parse_time

SETTLE_S = 3.0  # merges end, caches of the disk are written back


def expected(asked: list[Question], corpus: Path) -> list[dict[str, Any]]:
    """Brute force: one pass over all records, every question put to each."""
    found: list[list[dict[str, Any]]] = [[] for _ in asked]
    for record in read_corpus(corpus):
        slim = {k: record.get(k) for k in ("_us", "level", "service", "latency_ms") if k in record}
        for matches, question in zip(found, asked, strict=True):
            if question.matches(record):
                matches.append(slim)
    answers = []
    for question, matches in zip(asked, found, strict=True):
        if question.group:
            answers.append({"groups": question.group(matches)})
        else:
            newest = sorted((r["_us"] for r in matches), reverse=True)[:PAGE]
            answers.append({"count": len(matches), "page": newest})
    return answers


def check(question: Question, kind: str, data: bytes, want: dict[str, Any]) -> None:
    """Refuse a wrong answer."""
    rows = orjson.loads(data)["rows"]
    got: Any
    if kind == "page":
        got = [parse_time(row["timestamp"]) for row in rows]
        if not all(question.holds(row) for row in rows):
            raise AssertionError(f"{question.name}: a row does not match")
    elif kind == "count":
        got = rows[0]["n"]
    else:
        assert question.read
        got = question.read(rows)
    if not same(got, want[kind]):
        raise AssertionError(f"{question.name} {kind}: {str(got)[:300]} is not {str(want[kind])[:300]}")


def same(got: object, want: object) -> bool:
    """Equal, floats nearly."""
    if isinstance(want, float) and isinstance(got, int | float):
        return math.isclose(got, want, rel_tol=1e-9)
    if isinstance(want, list | tuple) and isinstance(got, list | tuple):
        return len(got) == len(want) and all(map(same, got, want))
    return got == want


def timed(ask: Callable[[], Any], runs: int) -> tuple[list[float], Any]:
    """Milliseconds of each run but the first, and the last answer."""
    times = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        answer = ask()
        times.append((time.perf_counter() - started) * 1000)
    return times[1:], answer


def ask(
    url: str,
    stream: str,
    asked: list[tuple[Question, dict[str, Any]]],
    others: list[Any],
    runs: int,
) -> None:
    """Time every query here and in the other engines, and check it."""
    client = Client(url)
    heads = ["query", "klomp ms", "min", "max", "rows or count"]
    for other in others:
        heads += [f"{other.name} ms", "ratio"]
    print("\n| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for question, want in asked:
        for (kind, text), (_, sql) in zip(
            question.documents(stream), engines.statements(question), strict=True
        ):
            times, data = timed(lambda text=text: client.query(text), runs)
            check(question, kind, data, want)
            size = want[kind] if kind == "count" else len(want[kind])
            median = statistics.median(times)
            cells = [
                f"{question.name}, {kind}",
                f"{median:.2f}",
                f"{min(times):.2f}",
                f"{max(times):.2f}",
                f"{size}",
            ]
            for other in others:
                theirs, found = timed(lambda other=other, sql=sql: other.run(sql), runs)
                if engines.answer(kind, found) != size:
                    raise AssertionError(
                        f"{other.name}: {question.name} {kind}: {engines.answer(kind, found)} is not {size}"
                    )
                cells += [f"{statistics.median(theirs):.2f}", f"{statistics.median(theirs) / median:.1f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


def check_truth(url: str, stream: str, truth: dict[str, Any]) -> None:
    """Compare counts with those that were made together with the corpus."""
    client = Client(url)

    def rows(text: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = orjson.loads(client.query(f"{{:from :{stream} {text}}}"))["rows"]
        return found

    def counts(name: str) -> dict[str, int]:
        found = rows(f":group-by [:{name}] :aggregate {{:n [:count]}}")
        return {str(row[name]): row["n"] for row in found if row[name] is not None}

    def count(where: str) -> int:
        return int(rows(f":where {where} :aggregate {{:n [:count]}}")[0]["n"])

    wrong = []
    if counts("level") != {name.lower(): n for name, n in truth["level"].items()}:
        wrong.append("level")
    wrong += [name for name in ("service", "http.status", "http.method") if counts(name) != truth[name]]
    wrong += [
        needle for needle, n in truth["needles"].items() if count(f'[:phrase :message "{needle}"]') != n
    ]
    wrong += [trace for trace, n in truth["traces"].items() if count(f'[:= :trace_id "{trace}"]') != n]
    hours = rows(':group-by [[:bucket :timestamp "1h"]] :aggregate {:n [:count]}')
    if {row["timestamp"][:13]: row["n"] for row in hours if row["n"]} != truth["hour"]:
        wrong.append("hour")
    if wrong:
        raise AssertionError(f"counts that are not the corpus's own: {wrong}")
    print("all counts equal the corpus's own")


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--stream", default="main")
    parser.add_argument("--url", help="a server that runs and has the corpus already")
    parser.add_argument("--against", default="", help="duckdb,chdb")
    parser.add_argument("--rates", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run what was asked for."""
    chosen = options()
    corpus = chosen.corpus
    if corpus is None:
        corpus = Path(tempfile.gettempdir()) / f"klomp-bench-{chosen.records}.ndjson"
        if not corpus.exists():
            make_corpus(corpus, chosen.records)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {corpus.name}")
    asked = questions(survey(read_corpus(corpus)))
    answers = expected(asked, corpus)
    others = [engines.start(name, corpus) for name in chosen.against.split(",") if name]
    server = None if chosen.url else Server()
    url = chosen.url or server.url
    try:
        if server:
            loaded = load(url, chosen.stream, batches(corpus, chosen.batch), chosen.connections)
            print(
                f"\n{loaded.records} records, {loaded.raw_bytes / 1e6:.0f} MB:"
                f" acknowledged {loaded.records / loaded.acknowledged_s:,.0f}/s,"
                f" searchable {loaded.records / loaded.searchable_s:,.0f}/s,"
                f" {server.cpu_s():.1f} CPU s, peak {server.memory_mb():.0f} MB"
            )
            time.sleep(SETTLE_S)
            print(f"disk {server.disk_bytes() / loaded.raw_bytes:.3f} of raw")
        if chosen.truth:
            check_truth(url, chosen.stream, orjson.loads(chosen.truth.read_bytes()))
        ask(url, chosen.stream, list(zip(asked, answers, strict=True)), others, chosen.runs)
        if server:
            print(
                f"\nmemory after asking {server.memory_mb('VmRSS'):.0f} MB, peak {server.memory_mb():.0f} MB"
            )
        if chosen.rates:
            singles(url, 128, 8.0)
            kept = [
                (f"{q.name}, {kind}", text) for q in asked[:4] for kind, text in q.documents(chosen.stream)
            ]
            freshness(url, 30_000, 15.0, kept)
    finally:
        if server:
            server.stop()


if __name__ == "__main__":
    main()
