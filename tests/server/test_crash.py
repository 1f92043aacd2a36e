"""kill -9 of each process under load: what was acknowledged is there, once; and the server goes on."""

import threading
import time
from contextlib import contextmanager

import orjson
import pytest
import urllib3

from tests.support.serving import Serving

SENDERS = 4


class Ledger:
    """What senders know: which records were sent, and which were acknowledged."""

    def __init__(self):
        self.sent = set()
        self.acknowledged = set()
        self._lock = threading.Lock()
        self._next = 0

    def batch(self, size):
        with self._lock:
            ids = range(self._next, self._next + size)
            self._next += size
            self.sent.update(ids)
        return ids


@contextmanager
def load(serving, ledger):
    """Senders that go on whatever happens, each batch sent once."""
    stop = threading.Event()

    def send(size):
        http = urllib3.PoolManager(timeout=20, retries=False)
        while not stop.is_set():
            ids = ledger.batch(size)
            body = b"\n".join(orjson.dumps({"id": i, "message": f"record {i}"}) for i in ids)
            try:
                reply = http.request(
                    "POST", f"{serving.url}/logs", body=body, headers={"Content-Type": "application/x-ndjson"}
                )
            except urllib3.exceptions.HTTPError:
                time.sleep(0.02)
                continue
            if reply.status == 202:
                with ledger._lock:
                    ledger.acknowledged.update(ids)

    threads = [threading.Thread(target=send, args=(1 if n % 2 else 50,)) for n in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def found(serving):
    """Every id that a walk over all pages finds."""
    ids, after = [], ""
    while True:
        answer = serving.query(f"{{:select [:id] :limit 10000 {after}}}")
        ids += [row["id"] for row in answer["rows"]]
        if answer["cursor"] is None:
            return ids
        after = f':after "{answer["cursor"]}"'


def check(serving, ledger):
    """Compare what was sent, acknowledged and found, once all is searchable."""
    serving.ingest([{"id": -1}])
    ids = found(serving)
    assert len(ids) == len(set(ids)), "a record is there twice"
    ids = set(ids) - {-1}
    assert ledger.acknowledged <= ids, f"{len(ledger.acknowledged - ids)} acknowledged records are lost"
    assert ids <= ledger.sent


@pytest.mark.parametrize("role", ["http", "indexer"])
def test_a_killed_process_comes_back_and_nothing_acknowledged_is_lost(tmp_path, role):
    serving = Serving(tmp_path / "data")
    ledger = Ledger()
    try:
        with load(serving, ledger):
            for _ in range(3):
                time.sleep(0.7)
                before = len(ledger.acknowledged)
                serving.kill(role)
                serving.wait_ready()
                deadline = time.monotonic() + 20
                while len(ledger.acknowledged) <= before and time.monotonic() < deadline:
                    time.sleep(0.05)
                assert len(ledger.acknowledged) > before, "the server does not go on"
        check(serving, ledger)
        assert serving.stop() == 0
        assert "SIGKILL" in serving.log.read_text()
    finally:
        serving.process.kill()


def test_a_killed_server_starts_again_with_everything(tmp_path):
    ledger = Ledger()
    for _ in range(2):
        serving = Serving(tmp_path / "data")
        with load(serving, ledger):
            time.sleep(1.2)
            serving.kill("supervisor")
            time.sleep(0.3)
        serving.process.wait(10)
        wait_for_end_of_children(tmp_path / "data")
    serving = Serving(tmp_path / "data")
    try:
        check(serving, ledger)
        assert serving.stop() == 0
    finally:
        serving.process.kill()


def test_sigterm_loses_nothing_and_a_stopped_store_can_be_asked(tmp_path):
    from server.embedded import open_embedded

    serving = Serving(tmp_path / "data")
    ledger = Ledger()
    with load(serving, ledger):
        time.sleep(1.0)
        assert serving.stop() == 0
    assert ledger.acknowledged
    with open_embedded(tmp_path / "data") as engine:
        answer = engine.query("{:select [:id] :limit 10000 :total true}")
        assert answer.total >= len(ledger.acknowledged)
        ids, after = [], None
        while True:
            ids += [orjson.loads(row)["id"] for row in answer.rows]
            if answer.cursor is None:
                break
            after = answer.cursor
            answer = engine.query("{:select [:id] :limit 10000 :total true}", after=after)
    assert ledger.acknowledged <= set(ids) <= ledger.sent
    assert len(ids) == len(set(ids))


def wait_for_end_of_children(data):
    """Children of a killed supervisor end by themselves and let go of their locks."""
    import fcntl

    deadline = time.monotonic() + 20
    for name in ("writer.lock", "indexer.lock"):
        with (data / name).open("r+") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    assert time.monotonic() < deadline, f"{name} is still held"
                    time.sleep(0.05)
