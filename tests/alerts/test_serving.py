"""Rules on a running server: saved, evaluated, fired, kept quiet, taken note of, deleted; and their mistakes."""

from __future__ import annotations

import time

import orjson
import pytest

from dsl.forms import MapForm
from dsl.reader import read

RULE = """{:query {:from :app :time {:last "1h"} :where [:= :level "error"]
                   :group-by [:service] :aggregate {:n [:count]}}
          :when [:> :n 1] :every "1s" :delay "0s"
          :labels {:severity "page"} :annotations {:summary "{service}: {n} errors"} :notify [:nobody]}"""
EDN = {"content_type": "application/edn"}
WAIT_S = 20.0


def now(ago_s=0):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago_s))


def errors(service, count, **more):
    return [
        {"timestamp": now(5), "level": "error", "service": service, "message": f"m{i}", **more}
        for i in range(count)
    ]


def until(found):
    """What a function gives as soon as that is true."""
    deadline = time.monotonic() + WAIT_S
    while not (got := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return got


@pytest.fixture(scope="module")
def firing(server):
    """A server with a rule that fires for two services, and not for a third."""
    server.ingest([*errors("auth", 3), *errors("edge", 2), *errors("idle", 1)], "app")
    status, answer, headers = server.request("PUT", "/v1/rules/errors", RULE, **EDN)
    assert status == 201, answer
    assert headers["ETag"] == '"1"'
    assert [one["code"] for one in answer["warnings"]] == ["unknown-channel"]
    until(lambda: alerts(server, "?rule=errors&state=firing"))
    return server


def alerts(server, query=""):
    status, answer, _ = server.request("GET", f"/v1/alerts{query}")
    assert status == 200, answer
    return {one["labels"].get("service"): one for one in answer["alerts"]}


def test_each_group_that_the_condition_holds_for_is_an_alert(firing):
    found = alerts(firing, "?rule=errors")
    assert sorted(found) == ["auth", "edge"]
    auth = found["auth"]
    assert auth["labels"] == {"alertname": "errors", "severity": "page", "service": "auth"}
    assert auth["annotations"] == {"summary": "auth: 3 errors"}
    assert auth["value"] == {"service": "auth", "n": 3}
    assert (auth["state"], auth["silenced"], auth["acknowledged"]) == ("firing", [], None)
    assert auth["told"]["nobody"]["status"] == "firing"
    assert list(alerts(firing, "?match=service=~e.*&match=severity=page")) == ["edge"]


def test_the_rule_tells_how_it_stands(firing):
    until(lambda: firing.request("GET", "/v1/rules/errors")[1]["evaluations"] > 1)
    _, rule, _ = firing.request("GET", "/v1/rules/errors")
    assert rule["state"] == "firing"
    assert rule["failed"] == rule["failing"] == 0
    assert rule["outcome"]["groups"] == 3
    assert {one["kind"] for one in rule["notifications"]} == {"firing"}
    assert len(rule["notifications"]) == 2
    assert rule["last_evaluation"] < rule["next_evaluation"]
    _, listed, _ = firing.request("GET", "/v1/rules")
    (row,) = [one for one in listed["rules"] if one["name"] == "errors"]
    assert row["alerts"] == {"firing": 2, "pending": 0}


def test_edn_is_answered_to_who_asks_for_it(firing):
    for path in ("/v1/rules/errors", "/v1/rules", "/v1/alerts", "/v1/alerts/history", "/v1/silences"):
        status, text, headers = firing.request("GET", path, accept="application/edn")
        assert (status, headers["Content-Type"]) == (200, "application/edn")
        assert isinstance(read(text.decode()).value, MapForm)


def test_what_was_owed_is_in_the_history_with_samples(firing):
    _, found, _ = firing.request("GET", "/v1/alerts/history?rule=errors")
    assert {(one["was"], one["state"]) for one in found["history"]} == {("inactive", "firing")}
    assert {one["channel"] for one in found["notifications"]} == {"nobody"}
    _, listed, _ = firing.request("GET", "/v1/notifications?rule=errors")
    assert listed["notifications"] == found["notifications"]  # a notification looks the same everywhere
    of_one = found["notifications"][-1]["fingerprint"]
    _, found, _ = firing.request("GET", f"/v1/alerts/history?fingerprint={of_one}&limit=1")
    assert [one["fingerprint"] for one in found["notifications"]] == [of_one]
    _, after, _ = firing.request("GET", f"/v1/alerts/history?before={found['next']}")
    assert after["notifications"] == []  # they were on the first page


def test_an_alert_is_acknowledged_with_a_note(firing):
    fingerprint = alerts(firing)["auth"]["fingerprint"]
    status, answer, _ = firing.request(
        "POST",
        f"/v1/alerts/{fingerprint}/ack",
        b'{"note": "on it"}',
        content_type="application/json",
        x_klomp_author="ada",
    )
    assert status == 200, answer
    assert answer["acknowledged"]["note"] == "on it"
    assert alerts(firing)["auth"]["acknowledged"]["author"] == "ada"
    status, answer, _ = firing.request("POST", "/v1/alerts/0000/ack", b"{}")
    assert (status, answer["errors"][0]["code"]) == (404, "unknown-alert")


def test_a_silence_keeps_an_alert_quiet_until_it_ends(firing):
    body = orjson.dumps({"matchers": ["service=~ed.*"], "for": "1h", "comment": "moving house"})
    status, silence, _ = firing.request("POST", "/v1/silences", body, content_type="application/json")
    assert status == 201, silence
    assert silence["matchers"] == ['service=~"ed.*"']
    assert alerts(firing)["edge"]["silenced"] == [silence["id"]]
    assert alerts(firing)["auth"]["silenced"] == []
    _, listed, _ = firing.request("GET", "/v1/silences?state=active")
    assert [one["id"] for one in listed["silences"]] == [silence["id"]]
    status, ended, _ = firing.request("DELETE", f"/v1/silences/{silence['id']}")
    assert (status, ended["state"]) == (200, "expired")
    assert alerts(firing)["edge"]["silenced"] == []
    assert firing.request("GET", "/v1/silences/none")[0] == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "bad-silence"),
        ({"matchers": [], "for": "1h"}, "bad-matcher"),
        ({"matchers": ["service=~("], "for": "1h"}, "bad-matcher"),
        ({"matchers": ["service"], "for": "1h"}, "bad-matcher"),
        ({"matchers": ["service=~.*"], "for": "1h"}, "bad-matcher"),
        ({"matchers": [5], "for": "1h"}, "bad-matcher"),
        ({"matchers": [{"name": "a", "operator": "~", "value": "b"}], "for": "1h"}, "bad-matcher"),
        ({"matchers": [{"name": "a", "value": "b.*", "isRegex": True}], "for": "1h"}, "bad-matcher"),
        ({"matchers": ["a=b"]}, "bad-silence"),
        ({"matchers": ["a=b"], "for": "1x"}, "bad-duration"),
        ({"matchers": ["a=b"], "ends": "tomorrow"}, "bad-time"),
        ({"matchers": ["a=b"], "ends": "now-1h"}, "bad-silence"),
        ({"matchers": ["a=b"], "for": "1h", "comment": 5}, "bad-note"),
        ({"matchers": ["a=b"], "until": "1h"}, "bad-silence"),
    ],
)
def test_a_silence_with_a_mistake_is_refused(server, body, code):
    status, answer, _ = server.request(
        "POST", "/v1/silences", orjson.dumps(body), content_type="application/json"
    )
    assert (status, answer["errors"][0]["code"]) == (400, code)
    assert answer["errors"][0]["hint"]


