"""Streams as a whole, through a real server: what is set of them, what retention and deletion do, and the jobs."""

import asyncio
import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from server.ingest import Ingest
from server.protocols import decoder
from server.streams import rotation_of
from storage.log import Rotation
from storage.paths import DataDirectory
from tests.support.serving import Serving

JSON = "application/json"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    server = Serving(tmp_path_factory.mktemp("streams") / "data")
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()
    assert "starts again" not in server.log.read_text()


def call(serving, method, path, body=None, content_type=JSON):
    return serving.request(
        method, path, None if body is None else orjson.dumps(body), content_type=content_type
    )[:2]


def put(serving, stream, settings):
    status, answer = call(serving, "PUT", f"/v1/streams/{stream}", settings)
    assert status in (200, 201), answer
    return answer


def records(count, *, age=timedelta(0), **more):
    start = datetime.now(UTC) - age
    return [
        {"timestamp": (start + timedelta(milliseconds=n)).isoformat(), "message": f"record {n}", **more}
        for n in range(count)
    ]


def count(serving, stream):
    return serving.query(f"{{:from :{stream} :total true :limit 1}}")["total"]


def run(serving, kind):
    """Have a job run, and wait for its outcome."""
    _, before = call(serving, "GET", f"/v1/jobs?kind={kind}&limit=1")
    last = max((job["id"] for job in before["jobs"]), default=0)
    assert call(serving, "POST", f"/v1/jobs/{kind}/run")[0] == 202
    deadline = time.monotonic() + 20
    while True:
        _, answer = call(serving, "GET", f"/v1/jobs?kind={kind}")
        ended = [job for job in answer["jobs"] if job["id"] > last and job["state"] != "running"]
        if ended:
            assert ended[0]["state"] == "done", ended[0]
            return ended[0]["outcome"]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stream_is_made_set_changed_and_looked_at(serving):
    status, made = call(serving, "PUT", "/v1/streams/made", {"retention": {"age": "7d"}})
    assert status == 201
    assert made["settings"]["retention"] == {"age": "1w", "bytes": None, "records": None}
    assert (made["name"], made["records"], made["version"], made["segments"]) == ("made", 0, 1, [])
    status, changed = call(
        serving, "PATCH", "/v1/streams/made", {"retention": {"bytes": "1GiB"}, "rotation": {"age_max": "1h"}}
    )
    assert status == 200
    assert changed["settings"]["retention"] == {"age": "1w", "bytes": 1 << 30, "records": None}
    assert changed["settings"]["rotation"]["age_max"] == "1h"
    status, changed = call(serving, "PATCH", "/v1/streams/made", {"retention": {"age": None}})
    assert changed["settings"]["retention"] == {"age": None, "bytes": 1 << 30, "records": None}
    status, replaced = call(serving, "PUT", "/v1/streams/made", {})
    assert (status, replaced["version"]) == (200, 4)
    assert replaced["settings"]["retention"] == {"age": None, "bytes": None, "records": None}
    serving.ingest([{"message": "one"}], "made")
    status, seen = call(serving, "GET", "/v1/streams/made")
    assert (seen["records"], seen["segments_count"]) == (1, 1)
    (segment,) = seen["segments"]
    assert (segment["first"], segment["until"], segment["sealed"]) == (1, 2, False)
    assert seen["created"] == made["created"]
    assert count(serving, "made") == 1


def test_settings_in_edn(serving):
    status, answer, _ = serving.request(
        "PUT", "/v1/streams/edn", '{:retention {:age "2w"}}', content_type="application/edn"
    )
    assert (status, answer["settings"]["retention"]["age"]) == (201, "2w")
    status, answer, _ = serving.request("PUT", "/v1/streams/edn", "[1 2]", content_type="application/edn")
    assert (status, answer["errors"][0]["code"]) == (400, "bad-settings")


def test_a_stream_that_came_with_its_records_has_the_defaults(serving):
    serving.ingest([{"message": "one"}], "plain")
    _, seen = call(serving, "GET", "/v1/streams/plain")
    assert seen["version"] == 0
    assert seen["settings"]["rotation"]["age_max"] == "1d"
    assert call(serving, "PATCH", "/v1/streams/plain", {"retention": {"records": 5}})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "none", None, 404, "unknown-stream"),
        ("PATCH", "none", {}, 404, "unknown-stream"),
        ("DELETE", "none?confirm=none", None, 404, "unknown-stream"),
        ("GET", "%2e%2e", None, 400, "bad-stream-name"),
        ("PUT", "-x", {}, 400, "bad-stream-name"),
        ("DELETE", "-x?confirm=-x", None, 400, "bad-stream-name"),
        ("PUT", "bad", {"retention": {"age": "7 days"}}, 400, "bad-settings"),
        ("PUT", "bad", [], 400, "bad-settings"),
    ],
)
def test_mistakes_are_named(serving, method, path, body, status, code):
    got, answer = call(serving, method, f"/v1/streams/{path}", body)
    assert (got, answer["errors"][0]["code"]) == (status, code)
    assert "hint" in answer["errors"][0]
    assert call(serving, "GET", "/v1/streams/bad")[0] == 404


