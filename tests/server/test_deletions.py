"""Records that must go, through a real server: counted, deleted in data and index, and the others untouched."""

import time

import pytest

from tests.support.serving import Serving


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    server = Serving(tmp_path_factory.mktemp("deletions") / "data")
    yield server
    assert server.stop() == 0


def delete(serving, stream, text, dry_run=False):
    path = f"/v1/streams/{stream}/delete" + ("?dry-run=true" if dry_run else "")
    return serving.request("POST", path, text, content_type="application/edn")[:2]


def wait(serving, stream, deletion):
    deadline = time.monotonic() + 60
    while True:
        _, answer, _ = serving.request("GET", f"/v1/streams/{stream}/deletions")
        row = next(row for row in answer["deletions"] if row["id"] == deletion)
        if row["state"] in ("done", "failed"):
            return row
        assert time.monotonic() < deadline, row
        time.sleep(0.1)


def test_records_that_must_go_are_gone_and_the_others_are_not(serving):
    people = ["ann", "bob", "cy"]
    for start in range(0, 300, 100):
        serving.ingest(
            [
                {"n": n, "user": people[n % 3], "message": f"hello {people[n % 3]}"}
                for n in range(start, start + 100)
            ],
            "gdpr",
        )
    assert delete(serving, "gdpr", '{:where [:= :user "bob"]}', dry_run=True) == (
        200,
        {"stream": "gdpr", "matching": 100},
    )
    status, asked = delete(serving, "gdpr", '{:where [:contains :message "lo bob"]}')
    assert (status, asked["state"]) == (202, "waiting")
    serving.ingest([{"n": 1000, "user": "bob", "message": "hello bob"}], "gdpr")
    row = wait(serving, "gdpr", asked["id"])
    assert (row["state"], row["deleted"], row["remaining"]) == ("done", 100, 0)
    left = serving.query("{:from :gdpr :select [:n :user] :limit 1000 :total true}")
    assert left["total"] == 201
    assert sorted(r["n"] for r in left["rows"]) == [n for n in range(300) if n % 3 != 1] + [1000]
    assert serving.query('{:from :gdpr :where [:match :message "bob"] :aggregate {:n [:count]}}')["rows"] == [
        {"n": 1}
    ]
    one = next(s for s in serving.request("GET", "/v1/streams")[1]["streams"] if s["name"] == "gdpr")
    assert one["records"] == 201


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{}", "no-where"),
        ("{:where [:= :a 1] :limit 5}", "bad-deletion"),
        ("{:where [:= :a 1] :from :other}", "bad-deletion"),
        ("{:where [:equals :a 1]}", "unknown-operator"),
    ],
)
def test_mistakes_delete_nothing(serving, text, code):
    serving.ingest([{"a": 1}], "kept")
    status, answer = delete(serving, "kept", text)
    assert (status, answer["errors"][0]["code"]) == (400, code)
    assert delete(serving, "nowhere", "{:where [:= :a 1]}")[0] == 404
    assert serving.request("GET", "/v1/streams/kept/deletions")[1] == {"deletions": []}


def test_a_deletion_goes_on_after_the_server_was_killed(tmp_path):
    serving = Serving(tmp_path / "data")
    serving.ingest([{"n": n} for n in range(200)], "main")
    _, asked = delete(serving, "main", "{:where [:< :n 50]}")
    serving.kill("scheduler")
    serving.wait_ready()
    assert wait(serving, "main", asked["id"])["deleted"] == 50
    assert serving.query("{:total true :limit 1}")["total"] == 150
    assert serving.stop() == 0
