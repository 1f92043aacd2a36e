"""Batches that are decoded in other processes are kept, answered and refused as those that are not."""

import os
import signal
import time
from pathlib import Path

import orjson
import pytest

from server.lanes import LANE_BYTES_LEAST
from tests.support.serving import Serving

FILLER = "x" * 200


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Serving(tmp_path_factory.mktemp("lanes") / "data", None, "--workers", "2")
    yield server
    assert server.stop() == 0


def batch(start, count=500):
    lines = [{"message": f"record {i} {FILLER}", "i": i} for i in range(start, start + count)]
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    assert len(body) > LANE_BYTES_LEAST
    return body


def post(server, body, path="/v1/streams/main/logs?refresh=wait", **headers):
    headers = {"content_type": "application/x-ndjson", **headers}
    return server.request("POST", path, body, **headers)[:2]


def numbers(server, stream):
    rows = server.query(f"{{:from :{stream} :limit 10000 :select [:i]}}")["rows"]
    return sorted(row["i"] for row in rows)


def lanes(server):
    """The processes that decode."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if int(parent) == server.pid("http") and "spawn_main" in command:
            found.append(int(pid))
    return found


def test_large_and_small_batches_are_kept_alike(server):
    where = "/v1/streams/mixed/logs?refresh=wait"
    for i in range(6):
        assert post(server, batch(1000 * i), where)[0] == 202
        assert post(server, b'{"i":%d}\n' % (1000 * i + 999), where)[0] == 202
    want = sorted([1000 * i + k for i in range(6) for k in range(500)] + [1000 * i + 999 for i in range(6)])
    assert numbers(server, "mixed") == want
    assert 1 <= len(lanes(server)) <= 2


def test_what_is_wrong_with_records_is_told_as_ever(server):
    body = batch(0, 300) + b'{"timestamp":"yesterday"}\nnonsense\n' + batch(300, 300)
    status, answer = post(server, body, "/v1/streams/bad/logs?refresh=wait")
    assert (status, answer["accepted"], answer["rejected_count"]) == (202, 600, 2)
    assert [(one["index"], one["code"]) for one in answer["rejected"]] == [
        (300, "bad-timestamp"),
        (301, "bad-json"),
    ]
    assert numbers(server, "bad") == list(range(600))


def test_a_body_that_cannot_be_decoded_at_all_is_refused_as_ever(server):
    body = b'{"rows": [' + b'"' + b"x" * LANE_BYTES_LEAST + b'"'
    status, answer = post(server, body, content_type="application/json")
    assert (status, answer["errors"][0]["code"]) == (400, "bad-json")
    status, answer = post(server, b"[]" + b" " * LANE_BYTES_LEAST, content_type="application/json")
    assert (status, answer["errors"][0]["code"]) == (422, "nothing-accepted")


def test_a_batch_that_comes_again_is_kept_once(server):
    for _ in range(3):
        status, answer = post(server, batch(0), "/v1/streams/once/logs?refresh=wait", idempotency_key="k1")
        assert (status, answer["accepted"]) == (202, 500)
    assert numbers(server, "once") == list(range(500))
    status, answer = post(server, batch(1), "/v1/streams/once/logs", idempotency_key="k1")
    assert (status, answer["errors"][0]["code"]) == (422, "idempotency-key-reused")


def test_a_lane_that_dies_costs_nothing(server):
    for turn in range(4):
        assert post(server, batch(1000 * turn), "/v1/streams/killed/logs?refresh=wait")[0] == 202
        for pid in lanes(server):
            os.kill(pid, signal.SIGKILL)
    assert numbers(server, "killed") == [1000 * turn + k for turn in range(4) for k in range(500)]


def test_no_lane_outlives_its_server(tmp_path):
    server = Serving(tmp_path / "data", None, "--workers", "2")
    assert post(server, batch(0))[0] == 202
    mine = lanes(server)
    assert mine
    server.kill("http")
    deadline_s = time.monotonic() + 10
    while any(map(is_running, mine)):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    server.wait_ready()
    assert server.stop() == 0


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
