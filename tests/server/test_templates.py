"""Templates over HTTP, on the logs of the demo shop: saved, checked, run, rendered, built on each other."""

import csv
import io
from concurrent.futures import ThreadPoolExecutor

import falcon.asgi
import jsonschema
import orjson
import pytest
from falcon.testing import TestClient

from dsl.parse import parse
from dsl.printer import query_hash
from server import errors
from server.demo.generator import Demo
from server.documents import SavedDocuments
from server.resources.documents import document_routes
from server.resources.templates import TemplateParts, template_routes
from server.templates import TemplateKind, built_in_templates
from server.turns import Turns
from storage.documents import Documents
from storage.metadata import Metadata
from tests.support.stores import NOW_US, built_store

MINUTE_US = 60_000_000
EDN = {"Content-Type": "application/edn"}

ERRORS = """
; errors of one service
{:doc    "Errors of a service"
 :params {?service {:type :string :required true :max-length 20 :pattern "[a-z]+"}
          ?window  {:type :duration :default "10m" :max "7d"}
          ?levels  {:type [:set :string] :default #{"error"}}}
 :query  {:time {:last ?window} :where [:and [:= :service ?service] [:in :level ?levels]] :limit 3}}
"""


@pytest.fixture(scope="module")
def shop():
    demo = Demo(7, NOW_US - 20 * MINUTE_US, rate=20.0)
    records = list(demo.records(NOW_US - 60_000_000))
    records.append(
        {"timestamp": "2025-12-31T00:00:00Z", "level": "error", "service": "ghost", "message": "an old one"}
    )
    with built_store([("main", records)]) as store:
        yield store


@pytest.fixture
def client(tmp_path, shop):
    metadata = Metadata(tmp_path / "klomp.db")
    documents = Documents(metadata)
    kind = TemplateKind(documents, lambda: NOW_US)
    turns = Turns(2, 10, 10)
    app = falcon.asgi.App()
    errors.install(app)
    with ThreadPoolExecutor(1) as threads:
        saved = SavedDocuments(kind, documents, lambda: NOW_US)
        parts = TemplateParts(kind, saved, shop.engine, turns, threads, lambda: NOW_US)
        for path, resource in (*document_routes(saved, threads), *template_routes(parts)):
            app.add_route(path, resource)
        yield TestClient(app)
    turns.close()
    metadata.close()


def put(client, name, text, status=201):
    answer = client.simulate_put(f"/v1/templates/{name}", body=text, headers=EDN)
    assert answer.status_code == status, answer.text
    return answer.json


def run(client, name, status=200, **values):
    answer = client.simulate_get(f"/v1/templates/{name}/run", params=values)
    assert answer.status_code == status, answer.text
    return answer.json


def mistakes(answer):
    return [(one["code"], one.get("parameter")) for one in answer["errors"]]


def test_a_template_is_a_url(client, shop):
    put(client, "errors", ERRORS)
    rows = run(client, "errors", service="payments")["rows"]
    assert rows
    assert {(row["service"], row["level"]) for row in rows} == {("payments", "error")}
    asked = shop.query(
        '{:time {:last "10m"} :where {:service "payments" :level "error"} :limit 3}', syntax="edn"
    )
    assert rows == asked.plain_rows()
    several = run(client, "errors", service="payments", window="20m", levels="warn,error")
    assert {row["level"] for row in several["rows"]} <= {"warn", "error"}


def test_a_body_has_its_values_in_json_or_edn(client):
    put(client, "errors", ERRORS)
    json = client.simulate_post(
        "/v1/templates/errors/run", json={"service": "payments", "levels": ["warn", "error"], "window": "20m"}
    )
    for text in (
        '{:service "payments" :levels #{"warn" "error"} :window "20m"}',
        '{?service "payments", ?levels ["warn" "error"], ?window #log/duration "20m"}',
    ):
        edn = client.simulate_post("/v1/templates/errors/run", body=text, headers=EDN)
        assert edn.json["rows"] == json.json["rows"] != []
    wrong = client.simulate_post("/v1/templates/errors/run", body="[1]", headers=EDN)
    assert wrong.json["errors"][0]["code"] == "not-a-map"
    twice = client.simulate_post("/v1/templates/errors/run", body='{:service "a" ?service "b"}', headers=EDN)
    assert twice.json["errors"][0]["code"] == "bad-parameter"


