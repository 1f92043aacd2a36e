"""What one query may cost is set by the server's settings, and refused by name when passed."""

import pytest
from pydantic import ValidationError

from dsl.limits import DEFAULT
from server.settings import Settings
from tests.support.serving import Serving

OPTIONS = {
    "--query-text-characters-max": 2000,
    "--query-depth-max": 8,
    "--query-nodes-max": 16,
    "--query-values-max": 16,
    "--query-regex-program-max": 100,
    "--query-rows-max": 100,
    "--query-groups-max": 100,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    options = [str(part) for pair in OPTIONS.items() for part in pair]
    server = Serving(tmp_path_factory.mktemp("limits") / "data", None, *options)
    server.ingest([{"i": i, "message": f"record {i}"} for i in range(200)])
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (f'{{:where [:= :a "{"x" * 2000}"]}}', ("text-too-long", "2000")),
        ("{:where " + "[:not " * 8 + "[:= :a 1]" + "]" * 8 + "}", ("too-deep", "8")),
        ("{:where [:or " + "[:= :a 1] " * 16 + "]}", ("too-many-nodes", "16")),
        ("{:where [:in :a [" + " ".join(map(str, range(17))) + "]]}", ("too-many-values", "16")),
        ('{:where [:regex :a "(abc|def|[a-z]{2,40}x){20}"]}', ("regex-too-large", "100")),
        ("{:limit 101}", ("bad-limit", "100")),
        ("{:group-by [:i]}", ("too-many-groups", "100")),
    ],
)
def test_each_limit_is_set_and_refused_by_name(server, query, names):
    code, most = names
    status, answer, _ = server.request("POST", "/v1/query", query, content_type="application/edn")
    assert status == 400
    assert [one["code"] for one in answer["errors"]] == [code], answer
    assert most in answer["errors"][0]["message"], answer


def test_within_the_limits_all_is_well(server):
    assert len(server.query("{:limit 100}")["rows"]) == 100
    assert len(server.query("{:where [:< :i 100] :group-by [:i]}")["rows"]) == 100


def test_the_defaults_are_those_of_the_language():
    assert Settings().limits == DEFAULT
    with pytest.raises(ValidationError, match="less than or equal to 65000"):
        Settings(query_groups_max=65_001)
