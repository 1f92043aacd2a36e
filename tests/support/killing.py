"""A server under load whose processes are killed, and the reckoning: what was sent, acknowledged and found.

By hand, for as long as you like:

    python -m tests.support.killing --minutes 10

Senders go on whatever happens. Half of their batches have an Idempotency-Key and are sent again until they are
answered, so of those every one must be there, once; the others are sent once, and may be there or not where no answer
came. Meanwhile a rule fires and resolves; each change must be owed to both of its channels, and reach their receivers.
"""

from __future__ import annotations

import argparse
import fcntl
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import urllib3

from tests.support.serving import Serving
from tests.support.telling import Told, slot

SENDERS = 4
ROLES = ("http", "indexer", "scheduler", "supervisor")
PAUSE_S = 0.02  # after a request that failed
SEARCHABLE_S = 120.0  # for what came in since, on a busy machine
LOCKS = ("writer.lock", "indexer.lock", "scheduler.lock")


class Ledger:
    """What senders know: which records were sent, and which were acknowledged."""

    def __init__(self) -> None:
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()
        self.retried = 0
        self._lock = threading.Lock()
        self._next = 0

    def batch(self, size: int) -> range:
        """New records to send."""
        with self._lock:
            ids = range(self._next, self._next + size)
            self._next += size
            self.sent.update(ids)
        return ids

    def acknowledge(self, ids: range) -> None:
        """Note that these were."""
        with self._lock:
            self.acknowledged.update(ids)

    def retry(self) -> None:
        """Note that a batch is sent again."""
        with self._lock:
            self.retried += 1


@contextmanager
def load(url: str, ledger: Ledger, pause_s: float = 0.0) -> Iterator[None]:
    """Senders that go on whatever happens, until the end; a batch with a key until it is answered."""
    stop = threading.Event()

    def send(http: urllib3.PoolManager, ids: range, headers: dict[str, str]) -> bool:
        now = slot()
        body = b"\n".join(orjson.dumps({"id": i, "slot": now, "message": f"record {i}"}) for i in ids)
        try:
            reply = http.request("POST", f"{url}/v1/streams/main/logs", body=body, headers=headers)
        except urllib3.exceptions.HTTPError:
            return False
        return reply.status == 202

    def go_on(number: int) -> None:
        http = urllib3.PoolManager(timeout=20, retries=False)
        keyed = number >= SENDERS // 2
        while not stop.is_set():
            ids = ledger.batch(1 if number % 2 else 50)
            headers = {"Content-Type": "application/x-ndjson"}
            if keyed:
                headers["Idempotency-Key"] = f"batch-{ids.start}"
            while not send(http, ids, headers):
                if stop.wait(PAUSE_S) or not keyed:
                    break
                ledger.retry()
            else:
                ledger.acknowledge(ids)
            stop.wait(pause_s)

    threads = [threading.Thread(target=go_on, args=(number,)) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def found(serving: Serving) -> list[int]:
    """Every id that a walk over all pages finds."""
    ids: list[int] = []
    after = ""
    while True:
        answer = serving.query(f"{{:select [:id] :limit 10000 {after}}}")
        assert answer["complete"], answer
        ids += [row["id"] for row in answer["rows"]]
        if answer["cursor"] is None:
            return ids
        after = f':after "{answer["cursor"]}"'


def check(serving: Serving, ledger: Ledger) -> int:
    """Compare what was sent, acknowledged and found, once all is searchable; how many were found."""
    assert serving.process.poll() is None, "the server that answers is not the one that was started"
    deadline_s = time.monotonic() + SEARCHABLE_S
    while not serving.ingest([{"id": -1}])["searchable"]:
        assert time.monotonic() < deadline_s, "new records are not found"
    everything = [i for i in found(serving) if i >= 0]
    ids = set(everything)
    assert len(everything) == len(ids), f"{len(everything) - len(ids)} records are there twice"
    lost = ledger.acknowledged - ids
    assert not lost, f"{len(lost)} acknowledged records are lost, such as {sorted(lost)[:5]}"
    assert ids <= ledger.sent, "there are records that nobody sent"
    return len(ids)


def wait_for_end_of_children(data: Path) -> None:
    """Children of a killed supervisor end by themselves and let go of their locks."""
    deadline_s = time.monotonic() + 40
    for name in LOCKS:
        if not (data / name).exists():
            continue
        with (data / name).open("r+") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    assert time.monotonic() < deadline_s, f"{name} is still held"
                    time.sleep(0.05)


def kill_for(minutes: float, folder: Path, seed: int) -> str:
    """Kill one process after another; the verdict.

    Raises:
        AssertionError: something acknowledged is lost, or something is there twice.
    """
    choose = random.Random(seed)
    ledger = Ledger()
    killed = dict.fromkeys(ROLES, 0)
    serving = Serving(folder / "data")
    told = Told()
    end_s = time.monotonic() + 60 * minutes
    try:
        told.set_up(serving)
        while time.monotonic() < end_s:
            with load(serving.url, ledger, pause_s=0.01):
                for _ in range(6):
                    time.sleep(choose.uniform(0.05, 2.0))
                    role = choose.choice(ROLES)
                    try:
                        serving.kill(role)
                    except ProcessLookupError:
                        continue  # it is just being started again
                    killed[role] += 1
                    if role == "supervisor":
                        serving.process.wait(10)
                        wait_for_end_of_children(folder / "data")
                        serving = Serving(folder / "data", serving.port)
            serving.wait_ready()
            there = check(serving, ledger)
            heard = told.check(serving)
            done = f"{sum(killed.values())} kills, {there} records, {heard} notifications"
            print(f"{done}: all is well", file=sys.stderr, flush=True)
        assert serving.stop() == 0
    finally:
        serving.process.kill()
        told.close()
    kills = ", ".join(f"{role} {count}" for role, count in killed.items())
    return (
        f"killed {kills}; sent {len(ledger.sent)}, acknowledged {len(ledger.acknowledged)}, found {there}, "
        f"{ledger.retried} tries again, {heard} notifications; seed {seed}: nothing acknowledged is lost, nothing "
        "is there twice, and whoever was to be told was told"
    )


def main() -> int:
    """Run from the command line; 1 where something is lost."""
    parser = argparse.ArgumentParser(description="kill -9 a server under load, again and again")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="klomp-killing-"))
    try:
        print(kill_for(options.minutes, folder, options.seed))
    except AssertionError as error:
        print(f"seed {options.seed}: {error}; the data is in {folder}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