def test_formats_by_accept_and_by_the_end_of_the_url(client):
    put(client, "errors", ERRORS)
    url = "/v1/templates/errors/run"
    text = client.simulate_get(f"{url}.csv", params={"service": "payments"}).text
    assert len(list(csv.DictReader(io.StringIO(text)))) == 3
    lines = client.simulate_get(f"{url}.ndjson", params={"service": "payments"}).text.splitlines()
    assert [orjson.loads(line)["service"] for line in lines] == ["payments"] * 3
    by_accept = client.simulate_get(url, params={"service": "payments"}, headers={"Accept": "text/csv"})
    assert by_accept.text == text
    assert client.simulate_get(f"{url}.edn", params={"service": "payments"}).text.startswith("{:rows [")
    assert client.simulate_get(f"{url}.json", params={"service": "payments"}).json["rows"]
    assert client.simulate_get(f"{url}.xml", params={"service": "payments"}).status_code == 406
    assert client.simulate_post(f"{url}.csv", json={"service": "payments"}).status_code == 405


def test_pages_go_on_with_the_same_values_and_the_same_now(client):
    put(client, "errors", ERRORS)
    first = run(client, "errors", service="payments")
    second = run(client, "errors", service="payments", after=first["cursor"])
    assert second["now"] == first["now"]
    assert not {row["_number"] for row in first["rows"]} & {row["_number"] for row in second["rows"]}
    other = run(client, "errors", 400, service="edge", after=first["cursor"])
    assert mistakes(other) == [("cursor-of-another-query", None)]
    assert mistakes(run(client, "errors", 400, service="edge", after="x")) == [("bad-cursor", None)]


def test_everything_wrong_with_the_values_is_said_at_once(client):
    put(client, "errors", ERRORS)
    answer = run(client, "errors", 400, servise="auth", window="8d", levels="a")
    assert mistakes(answer) == [
        ("unknown-parameter", "servise"),
    ]
    assert answer["errors"][0]["hint"] == "did you mean service?"
    answer = run(client, "errors", 400, window="8d")
    assert mistakes(answer) == [("missing-parameter", "service"), ("bad-parameter", "window")]
    assert mistakes(run(client, "errors", 400, service="A")) == [("bad-parameter", "service")]
    assert mistakes(run(client, "errors", 400, service="a" * 21)) == [("bad-parameter", "service")]
    assert mistakes(run(client, "errors", 400, service=["a", "b"])) == [("bad-parameter", "service")]
    body = client.simulate_post(
        "/v1/templates/errors/run", json={"service": 5, "levels": "error", "x": 1}
    ).json
    assert mistakes(body) == [
        ("unknown-parameter", "x"),
        ("bad-parameter", "service"),
        ("bad-parameter", "levels"),
    ]
    assert run(client, "none", 404)["errors"][0]["code"] == "unknown-document"


def test_no_value_changes_the_shape_of_the_query(client):
    put(client, "any", "{:params {?x :string} :query {:where [:= :message ?x]}}")
    for value in ('"] [:or', "?x", "x\n{:from :*}", "*", "", '{"param": "x"}', "\u2028", "#_", "now"):
        answer = client.simulate_post("/v1/templates/any/render", json={"x": value}).json
        assert answer["query"] == {"where": ["=", "message", value]}
        assert parse(answer["text"]).where.value == value


