"""`python -m bench`: load a corpus over HTTP, ask questions, check every answer, print the medians.

    python -m bench --records 1000000                    a corpus of the demo's logs, made on the spot
    python -m bench --corpus corpus.ndjson               NDJSON with timestamp, level, service, message, trace_id
    python -m bench --corpus F --records 100000          its beginning
    python -m bench --corpus F --truth F.truth.json      and counts that were made with it
    python -m bench --corpus F --against duckdb,chdb     and the same questions in these engines
    python -m bench --corpus F --against klomp=http://127.0.0.1:8080,victorialogs=http://127.0.0.1:9428
                                                         and in these servers, which are loaded if they are empty
    python -m bench --records 100000 --rates             and rates of taking in

A server is started on a fresh folder and stopped afterwards; `--url` asks one that runs and has the corpus.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
from contextlib import ExitStack
from pathlib import Path

import orjson

from bench import adapters
from bench.adapters.klomp import Klomp, document
from bench.asking import compare, measure
from bench.check import check_truth
from bench.corpus import Corpus, make_corpus
from bench.expected import expected
from bench.load import load
from bench.machine import describe
from bench.questions import Question, questions, survey
from bench.rates import freshness, singles
from bench.server import Memory, Peak, Server

RECORDS = 200_000  # of a corpus that is made on the spot


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, help="so many of the corpus, or so many to make")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--truth", type=Path, help="counts of the whole corpus")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--stream", default="main")
    parser.add_argument("--url", help="a server that runs and has the corpus already")
    parser.add_argument("--serve", default="", help='more options of `klomp serve`, as "--workers 2"')
    parser.add_argument("--against", default="", help="duckdb, chdb, NAME=URL; several with commas")
    parser.add_argument("--rates", action="store_true")
    chosen = parser.parse_args()
    if chosen.truth and chosen.records:
        parser.error("--truth is of the whole corpus, --records asks for its beginning")
    return chosen


def corpus_of(chosen: argparse.Namespace) -> Corpus:
    """The corpus, made where none is given."""
    if chosen.corpus:
        return Corpus(chosen.corpus, chosen.records)
    count = chosen.records or RECORDS
    path = Path(tempfile.gettempdir()) / f"klomp-bench-{count}.ndjson"
    if not path.exists():
        make_corpus(path, count)
    return Corpus(path)


def take_in(server: Server, corpus: Corpus, chosen: argparse.Namespace) -> None:
    """Load the corpus and say what that took."""
    peak = Peak(server.processes.memory)
    with peak.watching():
        loaded = load(server.url, chosen.stream, corpus.batches(chosen.batch), chosen.connections)
    cpu_s = server.processes.cpu_s()
    settled_s = server.settle()
    print(
        f"\n{loaded.records} records, {loaded.raw_bytes / 1e6:.0f} MB:"
        f" acknowledged {loaded.records / loaded.acknowledged_s:,.0f}/s,"
        f" searchable {loaded.records / loaded.searchable_s:,.0f}/s"
        f"\n{cpu_s - server.start_cpu_s:.1f} CPU s of all processes until then,"
        f" {server.processes.cpu_s() - server.start_cpu_s:.1f} when they were quiet, {settled_s:.0f} s later;"
        f" {server.start_cpu_s:.1f} before, to start"
        f"\npeak while loading: {peak.memory}; sum of each process's peak {server.processes.peaks_mb():.0f} MB"
        f"\ndisk {server.disk_bytes() / loaded.raw_bytes:.3f} of raw"
    )


def main() -> None:
    """Run what was asked for."""
    chosen = options()
    corpus = corpus_of(chosen)
    print(f"{describe()}, {corpus.path.name}")
    found = survey(corpus.records())
    asked = questions(found)
    answers = expected(asked, corpus)
    differing: list[str] = []
    with ExitStack() as after:
        others = []
        for text in filter(None, chosen.against.split(",")):
            others.append(adapters.start(text, corpus, found))
            after.callback(others[-1].close)
        server = None if chosen.url else Server(tuple(shlex.split(chosen.serve)))
        if server:
            after.callback(server.stop)
            take_in(server, corpus, chosen)
        klomp = Klomp(chosen.url or server.url, stream=chosen.stream)
        if chosen.truth:
            check_truth(klomp.client, chosen.stream, orjson.loads(chosen.truth.read_bytes()))
            print("all counts equal the corpus's own")
        peak = Peak(server.processes.memory if server else Memory)
        differing = compare(measure(klomp, asked, answers, chosen.runs, peak.look), others, chosen.runs)
        if server:
            print(f"\nmemory now: {server.processes.memory()}; peak while asking: {peak.memory}")
        if chosen.rates:
            rates(klomp, asked)
    if differing:
        raise SystemExit("\n".join(["\nthese answers differ:", *differing]))


def rates(klomp: Klomp, asked: list[Question]) -> None:
    """Rates of taking in, and what some questions take meanwhile."""
    singles(klomp.url, 128, 8.0)
    kept = [(q.label(kind), document(q, kind, klomp.stream)) for q in asked[1:5] for kind in q.kinds]
    freshness(klomp.url, 30_000, 15.0, kept)


if __name__ == "__main__":
    main()
