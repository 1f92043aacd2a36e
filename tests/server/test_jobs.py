"""Jobs: one of a kind at once, every outcome noted, and the streams that nobody writes to are looked after."""

import asyncio
import fcntl
import os
import sqlite3
import threading
import time
from dataclasses import replace

import pytest

from server.ingest import Ingest
from server.jobs import JOBS
from server.jobs.base import Job, JobContext, JobFailed
from server.jobs.runner import JobRunner
from server.streams import StreamAdmin
from storage.catalog import load_catalog
from storage.metadata import Metadata
from storage.paths import DataDirectory
from storage.scrub_tables import ScrubTables
from storage.store import Store
from storage.stream_settings import RotationSettings
from tests.storage.test_indexer import index, write
from tests.storage.test_own_views import names_of, opened
from tests.storage.test_retention import deleted_files
from tests.support.failing_disk import Unreadable

NOW_US = 1_767_225_600_000_000


@pytest.fixture
def context(tmp_path):
    data = DataDirectory(tmp_path)
    metadata = Metadata(data.metadata)
    yield JobContext(data, metadata, lambda: NOW_US, lambda: False)
    metadata.close()


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def job(run, kind="test", every_s=3600):
    return Job(kind, "for tests", every_s, run)


def states(context, kind="test"):
    return [(row.state, row.outcome) for row in context.metadata.jobs(100, kind)]