def test_what_would_be_asked_is_shown_in_its_canonical_form(client):
    put(client, "errors", ERRORS)
    answer = client.simulate_post("/v1/templates/errors/render", json={"service": "auth"})
    assert answer.json == {
        "name": "errors",
        "query": {
            "time": {"last": "10m"},
            "where": ["and", ["=", "service", "auth"], ["in", "level", ["error"]]],
            "limit": 3,
        },
        "text": '{:time {:last "10m"}, :where [:and [:= :service "auth"] [:in :level #{"error"}]], :limit 3}',
        "hash": query_hash(
            parse('{:time {:last "600s"} :where [:and [:= :service :auth] [:in :level ["error"]]]}')
        ),
    }
    by_url = client.simulate_get("/v1/templates/errors/render", params={"service": "auth"})
    assert by_url.json == answer.json
    edn = client.simulate_post(
        "/v1/templates/errors/render", body='{:service "auth"}', headers={**EDN, "Accept": "application/edn"}
    )
    assert ':query {:time {:last "10m"}, :where [:and' in edn.text


def test_forms_are_made_of_a_schema(client):
    put(client, "errors", ERRORS)
    answer = client.simulate_get("/v1/templates/errors/schema.json")
    assert answer.headers["content-type"] == "application/schema+json"
    jsonschema.Draft202012Validator.check_schema(answer.json)
    validator = jsonschema.Draft202012Validator(answer.json)
    for values in ({"service": "auth"}, {"service": "auth", "window": "1h30m", "levels": ["a", "b"]}):
        assert validator.is_valid(values)
    for values in (
        {},
        {"service": 5},
        {"service": "A"},
        {"service": "a", "x": 1},
        {"service": "a", "window": "1x"},
    ):
        assert not validator.is_valid(values)
    assert answer.json["properties"]["window"]["default"] == "10m"


def test_mistakes_keep_a_template_from_being_saved(client):
    answer = put(client, "bad", "{:params {?x :strin} :query {:where [:= :a ?x]}}", 400)
    assert mistakes(answer) == [("unknown-type", None)]
    assert "^" in answer["text"]
    json = client.simulate_put(
        "/v1/templates/j", json={"params": {"x": "string"}, "query": {"where": ["=", "a", {"param": "x"}]}}
    )
    assert json.json["text"] == "{:params {?x {:type :string, :required true}}, :query {:where [:= :a ?x]}}"
    assert json.json["template"] == {
        "params": {"x": {"type": "string", "required": True}},
        "query": {"where": ["=", "a", {"param": "x"}]},
    }
    again = client.simulate_put("/v1/templates/j", json=json.json["template"])
    assert again.json["version"] == 1


def test_what_others_use_is_neither_deleted_nor_broken(client):
    put(client, "errors", ERRORS)
    put(client, "auth-errors", '{:use :errors :with {?service "auth"} :query {:limit 1}}')
    assert client.simulate_get("/v1/templates/auth-errors").json["uses"] == ["errors"]
    refused = client.simulate_delete("/v1/templates/errors")
    assert (refused.status_code, mistakes(refused.json)) == (409, [("template-in-use", None)])
    broken = put(client, "errors", "{:query {:limit 5}}", 409)
    assert mistakes(broken) == [("template-in-use", None)]
    put(client, "errors", ERRORS.replace(":limit 3", ":limit 4"), 200)
    circle = put(client, "errors", "{:use :auth-errors}", 400)
    assert mistakes(circle) == [("template-cycle", None)]
    assert client.simulate_delete("/v1/templates/auth-errors").status_code == 200
    assert client.simulate_delete("/v1/templates/errors").status_code == 200


def test_a_base_that_changes_is_seen_by_what_uses_it(client):
    put(client, "errors", ERRORS)
    put(client, "mine", "{:use :errors}")
    assert len(run(client, "mine", service="payments")["rows"]) == 3
    put(client, "errors", ERRORS.replace(":limit 3", ":limit 2"), 200)
    assert len(run(client, "mine", service="payments")["rows"]) == 2


