"""`python -m bench`: load a corpus over HTTP, ask questions, check every answer, print the medians.

    python -m bench --records 1000000                    a corpus of the demo's logs, made on the spot
    python -m bench --corpus corpus.ndjson               any NDJSON file
    python -m bench --corpus corpus.ndjson --truth corpus.ndjson.truth.json    and counts that were made with it

A server is started on a fresh folder and stopped afterwards; `--url` asks one that runs.
"""

from __future__ import annotations

import argparse
import http.client
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from bench.load import batches, load
from bench.questions import PAGE, Question, questions, survey
from server.demo.generator import Demo
from storage.times import parse_time

PORT = 18099
CENTURY_US = 100 * 366 * 86_400_000_000


def make_corpus(path: Path, count: int) -> None:
    """Logs of the demo, as many records as wanted, over a week."""
    start_us = parse_time("2026-01-05T00:00:00Z")
    shop = Demo(1, start_us, rate=count / (7 * 86_400))
    with path.open("wb") as out:
        for record in islice(shop.records(start_us + CENTURY_US), count):
            out.write(orjson.dumps(record) + b"\n")


def read_corpus(path: Path) -> Iterator[dict]:
    """The records of a corpus with their time in microseconds as `_us`."""
    with path.open("rb") as lines:
        for line in lines:
            record = orjson.loads(line)
            record["_us"] = parse_time(record["timestamp"])
            yield record


class Server:
    """A klomp of our own on a fresh folder."""

    def __init__(self) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="klomp-bench-"))
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from server.cli import main; main()", "serve"]
            + ["--data", str(self.data), "--port", str(PORT)]
        )
        self.url = f"http://127.0.0.1:{PORT}"
        for _ in range(200):
            try:
                if Client(self.url).get("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError("the server does not start")

    def children(self) -> list[int]:
        return [
            self.process.pid,
            *map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()),
        ]

    def cpu_s(self) -> float:
        """Processor seconds of all processes."""
        ticks = 0
        for pid in self.children():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """Sum of the peaks of resident memory of all processes."""
        total = 0
        for pid in self.children():
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
        return total / 1024

    def disk_bytes(self) -> int:
        """Bytes on disk, links counted once."""
        seen = {}
        for root, _, files in os.walk(self.data):
            for name in files:
                stat = os.stat(os.path.join(root, name))
                seen[stat.st_ino] = stat.st_blocks * 512
        return sum(seen.values())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.data)


class Client:
    """One kept-alive connection."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=120)

    def get(self, path: str) -> tuple[int, bytes]:
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def query(self, text: str) -> bytes:
        self._connection.request(
            "POST", "/v1/query", body=text.encode(), headers={"Content-Type": "application/edn"}
        )
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(data.decode())
        return data


def expected(asked: list[Question], corpus: Path) -> list[dict]:
    """Brute force: one pass over all records, every question put to each."""
    found: list[list[dict]] = [[] for _ in asked]
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


def check(question: Question, kind: str, data: bytes, want: dict) -> None:
    """Refuse a wrong answer."""
    rows = orjson.loads(data)["rows"]
    if kind == "page":
        got = [parse_time(row["timestamp"]) for row in rows]
        if question.holds and not all(question.holds({**row, "_us": 0}) for row in rows):
            raise AssertionError(f"{question.name}: a row does not match")
    elif kind == "count":
        got = rows[0]["n"]
    else:
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


def ask(url: str, stream: str, asked: list[Question], answers: list[dict], runs: int) -> None:
    """Time every query and check it."""
    client = Client(url)
    print("\n| query | median ms | min | max | took_ms | rows or count |\n|---|---|---|---|---|---|")
    for question, want in zip(asked, answers, strict=True):
        for kind, text in question.documents(stream):
            times, took = [], []
            for _ in range(runs + 1):
                started = time.perf_counter()
                data = client.query(text)
                times.append((time.perf_counter() - started) * 1000)
                took.append(orjson.loads(data)["took_ms"])
            check(question, kind, data, want)
            times, took = times[1:], took[1:]
            size = want[kind] if kind == "count" else len(want[kind])
            print(
                f"| {question.name}, {kind} | {statistics.median(times):.2f} | {min(times):.2f} | {max(times):.2f} "
                f"| {statistics.median(took):.2f} | {size} |",
                flush=True,
            )


def check_truth(url: str, stream: str, truth: dict) -> None:
    """Compare counts with those that were made together with the corpus."""
    client = Client(url)

    def counts(field: str) -> dict:
        rows = orjson.loads(
            client.query(f"{{:from :{stream} :group-by [:{field}] :aggregate {{:n [:count]}}}}")
        )["rows"]
        return {str(row[field]): row["n"] for row in rows if row[field] is not None}

    def count(where: str) -> int:
        text = f"{{:from :{stream} :where {where} :aggregate {{:n [:count]}}}}"
        return orjson.loads(client.query(text))["rows"][0]["n"]

    assert counts("level") == {k.lower(): v for k, v in truth["level"].items()}
    for name in ("service", "http.status", "http.method"):
        assert counts(name) == {str(k): v for k, v in truth[name].items()}, name
    for needle, n in truth["needles"].items():
        assert count(f'[:phrase :message "{needle}"]') == n, needle
    for trace, n in truth["traces"].items():
        assert count(f'[:= :trace_id "{trace}"]') == n, trace
    hours = orjson.loads(
        client.query(f'{{:from :{stream} :group-by [[:bucket :timestamp "1h"]] :aggregate {{:n [:count]}}}}')
    )["rows"]
    assert {row["timestamp"][:13]: row["n"] for row in hours if row["n"]} == truth["hour"]
    print("all counts equal the corpus's own truth")


def main() -> None:
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
    options = parser.parse_args()
    corpus = options.corpus
    if corpus is None:
        corpus = Path(tempfile.gettempdir()) / f"klomp-bench-{options.records}.ndjson"
        if not corpus.exists():
            make_corpus(corpus, options.records)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {corpus.name}")
    asked = questions(survey(read_corpus(corpus)))
    answers = expected(asked, corpus)
    server = None if options.url else Server()
    url = options.url or server.url
    try:
        if server:
            loaded = load(url, options.stream, batches(corpus, options.batch), options.connections)
            print(
                f"\n{loaded.records} records, {loaded.raw_bytes / 1e6:.0f} MB: acknowledged {loaded.records / loaded.acknowledged_s:,.0f}/s,"
                f" searchable {loaded.records / loaded.searchable_s:,.0f}/s, {server.cpu_s():.1f} CPU s,"
                f" peak {server.peak_mb():.0f} MB"
            )
            time.sleep(3)
            print(f"disk {server.disk_bytes() / loaded.raw_bytes:.3f} of raw")
        if options.truth:
            check_truth(url, options.stream, orjson.loads(options.truth.read_bytes()))
        ask(url, options.stream, asked, answers, options.runs)
        if server:
            print(f"\npeak memory after asking {server.peak_mb():.0f} MB")
    finally:
        if server:
            server.stop()


if __name__ == "__main__":
    main()
