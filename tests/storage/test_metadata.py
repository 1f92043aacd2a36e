"""The metadata file: what is set survives, several processes share it, a newer one is refused."""

import sqlite3
import subprocess
import sys
import threading

import pytest

from storage.errors import FormatUnknown, MetadataUnwritable
from storage.metadata import JobRow, Metadata, StreamRow, set_damaged_aside
from storage.migrations import MIGRATIONS


@pytest.fixture
def metadata(tmp_path):
    opened = Metadata(tmp_path / "klomp.db")
    yield opened
    opened.close()


def test_what_is_set_is_there_after_opening_again(tmp_path, metadata):
    metadata.change_stream("app", lambda _: {"a": 1}, 5)
    changed = metadata.change_stream("app", lambda old: {**old, "b": 2}, 9)
    assert changed == StreamRow("app", {"a": 1, "b": 2}, 5, 2)
    other = Metadata(tmp_path / "klomp.db")
    assert other.stream("app") == changed
    assert other.streams() == [changed]
    assert other.stream("none") is None
    assert other.forget_stream("app")
    assert not other.forget_stream("app")
    other.close()
    assert metadata.streams() == []


def test_a_change_that_fails_changes_nothing(metadata):
    metadata.change_stream("app", lambda _: {"a": 1}, 5)
    with pytest.raises(ZeroDivisionError):
        metadata.change_stream("app", lambda _: {"a": 1 // 0}, 6)
    assert metadata.stream("app") == StreamRow("app", {"a": 1}, 5, 1)
    metadata.change_stream("app", lambda _: {}, 7)


def test_changes_of_several_processes_and_threads_add_up(tmp_path, metadata):
    code = (
        "import sys; from pathlib import Path; from storage.metadata import Metadata\n"
        "m = Metadata(Path(sys.argv[1]))\n"
        "for _ in range(20): m.change_stream('app', lambda old: {'n': (old or {'n': 0})['n'] + 1}, 0)"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "klomp.db")]) for _ in range(2)]

    def count():
        for _ in range(20):
            metadata.change_stream("app", lambda old: {"n": (old or {"n": 0})["n"] + 1}, 0)

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(30) for other in others] == [0, 0]
    assert metadata.stream("app").settings == {"n": 80}
    assert metadata.stream("app").version == 80


def test_a_file_of_a_newer_program_is_refused_by_name(tmp_path):
    path = tmp_path / "klomp.db"
    Metadata(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 3}")
    database.close()
    with pytest.raises(FormatUnknown, match=f"version {len(MIGRATIONS) + 3}"):
        Metadata(path)


def test_it_is_a_wal_and_syncs(metadata):
    assert metadata.read("PRAGMA journal_mode") == [("wal",)]
    assert metadata.read("PRAGMA synchronous") == [(2,)]


def test_jobs_from_their_beginning_to_their_end(metadata):
    first = metadata.begin_job("retention", 10)
    second = metadata.begin_job("delete", 11, "app")
    assert metadata.jobs(10) == [
        JobRow(second, "delete", "app", 11, None, "running", None),
        JobRow(first, "retention", None, 10, None, "running", None),
    ]
    metadata.end_job(first, "done", {"segments": 2}, 15)
    assert metadata.jobs(10, "retention") == [
        JobRow(first, "retention", None, 10, 15, "done", {"segments": 2})
    ]
    assert metadata.fail_running(["delete", "retention"], {"error": "gone"}, 20) == 1
    assert metadata.jobs(1)[0] == JobRow(second, "delete", "app", 11, 20, "failed", {"error": "gone"})


def test_old_runs_are_forgotten_kind_by_kind_and_running_ones_never(metadata):
    running = metadata.begin_job("a", 0)
    ended = [metadata.begin_job(kind, n) for n in range(10) for kind in "ab"]
    for job in ended:
        metadata.end_job(job, "done", None, 99)
    assert metadata.forget_jobs(3) == 14
    assert {job.id for job in metadata.jobs(100)} == {*ended[-6:], running}


def test_a_job_that_is_asked_for_twice_is_asked_for_once(metadata):
    for kind in ("b", "a", "b"):
        metadata.ask_job(kind)
    assert metadata.asked_jobs() == ["a", "b"]
    metadata.take_asked_job("b")
    assert metadata.asked_jobs() == ["a"]


def test_a_damaged_file_is_set_aside_and_a_store_comes_up_without_it(tmp_path):
    path = tmp_path / "klomp.db"
    assert set_damaged_aside(path, 1) is None
    metadata = Metadata(path)
    metadata.change_stream("app", lambda _: {"a": 1}, 5)
    for n in range(60):
        metadata.change_stream(f"s{n}", lambda _: {"text": "x" * 2000}, 5)
    metadata.close()
    assert set_damaged_aside(path, 1) is None
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    assert set_damaged_aside(path, 7) == tmp_path / "klomp.db.damaged-7"
    assert (tmp_path / "klomp.db.damaged-7").exists()
    metadata = Metadata(path)
    assert metadata.streams() == []
    metadata.close()
    path.write_bytes(b"no database at all" * 1000)
    assert set_damaged_aside(path, 8) is not None
    assert set_damaged_aside(path, 9) is None


def test_a_file_that_cannot_be_opened_is_no_damage(tmp_path):
    path = tmp_path / "klomp.db"
    path.mkdir()
    with pytest.raises(MetadataUnwritable):
        set_damaged_aside(path, 1)
    assert path.is_dir()