def test_all_mistakes_of_settings_are_told_and_change_nothing(serving):
    put(serving, "keeps", {"retention": {"age": "1d"}})
    status, answer = call(
        serving, "PATCH", "/v1/streams/keeps", {"retention": {"age": "x", "bytes": -1}, "rotatoin": {}}
    )
    text = '{"retention": {"age": "x", "bytes": -1}, "rotatoin": {}}'.replace(" ", "")
    assert status == 400
    places = [text[one["column"] - 1 :][:7] for one in answer["errors"]]
    assert places == ['"x","by', '-1},"ro', '"rotato']
    assert "^^^^" in answer["text"]
    _, seen = call(serving, "GET", "/v1/streams/keeps")
    assert (seen["version"], seen["settings"]["retention"]["age"]) == (1, "1d")


def test_a_body_that_is_no_json(serving):
    status, answer, _ = serving.request("PUT", "/v1/streams/bad", "{", content_type=JSON)
    assert (status, answer["errors"][0]["code"]) == (400, "missing-bracket")
    status, answer, _ = serving.request("PUT", "/v1/streams/bad", "a=b", content_type="text/plain")
    assert (status, answer["errors"][0]["code"]) == (415, "unknown-content-type")


def test_rotation_counts_at_once_and_retention_drops_what_is_too_old(serving):
    put(serving, "old", {"rotation": {"records_max": 1000}})
    for n in range(3):  # fewer than compaction would put together
        serving.ingest(records(1000, age=(9 - n) * DAY), "old", refresh=False)
    serving.ingest(records(10), "old")
    until(lambda: call(serving, "GET", "/v1/streams/old")[1]["segments_count"] == 4)
    until(lambda: all(s["sealed"] for s in call(serving, "GET", "/v1/streams/old")[1]["segments"][:-1]))
    assert run(serving, "retention")["dropped"].get("old") is None
    call(serving, "PATCH", "/v1/streams/old", {"retention": {"age": "8d12h"}})
    outcome = run(serving, "retention")
    assert outcome["dropped"]["old"]["segments"] == 1
    assert outcome["dropped"]["old"]["records"] == 1000
    assert count(serving, "old") == 2010
    call(serving, "PATCH", "/v1/streams/old", {"retention": {"records": 1500}})
    assert run(serving, "retention")["dropped"]["old"]["segments"] == 1
    assert count(serving, "old") == 1010
    call(serving, "PATCH", "/v1/streams/old", {"retention": {"bytes": 1}})
    run(serving, "retention")
    assert count(serving, "old") == 10
    assert serving.ingest(records(5), "old")["accepted"] == 5
    rows = serving.query("{:from :old :limit 1 :order-by [[:_number :desc]]}")["rows"]
    assert rows[0]["_number"] == 3015


def test_a_deletion_wants_to_be_meant(serving):
    serving.ingest([{"message": "one"}, {"message": "two"}], "dear")
    for query in ("", "?confirm=", "?confirm=other"):
        status, answer = call(serving, "DELETE", f"/v1/streams/dear{query}")
        assert (status, answer["errors"][0]["code"]) == (400, "confirm-needed")
        assert "?confirm=dear" in answer["errors"][0]["hint"]
    assert count(serving, "dear") == 2


def test_a_deleted_stream_is_gone_and_one_of_its_name_begins_anew(serving):
    put(serving, "gone", {"retention": {"age": "30d"}})
    serving.ingest(records(50), "gone")
    serving.query("{:from [:gone :plain]}")
    assert call(serving, "DELETE", "/v1/streams/gone?confirm=gone") == (
        200,
        {"deleted": "gone", "records": 50},
    )
    assert call(serving, "GET", "/v1/streams/gone")[0] == 404
    assert "gone" not in [s["name"] for s in call(serving, "GET", "/v1/streams")[1]["streams"]]
    status, answer, _ = serving.request("POST", "/v1/query", "{:from :gone}")
    assert (status, answer["errors"][0]["code"]) == (404, "unknown-stream")
    serving.ingest([{"message": "again", "new": True}], "gone")
    rows = serving.query("{:from :gone}")["rows"]
    assert [(row["_number"], row["message"]) for row in rows] == [(1, "again")]
    both = serving.query("{:from [:gone :plain] :total true}")
    assert both["total"] == 2
    _, seen = call(serving, "GET", "/v1/streams/gone")
    assert (seen["version"], seen["settings"]["retention"]["age"]) == (0, None)
    data = DataDirectory(serving.data)
    until(lambda: not list(data.trash.iterdir()))