def test_what_is_wrong_with_an_expression_is_told_as_it_was_written(server):
    body = orjson.dumps({"matchers": ["service=~("], "for": "1h"})
    _, answer, _ = server.request("POST", "/v1/silences", body, content_type="application/json")
    assert answer["errors"][0]["message"] == "no regular expression: missing ): (: ("


@pytest.mark.parametrize("wrong", ["limit=0", "limit=1001", "limit=x", "before=x", "before=0"])
def test_a_number_in_a_url_that_is_none_is_refused(server, wrong):
    status, answer, _ = server.request("GET", f"/v1/alerts/history?{wrong}")
    assert (status, answer["errors"][0]["code"]) == (400, "bad-parameter")
    assert answer["errors"][0]["hint"].startswith("use a whole number from 1")


def test_a_rule_is_tried_without_telling_anybody(firing):
    before = firing.request("GET", "/v1/alerts/history")[1]
    status, found, _ = firing.request("POST", "/v1/rules/test", RULE.replace("[:> :n 1]", "[:> :n 2]"), **EDN)
    assert status == 200, found
    assert found["fires"] == 1
    first = found["groups"][0]
    assert first["fires"]
    assert first["labels"]["service"] == "auth"
    assert [one["message"] for one in first["samples"]] == ["m2", "m1", "m0"]
    assert all(one["service"] == "auth" for one in first["samples"])
    assert [one["fires"] for one in found["groups"]] == [True, False, False]
    assert firing.request("GET", "/v1/alerts/history")[1] == before
    past = firing.request("POST", "/v1/rules/test?at=now-2h", RULE, **EDN)[1]
    assert past["fires"] == 0


