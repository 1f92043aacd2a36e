"""`klomp rules` and `klomp alerts` against a real server."""

from __future__ import annotations

import time

import pytest
from click.testing import CliRunner

from server.cli import main

RULE = """{:query {:from :app :time {:last "1h"} :where [:= :level "error"]
                   :group-by [:service] :aggregate {:n [:count]}}
          :when [:> :n 1] :every "1s" :delay "0s" :annotations {:summary "{service}: {n} errors"}}"""


@pytest.fixture(scope="module")
def klomp(server, tmp_path_factory):
    """Runs a command against the server."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    record = {"timestamp": stamp, "level": "error", "service": "auth"}
    server.ingest([record, record, {**record, "service": "edge"}], "app")
    folder = tmp_path_factory.mktemp("rules")
    (folder / "errors.edn").write_text(RULE)

    def run(*words, code=0):
        words = [str(folder / word) if word.endswith(".edn") else word for word in words]
        result = CliRunner().invoke(main, [*words, "--url", server.url], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.output

    return run


def test_a_rule_is_tried_replayed_saved_listed_shown_and_deleted(klomp, server):
    tried = klomp("rules", "try", "errors.edn")
    assert "2 groups, 1 would fire at" in tried
    replayed = klomp("rules", "replay", "errors.edn", "--since", "-2m")
    assert "firing  service=auth" in replayed
    assert "fired 1 time in 12" in replayed  # 120 or 121 evaluations
    assert klomp("rules", "put", "errors", "errors.edn") == "saved errors, version 1\n"
    deadline = time.monotonic() + 20
    while "1 alert" not in klomp("alerts"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    listed = klomp("alerts", "--match", "service=auth")
    assert "auth: 2 errors" in listed
    assert "0 alerts" in klomp("alerts", "--match", "service=edge")
    assert "errors" in klomp("rules", "list")
    bare = CliRunner().invoke(main, ["rules"], env={"KLOMP_URL": server.url})
    assert bare.output.endswith("1 rule\n")  # the same server as for all other commands
    assert klomp("rules", "show", "errors") == RULE + "\n"
    assert "fired 1 time" in klomp("rules", "replay", "errors", "--since", "-2m")
    assert "1 " in klomp("rules", "versions", "errors")
    assert klomp("rules", "restore", "errors", "1") == "restored errors, now version 1\n"
    assert (
        klomp("rules", "delete", "errors") == "deleted errors; klomp rules restore errors 1 brings it back\n"
    )
    assert "0 rules" in klomp("rules", "list")


def test_mistakes_end_a_command(klomp, server):
    status, answer, _ = server.request(
        "POST", "/v1/rules/replay?since=now", RULE, content_type="application/edn"
    )
    assert (status, answer["errors"][0]["code"]) == (400, "bad-time")
    status, answer, _ = server.request(
        "POST", "/v1/rules/replay?since=now-9d", RULE, content_type="application/edn"
    )
    assert (status, answer["errors"][0]["code"]) == (400, "replay-too-long")
    assert "no rule 'nothing'" in klomp("rules", "replay", "nothing", code=2)
    assert server.request("PUT", "/v1/rules/replay", RULE, content_type="application/edn")[0] == 405
