"""`python -m bench.rules`: what many alert rules cost, in processor time, on fresh records.

A store is filled with the demo's logs of the last few minutes, by default a million records, on a fresh folder. Then
the rules run as they do in the scheduler's process, and the processor time of the whole process is taken, the index's
threads among it. Nothing is taken in meanwhile.

    python -m bench.rules --records 1000000 --rules 1000 --seconds 60
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path

import orjson

from server.alerts.scheduler import rule_scheduler
from server.clock import now_us
from server.demo.generator import Demo
from server.engine import Engine
from storage.alerts import AlertTables
from storage.documents import Documents
from storage.indexer import Indexer
from storage.log import StreamLog
from storage.metadata import Metadata
from storage.paths import DataDirectory
from storage.record import normalise
from storage.store import Store

BATCH = 5000
SPAN_S = 600  # the records are of the last ten minutes: half of them lie in a window of five

SERVICES = ("edge", "checkout", "payments", "auth", "search", "inventory")
SHAPES = (
    """{{:query {{:from :app :time {{:last "5m"}} :where [:and [:= :level "error"] [:= :service "{service}"]]}}
        :when [:> :count {limit}]}}""",
    """{{:query {{:from :app :time {{:last "5m"}} :where [:= :level "error"]
                 :group-by [:service] :aggregate {{:n [:count]}}}}
        :when [:> :n {limit}]}}""",
    """{{:query {{:from :app :time {{:last "1m"}} :where [:match :message "timeout"]
                 :group-by [:host] :aggregate {{:n [:count]}}}}
        :when [:> :n {limit}]}}""",
    """{{:query {{:from :app :time {{:last "1m"}} :where [:= :service "{service}"]
                 :aggregate {{:n [:count] :bad [:count [:>= :http.status 500]]}}}}
        :when [:> :bad {limit}]}}""",
    """{{:query {{:from :app :time {{:last "2m"}} :where [:= :service "{service}"]
                 :aggregate {{:p [:percentile :latency_ms 95]}}}}
        :when [:> :p {limit}]}}""",
)


def fill(data: DataDirectory, count: int) -> None:
    """Put the demo's logs of the last minutes into the stream `app`."""
    log, indexer = StreamLog(data.stream("app")), Indexer(data)
    end_us = now_us()
    records = Demo(1, end_us - SPAN_S * 1_000_000, rate=count / SPAN_S).records(end_us + 10**12)
    done = threading.Semaphore(0)
    batches = 0
    while batch := list(islice(records, min(BATCH, count - batches * BATCH))):
        kept = [normalise(record, end_us) for record in batch]
        log.append([us for us, _ in kept], [line for _, line in kept], lambda _: done.release())
        done.acquire()
        batches += 1
        if batches % 20 == 0:
            indexer.catch_up()
        if batches * BATCH >= count:
            break
    indexer.catch_up()
    log.close()
    indexer.close()


def save(metadata: Metadata, count: int) -> None:
    """Save rules of several shapes, each with a condition of its own."""
    documents = Documents(metadata)
    for i in range(count):
        shape = SHAPES[i % len(SHAPES)]
        body = shape.format(service=SERVICES[i % len(SERVICES)], limit=10_000_000 + i)
        documents.put("rule", f"rule-{i}", body, author="bench", now_us=now_us())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rules", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = DataDirectory(Path(folder))
        fill(data, given.records)
        metadata = Metadata(data.metadata)
        save(metadata, given.rules)
        store = Store(data)
        rules = rule_scheduler(metadata, Engine(store, now_us, timeout_s=10.0), now_us)
        begun_s, used_s = time.perf_counter(), time.process_time()
        rules.start()
        tables = AlertTables(metadata)
        while len(tables.rules()) < given.rules:  # the first evaluation of each comes at once
            time.sleep(0.25)
            rules.tend()
        first_s, first_used_s = time.perf_counter() - begun_s, time.process_time() - used_s
        before = sum(row.evaluations for row in tables.rules().values())
        begun_s, used_s = time.perf_counter(), time.process_time()
        while time.perf_counter() - begun_s < given.seconds:
            time.sleep(0.25)
            rules.tend()
        wall_s, used_s = time.perf_counter() - begun_s, time.process_time() - used_s
        rules.stop()
        rows = tables.rules().values()
        made = sum(row.evaluations for row in rows) - before
        print(
            orjson.dumps(
                {
                    "records": given.records,
                    "rules": given.rules,
                    "cores": os.cpu_count(),
                    "load": os.getloadavg()[0],
                    "first_s": round(first_s, 2),
                    "first_cpu_s": round(first_used_s, 2),
                    "evaluations": made,
                    "cpu_ms_each": round(used_s / max(made, 1) * 1000, 2),
                    "cores_used": round(used_s / wall_s, 3),
                    "groups": sum(row.outcome["groups"] for row in rows),  # of the newest evaluations
                    "missed": sum(row.missed for row in rows),
                    "errors": sum(row.errors for row in rows),
                },
                option=orjson.OPT_INDENT_2,
            ).decode()
        )
        store.close()
        metadata.close()


if __name__ == "__main__":
    main()
