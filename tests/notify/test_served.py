"""Channels and notifications of a real server: set over HTTP, delivered by the scheduler, also after it was killed."""

from __future__ import annotations

import orjson
import pytest

from storage.metadata import Metadata
from storage.notifications import Owed, enqueue
from tests.support.receivers import Receiver, eventually

PAYLOAD = {
    "rule": "errors",
    "status": "firing",
    "fingerprint": "a" * 16,
    "labels": {"service": "edge"},
    "annotations": {"summary": "it burns"},
    "starts_us": 1_767_225_600_000_000,
    "ends_us": None,
    "value": {"n": 3},
    "samples": [],
    "generator": "/v1/rules/errors",
}


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


def put(server, name, **settings):
    body = orjson.dumps({"type": "webhook", "allow-private": True, "group-wait": "0s", **settings})
    return server.request("PUT", f"/v1/channels/{name}", body, content_type="application/json")


def owe(server, channel, fingerprint="a" * 16):
    metadata = Metadata(server.data / "klomp.db")
    with metadata.writing() as database:
        payload = {**PAYLOAD, "fingerprint": fingerprint}
        enqueue(database, [Owed("errors", fingerprint, channel, "firing", 1, payload)], 1)
    metadata.close()


def listed(server, **asked):
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    status, answer, _ = server.request("GET", f"/v1/notifications?{query}")
    assert status == 200, answer
    return answer["notifications"]


def test_a_channel_is_set_tried_told_of_and_taken_away(server, receiver):
    status, answer, headers = put(
        server, "ops", url=f"{receiver.url}/secret-path", secret="sixteen characters"
    )
    assert (status, headers["ETag"]) == (201, '"1"')
    assert "secret-path" not in str(answer)
    assert answer["settings"]["url"].endswith("/***")
    assert answer["breaker"] == {"state": "closed", "failures": 0, "until": None}
    status, answer, _ = server.request("POST", "/v1/channels/ops/test")
    assert (status, answer["ok"], answer["detail"]) == (200, True, "127.0.0.1 answered 204")
    assert receiver.got[0].json["alerts"][0]["rule"] == "klomp-test"
    _, answer, _ = server.request("GET", "/v1/channels")
    assert [(one["name"], one["type"]) for one in answer["channels"]] == [("ops", "webhook")]
    assert server.request("POST", "/v1/channels/nope/test")[0] == 404
    assert server.request("DELETE", "/v1/channels/ops")[0] == 200
    assert "secret-path" not in server.log.read_text()


def test_a_bad_channel_is_named_with_its_place(server):
    status, answer, _ = put(server, "bad", url="http://10.0.0.1/", **{"allow-private": False, "titel": "x"})
    assert status == 400
    assert {one["code"] for one in answer["errors"]} == {"unknown-key"} or len(answer["errors"]) == 2
    assert all("line" in one for one in answer["errors"])


def test_what_is_owed_is_delivered_also_when_the_scheduler_was_killed(server, receiver):
    put(server, "ops", url=receiver.url)
    server.kill("scheduler")
    owe(server, "ops")
    eventually(lambda: receiver.got)
    assert receiver.got[0].json["title"] == "[firing] errors"
    assert receiver.got[0].json["alerts"][0]["url"] == f"http://127.0.0.1:{server.port}/v1/rules/errors"
    (row,) = eventually(lambda: listed(server, channel="ops", state="sent"))
    assert (row["rule"], row["attempts"], row["error"]) == ("errors", 0, None)


def test_what_was_refused_can_be_looked_at_and_sent_again(server):
    with Receiver((400, {}), (400, {})) as receiver:
        put(server, "picky", url=receiver.url)
        owe(server, "picky", "b" * 16)
        (row,) = eventually(lambda: listed(server, channel="picky", state="dead"))
        _, answer, _ = server.request("GET", f"/v1/notifications/{row['id']}")
        assert [one["error"] for one in answer["failures"]] == ["127.0.0.1 answered 400"]
        assert answer["alert"]["labels"] == {"service": "edge"}
        status, answer, _ = server.request("POST", f"/v1/notifications/{row['id']}/resend")
        assert (status, answer) == (200, {"resent": 1})
        eventually(lambda: len(receiver.got) == 2 and listed(server, channel="picky", state="dead"))
        status, answer, _ = server.request("POST", "/v1/channels/picky/resend")
        assert answer == {"resent": 1}
        eventually(lambda: listed(server, channel="picky", state="sent"))
        status, answer, _ = server.request("POST", f"/v1/notifications/{row['id']}/resend")
        assert (status, answer["errors"][0]["code"]) == (400, "not-dead")


def test_pages_and_mistakes(server):
    for number in range(3):
        owe(server, "gone", f"{number:016x}")
    eventually(lambda: len(listed(server, channel="gone", state="dead")) == 3)
    _, first, _ = server.request("GET", "/v1/notifications?channel=gone&limit=2")
    _, second, _ = server.request("GET", f"/v1/notifications?channel=gone&limit=2&before={first['next']}")
    assert [len(one["notifications"]) for one in (first, second)] == [2, 1]
    assert second["next"] is None
    for path in ("?state=lost", "?limit=0", "?limit=1001", "?before=x"):
        status, answer, _ = server.request("GET", f"/v1/notifications{path}")
        assert (status, answer["errors"][0]["code"]) == (400, "bad-parameter")
    for path in ("/v1/notifications/7777777", "/v1/notifications/x"):
        assert server.request("GET", path)[1]["errors"][0]["code"] == "unknown-notification"
