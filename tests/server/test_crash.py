"""kill -9 of each process under load: what was acknowledged is there, once; and the server goes on."""

import subprocess
import sys
import time

import orjson
import pytest

from server.settings import Settings
from tests.support.killing import Ledger, check, load, wait_for_end_of_children
from tests.support.serving import Serving, free_port
from tests.support.telling import telling


@pytest.mark.parametrize("role", ["http", "indexer", "scheduler"])
def test_a_killed_process_comes_back_and_nothing_acknowledged_is_lost(tmp_path, role):
    serving = Serving(tmp_path / "data")
    ledger = Ledger()
    try:
        with load(serving.url, ledger):
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


def test_whoever_is_to_be_told_of_an_alert_is_told_though_the_scheduler_is_killed(tmp_path):
    serving = Serving(tmp_path / "data")
    try:
        with telling(serving) as told:
            with load(serving.url, Ledger(), pause_s=0.1):
                for _ in range(2):
                    time.sleep(1.5)
                    serving.kill("scheduler")
                    serving.wait_ready()
                time.sleep(1.5)
            assert told.check(serving) >= 4
        assert serving.stop() == 0
    finally:
        serving.process.kill()


def test_a_killed_server_starts_again_with_everything(tmp_path):
    ledger = Ledger()
    for _ in range(2):
        serving = Serving(tmp_path / "data")
        with load(serving.url, ledger):
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
    with load(serving.url, ledger):
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


def test_a_child_whose_supervisor_died_before_it_was_bound_to_it_ends(tmp_path):
    """Between its birth and `prctl` a child would not hear of that death, and serve on for ever."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    settings = Settings(data=tmp_path / "data", port=free_port()).model_dump_json()
    command = [sys.executable, "-m", "server.processes", "http", settings, str(ended.pid)]
    assert subprocess.run(command, timeout=30, check=False).returncode == 1
    assert not (tmp_path / "data").exists()