def test_what_is_built_in_can_be_copied_used_and_replaced(client):
    listed = {one["name"]: one for one in client.simulate_get("/v1/templates").json["templates"]}
    assert set(listed) == set(built_in_templates())
    assert all(one["builtin"] and one["doc"] for one in listed.values())
    text = client.simulate_get("/v1/templates/trace").json["text"]
    put(client, "trace", text.replace("1000", "5"))
    assert "builtin" not in client.simulate_get("/v1/templates/trace").json
    put(client, "payment-search", '{:use :search :query {:where [:= :service "payments"]}}')
    rows = run(client, "payment-search", text="acquirer")["rows"]
    assert {row["service"] for row in rows} == {"payments"}
    client.simulate_delete("/v1/templates/trace")
    assert client.simulate_get("/v1/templates/trace").json["builtin"]


def test_a_dozen_are_built_in():
    assert len(built_in_templates()) >= 12


@pytest.mark.parametrize("name", built_in_templates())
def test_every_built_in_template_answers_on_demo_data(client, shop, name):
    values = {
        "trace": lambda: {
            "id": next(one.fields["trace_id"] for one in shop.records if "trace_id" in one.fields)
        },
        "search": lambda: {"text": "acquirer reset"},
        "errors-around": lambda: {"at": "now-15m", "within": "3m"},
    }
    given = values[name]() if name in values else {}
    answer = run(client, name, **given)
    assert answer["rows"]
    assert answer["complete"]
    rendered = client.simulate_post(f"/v1/templates/{name}/render", json=given).json
    assert answer["rows"] == shop.query(rendered["text"], syntax="edn").plain_rows()
    CHECKS.get(name, lambda _: True)(answer["rows"])


def said(condition):
    assert condition


CHECKS = {
    "error-rate-by-service": lambda rows: said(
        rows[0]["ratio"] >= rows[-1]["ratio"] and any(row["errors"] for row in rows)
    ),
    "slowest-routes": lambda rows: said(
        [row["p95_ms"] for row in rows] == sorted((row["p95_ms"] for row in rows), reverse=True)
        and rows[0]["http.path"] == "/checkout"
    ),
    "new-error-messages": lambda rows: said(
        all(row["first"] >= "2025-12-31" for row in rows) and "an old one" in {row["message"] for row in rows}
    ),
    "trace": lambda rows: said(
        len({row["trace_id"] for row in rows}) == 1
        and [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
    ),
    "silent-services": lambda rows: said(rows[0]["service"] == "ghost"),
    "top-talkers": lambda rows: said(rows[0]["requests"] >= rows[-1]["requests"] and rows[0]["bytes"] > 0),
    "status-codes-over-time": lambda rows: said({200, 404} <= {row["http.status"] for row in rows}),
    "log-volume": lambda rows: said({row["_stream"] for row in rows} == {"main"}),
    "latency-by-service": lambda rows: said(
        all(row["p50_ms"] <= row["p99_ms"] <= row["max_ms"] * 1.01 for row in rows)
    ),
    "errors-around": lambda rows: said(
        all("2025-12-31T23:42" <= row["timestamp"] < "2025-12-31T23:48" for row in rows)
    ),
    "http-errors-by-route": lambda rows: said(
        rows[0]["http.path"] == "/checkout" and rows[0]["server_errors"] > 0
    ),
    "search": lambda rows: said(all("acquirer" in row["message"] for row in rows)),
    "frequent-errors": lambda rows: said(
        rows[0]["n"] >= rows[-1]["n"] and rows[0]["first"] <= rows[0]["last"]
    ),
    "levels-over-time": lambda rows: said({"info", "error"} <= {row["level"] for row in rows}),
}


def test_a_message_that_came_before_is_not_new(client):
    rows = run(client, "new-error-messages", since="2025-12-31T12:00:00Z")["rows"]
    assert rows
    assert "an old one" not in {row["message"] for row in rows}