def test_a_stream_can_be_deleted_while_it_is_written_to_and_asked(serving):
    """Every batch is either gone with the old stream or whole in a new one; and no process stumbles."""
    stop = threading.Event()
    odd = []

    def write():
        n = 0
        while not stop.is_set():
            status, answer, _ = serving.request(
                "POST", "/v1/streams/busy/logs", orjson.dumps([{"n": n}] * 20), content_type=JSON
            )
            n += 1
            if status != 202 and (status, answer["errors"][0]["code"]) != (503, "log-closed"):
                odd.append(answer)

    def ask():
        while not stop.is_set():
            status, answer, _ = serving.request("POST", "/v1/query", "{:from [:busy :plain] :limit 5}")
            if status not in (200, 404):
                odd.append(answer)

    threads = [threading.Thread(target=target) for target in (write, write, ask)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        time.sleep(0.3)
        status, answer = call(serving, "DELETE", "/v1/streams/busy?confirm=busy")
        if status not in (200, 404):
            odd.append(answer)
    stop.set()
    for thread in threads:
        thread.join()
    assert odd == []
    serving.ingest([{"n": -1}], "busy")
    rows = serving.query("{:from :busy :limit 10000 :order-by [[:_number :asc]]}")["rows"]
    assert [row["_number"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) % 20 == 1


def test_jobs_are_listed_with_their_kinds_and_runs(serving):
    outcome = run(serving, "housekeeping")
    assert set(outcome) == {"segments", "streams", "views", "runs", "notifications", "alerts"}
    status, answer = call(serving, "GET", "/v1/jobs")
    assert status == 200
    kinds = {kind["kind"]: kind for kind in answer["kinds"]}
    assert {"retention", "housekeeping"} <= set(kinds)
    assert kinds["retention"]["every_s"] == 60
    ids = [job["id"] for job in answer["jobs"]]
    assert ids == sorted(ids, reverse=True)
    newest = next(job for job in answer["jobs"] if job["kind"] == "housekeeping")
    assert newest["state"] == "done"
    assert newest["took_ms"] >= 0
    assert len(call(serving, "GET", "/v1/jobs?limit=1")[1]["jobs"]) == 1
    status, answer = call(serving, "POST", "/v1/jobs/nothing/run")
    assert (status, answer["errors"][0]["code"]) == (404, "unknown-job")


def test_settings_survive_and_the_scheduler_comes_back(tmp_path):
    serving = Serving(tmp_path / "data")
    try:
        put(serving, "app", {"rotation": {"records_max": 1000}, "retention": {"age": "3d"}})
        for role in ("scheduler", "http"):
            serving.kill(role)
        serving.wait_ready()
        until(lambda: role_runs(serving, "scheduler"))
        _, seen = call(serving, "GET", "/v1/streams/app")
        assert seen["settings"]["retention"]["age"] == "3d"
        for _ in range(2):
            serving.ingest(records(1000, age=4 * DAY), "app")
        until(lambda: call(serving, "GET", "/v1/streams/app")[1]["segments_count"] == 2)
        until(lambda: call(serving, "GET", "/v1/streams/app")[1]["segments"][0]["sealed"])
        assert run(serving, "retention")["dropped"]["app"]["records"] == 1000
        assert serving.stop() == 0
    finally:
        serving.process.kill()


def role_runs(serving, role):
    try:
        return serving.pid(role) > 0
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_settings_that_cannot_be_read_keep_no_record_out():
    class Damaged:
        def stream(self, _name):
            raise sqlite3.DatabaseError("file is not a database")

    assert rotation_of(Damaged(), "app") == Rotation()


def test_a_batch_for_a_stream_that_is_deleted_while_it_comes_goes_the_long_way(tmp_path):
    async def take():
        ingest = Ingest(DataDirectory(tmp_path), lambda: 0, 10)
        try:
            return ingest.take("gone", decoder(JSON), b'{"message": "late"}')
        finally:
            ingest.close()

    assert asyncio.run(take()) is None
