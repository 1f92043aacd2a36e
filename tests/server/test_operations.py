"""The operator's commands beside a real server: check, rebuild, backup, restore, and disks that fill up."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
import pytest
from urllib3.exceptions import HTTPError

from storage.catalog import load_catalog
from storage.paths import DataDirectory
from tests.storage.test_check import flip, headers
from tests.support.killing import Ledger, found, load
from tests.support.serving import KLOMP, Serving

FILLED_BYTES = 24 << 20


def run(*command):
    return subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=120)


def klomp(*arguments, code=0):
    """What a command prints."""
    done = run(*KLOMP, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def total(serving):
    return serving.query("{:aggregate {:n [:count]}}")["rows"][0]["n"]


@pytest.fixture
def serving(tmp_path):
    server = Serving(tmp_path / "data")
    yield server
    if server.process.poll() is None:
        server.stop()


def test_a_check_beside_a_server_under_load_finds_nothing(serving):
    with load(serving.url, Ledger()):
        for _ in range(3):
            time.sleep(0.3)
            report = orjson.loads(klomp("check", "--data", serving.data, "--format", "json"))
            assert report["findings"] == []
    assert "all is well" in klomp("check", "--data", serving.data)


def first_sealed(serving):
    """The first of several segments of a stream `app` of 3000 records."""
    serving.request("PUT", "/v1/streams/app", orjson.dumps({"rotation": {"records_max": 1000}}))
    for start in range(0, 3000, 1000):
        serving.ingest([{"n": n, "message": f"record {n}"} for n in range(start, start + 1000)], "app")
    stream = DataDirectory(serving.data).stream("app")
    deadline = time.monotonic() + 30
    while not (entry := load_catalog(stream.catalog).segments[0]).sealed:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return stream.segment(entry.first)


def test_an_index_file_that_is_cut_under_a_running_server_is_found_and_made_anew(serving):
    folder = first_sealed(serving)
    asked = '{:from :app :where [:match :message "record"] :aggregate {:n [:count]}}'
    assert serving.query(asked)["rows"] == [{"n": 3000}]
    for path in folder.index.iterdir():
        if path.suffix in {".term", ".idx", ".fast"}:
            os.truncate(path, 0)  # who looks at what is mapped gets a SIGBUS
    deadline = time.monotonic() + 60
    counts = []
    while not counts or counts[-1] != 3000:
        assert time.monotonic() < deadline, counts
        time.sleep(0.1)
        with suppress(OSError, HTTPError):  # the process that asked died of it, and starts again
            status, answer = serving.request("POST", "/v1/query", asked)[:2]
            if status == 200:
                counts.append(answer["rows"][0]["n"])
                assert answer["complete"] is (counts[-1] == 3000)
    assert klomp("check", "--data", serving.data).endswith("all is well\n")


def test_damage_in_an_index_that_makes_the_engine_fail_is_mended_before_the_query_is_answered(serving):
    folder = first_sealed(serving)
    for path in folder.index.glob("*.term"):
        for offset in range(0, path.stat().st_size, 7):
            flip(path, offset)
    deadline = time.monotonic() + 30
    while not (answer := serving.query('{:from :app :where [:match :message "record"] :limit 9}'))[
        "complete"
    ]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert len(answer["rows"]) == 9
    assert klomp("check", "--data", serving.data).endswith("all is well\n")


def test_the_scrub_finds_what_went_bad_under_a_running_server(serving):
    folder = first_sealed(serving)
    deadline = time.monotonic() + 30
    flip(folder.data, headers(folder.data, folder.first)[0].offset + 100)
    flip(next(folder.index.glob("*.store")), 3)  # which no query reads: the scrub is the first to see it
    serving.request("POST", "/v1/jobs/scrub/run")
    found = None
    while not found:
        assert time.monotonic() < deadline
        runs = serving.request("GET", "/v1/jobs?kind=scrub")[1]["jobs"]
        found = next((run["outcome"]["found"] for run in runs if (run["outcome"] or {}).get("found")), None)
        assert serving.request("POST", "/v1/query", "{:from :app :limit 9}")[0] == 200
    assert [(one["stream"], one["code"]) for one in found] == [
        ("app", "data-damaged"),
        ("app", "index-damaged"),
    ]
    while True:
        ready = serving.request("GET", "/readyz")[1]
        answer = serving.query("{:from :app :aggregate {:n [:count]}}")
        if not ready["streams"]["app"]["rebuilding"]:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ready["streams"]["app"]["damaged"] == 1
    assert [warning["code"] for warning in ready["warnings"]] == ["data-damaged"]
    answer = serving.query("{:from :app :aggregate {:n [:count]}}")
    assert answer["complete"] is False
    assert 2000 <= answer["rows"][0]["n"] < 3000
    report = orjson.loads(klomp("check", "--data", serving.data, "--format", "json", code=2))
    assert {finding["code"] for finding in report["findings"]} == {"data-damaged"}


def test_a_check_after_kill_9_finds_nothing_that_loses_records(serving):
    ledger = Ledger()
    with load(serving.url, ledger):
        time.sleep(0.7)
        for role in ("http", "indexer"):
            serving.kill(role)
        serving.kill("supervisor")
        serving.process.wait()
    time.sleep(0.5)  # the others end with their parent
    done = run(*KLOMP, "check", "--data", serving.data, "--format", "json")
    assert done.returncode in (0, 1), done.stdout
    report = orjson.loads(done.stdout)
    (stream,) = report["streams"]
    assert stream["records"] >= len(ledger.acknowledged)


def test_a_rebuild_beside_a_server_loses_nothing(serving):
    ledger = Ledger()
    with load(serving.url, ledger):
        time.sleep(0.5)
        before = load_catalog(DataDirectory(serving.data).stream("main").catalog).segments[-1].tantivy
        assert "the indexes of 1 segment of main are made again" in klomp(
            "rebuild", "main", "--data", serving.data
        )
        after = load_catalog(DataDirectory(serving.data).stream("main").catalog).segments[-1].tantivy
    assert not set(before) & set(after)
    serving.ingest([{"id": -1}])
    assert ledger.acknowledged <= set(found(serving))
    assert "made again" in klomp("rebuild", "main", "1", "--data", serving.data)
    klomp("rebuild", "main", "77", "--data", serving.data, code=2)
    klomp("rebuild", "nope", "--data", serving.data, code=2)


@pytest.mark.parametrize("name", ["backup", "backup.tar.zst"])
def test_a_backup_under_load_has_all_that_was_acknowledged_before(serving, tmp_path, name):
    ledger = Ledger()
    with load(serving.url, ledger):
        for _ in range(2):
            time.sleep(0.4)
            with ledger._lock:
                acknowledged = set(ledger.acknowledged)
            klomp("backup", tmp_path / name, "--data", serving.data)
    assert "is whole" in klomp("restore", tmp_path / name, "--verify")
    klomp("restore", tmp_path / name, "--data", tmp_path / "restored")
    klomp("restore", tmp_path / name, "--data", tmp_path / "restored", code=2)
    again = Serving(tmp_path / "restored")
    try:
        again.ingest([{"id": -1}])
        ids = found(again)
        assert len(ids) == len(set(ids))
        assert acknowledged <= set(ids) <= ledger.sent | {-1}
        numbers = again.query("{:select [:_number] :limit 10000 :order-by [[:_number :asc]]}")["rows"]
        assert [row["_number"] for row in numbers] == list(range(1, min(len(ids), 10000) + 1))
    finally:
        again.stop()
    assert "all is well" in klomp("check", "--data", tmp_path / "restored")


def test_a_server_does_not_start_on_what_a_newer_one_wrote(serving):
    serving.ingest([{"message": "hello"}])
    serving.stop()
    path = DataDirectory(serving.data).stream("main").segment(1).data
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\x09")
    done = run(*KLOMP, "serve", "--data", serving.data, "--port", "0")
    assert done.returncode == 2
    assert f"{path}: it has format version 9, this klomp knows version 1" in done.stderr
    assert "use the klomp that wrote it, or a newer one" in done.stderr
    for command in (["query", "--last", "1h"], ["rebuild", "main"], ["backup", str(serving.data) + ".tar"]):
        klomp(*command, "--data", serving.data, code=2)
    klomp("check", "--data", serving.data, code=3)


@contextmanager
def small_disk(folder):
    """A file system of FILLED_BYTES."""
    folder.mkdir()
    done = run("mount", "-t", "tmpfs", "-o", f"size={FILLED_BYTES}", "tmpfs", folder)
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, leave_bytes):
    """Take all of a disk but so much; the file that does it."""
    path = folder / "filler"
    with path.open("wb") as file:
        for _ in range(100):  # the server takes some too meanwhile
            room = os.statvfs(folder)
            size = os.fstat(file.fileno()).st_size + room.f_bavail * room.f_frsize - leave_bytes
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError:
                continue
            return path
    raise AssertionError("the disk does not fill up")


def send(serving, count=1):
    body = b"\n".join(orjson.dumps({"message": f"{i} {os.urandom(200).hex()}"}) for i in range(count))
    status, answer, _ = serving.request("POST", "/logs", body, content_type="application/x-ndjson")
    return status, answer["errors"][0]["code"] if status >= 400 else answer["accepted"]


def until(what, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("floor", ["5", "0"])
def test_a_disk_that_fills_up_refuses_serves_and_resumes(tmp_path, floor):
    with small_disk(tmp_path / "disk") as disk:
        serving = Serving(disk, None, "--free-space-min-percent", floor)
        try:
            serving.ingest([{"message": "before"}])
            filler = fill(disk, 0 if floor == "0" else FILLED_BYTES // 25)
            refused = (507, "log-unwritable" if floor == "0" else "disk-nearly-full")
            until(lambda: send(serving, 20) == refused)
            accepted = total(serving)
            assert accepted >= 1
            assert send(serving, 20) == refused
            filler.unlink()
            until(lambda: send(serving) == (202, 1))
            serving.ingest([{"message": "after"}])
            texts = [row["message"] for row in serving.query("{:select [:message] :limit 10000}")["rows"]]
            assert {"before", "after"} <= set(texts)
            assert len(texts) == len(set(texts))
        finally:
            if serving.process.poll() is None:
                serving.process.send_signal(signal.SIGTERM)
                serving.process.wait(40)
        assert "all is well" in klomp("check", "--data", disk)


def test_the_folder_of_a_command_is_looked_at_first(tmp_path):
    (tmp_path / "mine").mkdir()
    Path(tmp_path / "mine" / "file").touch()
    for folder in (tmp_path / "nope", tmp_path / "mine"):
        klomp("check", "--data", folder, code=3)
        klomp("rebuild", "main", "--data", folder, code=2)
        klomp("backup", tmp_path / "backup", "--data", folder, code=2)
    assert not (tmp_path / "backup").exists()