def test_mistakes_in_a_rule_are_shown_where_they_are(server):
    for method, path in (("PUT", "/v1/rules/wrong"), ("POST", "/v1/rules/test")):
        status, answer, _ = server.request(method, path, RULE.replace(":when [:> :n", ":when [:> :m"), **EDN)
        assert status == 400
        (mistake,) = answer["errors"]
        assert (mistake["code"], mistake["line"], mistake["hint"]) == (
            "unknown-column",
            3,
            "the columns are :service :n",
        )
    assert server.request("PUT", "/v1/rules/test", RULE, **EDN)[0] == 405
    assert server.request("GET", "/v1/alerts?state=odd")[0] == 400


def test_a_rule_that_fails_is_an_alert_about_itself(server):
    gone = RULE.replace(":from :app", ":from :nowhere")
    for path in ("/v1/rules/test", "/v1/rules/replay?since=now-1h"):
        status, answer, _ = server.request("POST", path, gone, **EDN)
        (mistake,) = answer["errors"]
        assert (status, mistake["code"], mistake["line"], mistake["column"]) == (404, "unknown-stream", 1, 16)
    status, answer, _ = server.request("PUT", "/v1/rules/gone", gone, **EDN)
    assert (status, [one["code"] for one in answer["warnings"]]) == (
        201,
        ["unknown-stream", "unknown-channel"],
    )
    found = until(lambda: alerts(server, "?rule=gone"))
    (alert,) = found.values()
    assert alert["labels"] == {"alertname": "RuleFailing", "rule": "gone", "severity": "page"}
    assert "no stream 'nowhere'" in alert["annotations"]["summary"]
    _, rule, _ = server.request("GET", "/v1/rules/gone")
    assert rule["state"] == "failing"
    assert rule["outcome"]["error"]["code"] == "unknown-stream"
    assert server.request("DELETE", "/v1/rules/gone")[0] == 200
    until(lambda: not alerts(server, "?rule=gone"))


def test_the_alerts_of_a_rule_that_is_changed_or_deleted_end(server):
    server.ingest(errors("auth", 3), "other")
    rule = RULE.replace(":app", ":other")
    assert server.request("PUT", "/v1/rules/brief", rule, **EDN)[0] == 201
    until(lambda: alerts(server, "?rule=brief&state=firing"))
    status, answer, _ = server.request(
        "PUT", "/v1/rules/brief", rule.replace(":n 1", ":n 9"), if_match='"1"', **EDN
    )
    assert (status, answer["version"]) == (200, 2)
    until(lambda: alerts(server, "?rule=brief&state=resolved"))
    assert server.request("POST", "/v1/rules/brief/restore", b'{"version": 1}')[0] == 200
    until(lambda: alerts(server, "?rule=brief&state=firing"))
    assert server.request("DELETE", "/v1/rules/brief")[0] == 200
    until(lambda: not alerts(server, "?rule=brief"))
    _, found, _ = server.request("GET", "/v1/alerts/history?rule=brief")
    assert [one["state"] for one in found["history"]] == ["resolved", "firing"] * 2
    assert [one["kind"] for one in found["notifications"]] == ["resolved", "firing"] * 2
