"""`klomp templates` and `klomp run` in a terminal, against a real server."""

import orjson
import pytest
from click.testing import CliRunner

from server.cli import main
from tests.support.serving import Serving

TEMPLATE = """; errors of one service
{:doc "Errors of a service"
 :params {?service {:type :string :required true} ?levels {:type [:set :string] :default #{"error"}}}
 :query {:where [:and [:= :service ?service] [:in :level ?levels]] :order-by [[:timestamp :asc]] :select [:message]}}
"""


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    server = Serving(tmp_path_factory.mktemp("templates") / "data")
    server.ingest(
        [
            {"ts": "2026-01-02T10:00:00Z", "service": "auth", "level": "error", "msg": "token expired"},
            {"ts": "2026-01-02T10:00:01Z", "service": "auth", "level": "warn", "msg": "slow, very"},
            {"ts": "2026-01-02T10:00:02Z", "service": "shop", "level": "error", "msg": "cart lost"},
        ]
    )
    yield server
    server.stop()


@pytest.fixture
def klomp(serving):
    def run(*arguments, code=0, **more):
        done = CliRunner().invoke(main, arguments, env={"KLOMP_URL": serving.url, "COLUMNS": "200"}, **more)
        assert done.exit_code == code, done.output
        return done

    return run


def test_a_template_from_a_file_to_its_end(klomp, tmp_path):
    file = tmp_path / "errors.edn"
    file.write_text(TEMPLATE)
    assert klomp("templates", "put", "errors", str(file)).stdout == "saved errors, version 1\n"
    assert klomp("templates", "show", "errors").stdout == TEMPLATE
    assert orjson.loads(klomp("templates", "show", "errors", "--format", "json").stdout)["doc"]
    assert "errors" in klomp("templates").stdout
    assert "service=… [levels]" in klomp("templates", "list").stdout

    assert klomp("run", "errors", "service=auth").stdout == '{"message":"token expired"}\n'
    table = klomp(
        "templates", "run", "errors", "service=auth", "levels=error,warn", "--format", "table"
    ).stdout
    assert "slow, very" in table
    assert "2 rows" in table
    assert klomp("run", "errors", "service=auth", "--render").stdout.startswith("{:where [:and [:= :service")

    changed = TEMPLATE.replace(":asc", ":desc")
    klomp("templates", "put", "errors", "-", "--if-version", "1", input=changed)
    late = klomp("templates", "put", "errors", "-", "--if-version", "1", input=TEMPLATE, code=2)
    assert "has version 2, not 1" in late.stderr
    assert klomp("templates", "versions", "errors").stdout.count("\n") >= 3
    assert klomp("templates", "restore", "errors", "1").stdout == "restored errors, now version 3\n"
    assert "restore errors 3 brings it back" in klomp("templates", "delete", "errors").stdout
    assert "deletion" in klomp("templates", "show", "errors", "--version", "4", code=2).stderr
    assert klomp("templates", "show", "errors", "--version", "1").stdout == TEMPLATE
    assert orjson.loads(klomp("templates", "versions", "errors", "--format", "json").stdout)[0]["deleted"]


def test_what_is_wrong_is_said_whole(klomp):
    bad = klomp("templates", "put", "bad", "-", input="{:query {:where [:betwen :a 1 2]}}", code=2)
    assert "did you mean :between?" in bad.stderr
    assert "^^^" in bad.stderr
    klomp("templates", "put", "errors", "-", input=TEMPLATE)
    wrong = klomp("run", "errors", "servise=auth", "levels=", "x=1", code=2).stderr
    assert "did you mean service?" in wrong
    assert "'x'" in wrong or " x" in wrong
    assert "no NAME=VALUE" in klomp("run", "errors", "auth", code=2).stderr
    assert "no template 'none'" in klomp("run", "none", code=2).stderr
    assert orjson.loads(klomp("templates", "list", "--format", "json").stdout)


def test_json_is_taken_too(klomp):
    text = '{"params": {"x": "string"}, "query": {"where": ["=", "service", {"param": "x"}], "select": ["message"]}}'
    klomp("templates", "put", "in-json", "-", "--json", input=text)
    assert klomp("run", "in-json", "x=shop").stdout == '{"message":"cart lost"}\n'