def test_every_job_runs_at_the_start_and_its_outcome_is_noted(context):
    runner = JobRunner(
        [
            job(lambda _: {"did": 1}),
            job(lambda _: 1 // 0, "broken"),
            job(fail, "failing"),
        ],
        context,
    )
    left = context.metadata.begin_job("test", 0)
    runner.start()
    until(
        lambda: all(
            len(states(context, kind)) == n for kind, n in (("test", 2), ("broken", 1), ("failing", 1))
        )
    )
    runner.stop()
    assert states(context) == [("done", {"did": 1}), ("failed", {"error": "its process ended before it did"})]
    assert context.metadata.jobs(100, "test")[1].id == left
    ((state, outcome),) = states(context, "broken")
    assert (state, outcome["error"].split(":")[0]) == ("failed", "ZeroDivisionError")
    assert states(context, "failing") == [("failed", {"dropped": 1, "error": "no"})]


def fail(_):
    raise JobFailed({"dropped": 1, "error": "no"})


def test_a_job_that_is_asked_for_while_it_runs_runs_once_more_afterwards(context):
    running, most, ended = 0, 0, 0
    go_on = threading.Event()
    lock = threading.Lock()

    def run(_):
        nonlocal running, most, ended
        with lock:
            running += 1
            most = max(most, running)
        go_on.wait(10)
        with lock:
            running -= 1
            ended += 1

    runner = JobRunner([job(run, every_s=1)], context)
    runner.start()
    until(lambda: running == 1)
    for _ in range(3):
        context.metadata.ask_job("test")
        runner.run_asked()
    time.sleep(1.2)  # a run is missed
    assert context.metadata.asked_jobs() == ["test"]
    assert ended == 0
    go_on.set()
    until(lambda: ended >= 1 and not running)
    runner.run_asked()
    until(lambda: ended >= 2)
    runner.stop()
    assert context.metadata.asked_jobs() == []
    assert most == 1
    assert ended <= 4


def test_what_is_asked_for_and_unknown_is_forgotten(context):
    runner = JobRunner([job(lambda _: None)], context)
    runner.start()
    context.metadata.ask_job("else")
    runner.run_asked()
    runner.stop()
    assert context.metadata.asked_jobs() == []


def test_a_job_runs_though_nothing_can_be_noted(context, monkeypatch):
    """A full disk, perhaps: all the more should retention run."""
    ran = threading.Event()
    runner = JobRunner([job(lambda _: ran.set())], context)

    def refuse(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Metadata, "begin_job", refuse)
    runner.start()
    assert ran.wait(10)
    runner.stop()


def test_retention_goes_on_with_the_other_streams_when_one_fails(context):
    for stream in ("a", "b", "c"):
        write(context.data, 100, stream=stream, segment_bytes_max=1000)
        context.metadata.change_stream(stream, lambda _: {"retention": {"age": "1h"}}, 0)
    index(context.data)
    broken = context.data.stream("b")
    (broken.segment(broken.segment_firsts()[-1]).index / "meta.json").unlink()
    context.metadata.change_stream("gone", lambda _: {"retention": {"age": "1h"}}, 0)
    with pytest.raises(JobFailed) as caught:
        JOBS["retention"].run(context)
    assert set(caught.value.outcome["dropped"]) == {"a", "c"}
    assert caught.value.outcome["error"].startswith("b: ")
    for stream in ("a", "c"):
        assert len(load_catalog(context.data.stream(stream).catalog).segments) == 1


def test_settings_that_cannot_be_read_any_more_keep_all(context):
    write(context.data, 100, segment_bytes_max=1000)
    index(context.data)
    context.metadata.change_stream("main", lambda _: {"retention": {"age": "1h"}, "later": 1}, 0)
    assert JOBS["retention"].run(context) == {"dropped": {}}


def test_a_deletion_is_done_when_no_file_has_the_records_any_more(context):
    data = context.data
    for stream in ("main", "other"):
        write(data, 300, stream=stream, segment_bytes_max=2500)
    index(data)
    stream = data.stream("main")
    entry = load_catalog(stream.catalog).segments[0]
    reader = Store(data)
    begun = reader.snapshot(["main", "other"])
    dead = data.views / "1.left" / "view"
    staging = data.root / "backup.new" / "streams"
    retired = stream.dropped / "left.1"
    for folder in (dead, staging, retired):
        folder.mkdir(parents=True)
        for path in stream.segment(entry.first).index.glob("*.*"):
            os.link(path, folder / path.name)
    context.metadata.ask_deletion(
        "main", "{:from :main :where [:= :i 5]}", time.time_ns() // 1000, entry.until
    )
    with opened(stream.segment(entry.first).root) as going:
        holder = os.open(data.root, os.O_RDONLY)
        fcntl.flock(holder, fcntl.LOCK_EX)  # a backup is being made
        assert JOBS["deletion"].run(context)["deletions"]["1"]["waiting"] == "for a backup that is being made"
        assert context.metadata.deletions()[0].state == "running"
        assert names_of(going) > 0
        os.close(holder)
        assert JOBS["deletion"].run(context) == {"deletions": {"1": {"deleted": 1}}}
        assert context.metadata.deletions()[0].state == "done"
        assert names_of(going) == 0
    assert begun.count(begun.queries.all()[0]) == 600
    del begun
    assert deleted_files(data)
    reader.let_go()
    assert not deleted_files(data)
    assert reader.snapshot(["main", "other"]).records == 599
    reader.close()


def test_a_deletion_is_not_done_while_its_records_go_into_another_segment(context, monkeypatch):
    data = context.data
    write(data, 300, segment_bytes_max=2500)
    index(data)
    monkeypatch.setattr("server.jobs.deletion.LET_GO_S_MAX", 0.1)
    stream = data.stream("main")
    making = stream.segment(1, 7)
    making.root.mkdir()
    context.metadata.ask_deletion("main", "{:from :main :where [:= :i 5]}", time.time_ns() // 1000, 20)
    assert "put together" in JOBS["deletion"].run(context)["deletions"]["1"]["waiting"]
    making.root.rmdir()
    JOBS["deletion"].run(context)
    assert context.metadata.deletions()[0].state == "done"


def test_the_scrub_tells_what_it_found_once_and_ready_as_long_as_it_is_so(context, monkeypatch, caplog):
    write(context.data, 300, segment_bytes_max=2500)
    index(context.data)
    stream = context.data.stream("main")
    entry = load_catalog(stream.catalog).segments[0]
    path = stream.segment(entry.first).data

    def after(days):
        return JOBS["scrub"].run(replace(context, now_us=lambda: NOW_US + days * 86_400 * 1_000_000))

    with monkeypatch.context() as patch:
        Unreadable(path, 100, 101).install(patch)
        (found,) = after(0)["found"]
        assert (found["code"], found["stream"]) == ("unreadable", "main")
        assert after(7)["round"]["done"]
        begun = after(14)
        assert (begun["found_count"], begun["round"]["done"]) == (0, False)
        assert begun["round"]["read_bytes"] > 0
    assert len([one for one in caplog.records if "the scrub found" in one.message]) == 1
    assert [one.path for one in ScrubTables(context.metadata).findings()] == [found["path"]]


def test_housekeeping_removes_what_is_left(context):
    write(context.data, 10)
    index(context.data)
    (context.data.trash / "old.1" / "segments").mkdir(parents=True)
    (context.data.stream("main").dropped / "x").mkdir(parents=True)
    assert JOBS["housekeeping"].run(context) == {
        "segments": 1,
        "streams": 1,
        "views": 0,
        "runs": 0,
        "notifications": 0,
        "alerts": 0,
    }


def test_a_stream_that_nobody_writes_to_since_the_start_ends_its_segment(context):
    write(context.data, 10)
    write(context.data, 10, stream="young")
    index(context.data)
    stream = context.data.stream("main")
    now_us = time.time_ns() // 1000 + 3600 * 1_000_000
    context.metadata.change_stream("main", lambda _: {"rotation": {"age_max": "59m"}}, 0)

    async def tend():
        ingest = Ingest(
            context.data,
            lambda: now_us,
            10,
            lambda name: RotationSettings.model_validate(
                context.metadata.stream(name).settings["rotation"]
            ).policy(),
        )
        store = Store(context.data)
        admin = StreamAdmin(context.data, store, context.metadata, ingest, lambda: now_us)
        await admin.open_idle()
        assert ingest.is_open("main")
        assert not ingest.is_open("young")
        for _ in range(500):
            if len(stream.segment_firsts()) == 2:
                break
            await asyncio.sleep(0.01)
        await admin.open_idle()
        ingest.close()
        store.close()

    asyncio.run(tend())
    assert stream.segment_firsts() == [1, 11]


def test_what_is_set_of_a_stream_that_a_crash_took_away_is_forgotten(context):
    write(context.data, 1)
    for name in ("main", "gone"):
        context.metadata.change_stream(name, lambda _: {}, 0)
    ingest = Ingest(context.data, lambda: NOW_US, 10)
    StreamAdmin(context.data, Store(context.data), context.metadata, ingest, lambda: NOW_US).forget_deleted()
    ingest.close()
    assert [row.name for row in context.metadata.streams()] == ["main"]
