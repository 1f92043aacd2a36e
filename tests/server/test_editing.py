"""What editors are told: mistakes with their places, the canonical form, and what may stand at a cursor."""

import falcon.asgi
import falcon.testing
import orjson
import pytest

from dsl.parse import parse
from dsl.template import read_template
from server.engine.editing import Editing
from server.errors import install
from server.parameters import KnownParameters
from server.resources.editing import Complete, Validate
from server.turns import Turns
from tests.support.stores import built_store


def template_check(name, form):
    return read_template(form, name=name).own


ROWS = [
    {"level": "info", "ms": 5, "http": {"status": 200}},
    {"level": "error", "ms": 7},
    {"level": "info", "ok": True},
]


@pytest.fixture(name="client", scope="module")
def client_of_a_store():
    with built_store([("app", ROWS), ("web", [{"user": "u"}])]) as built:
        built.engine.warm_up()  # the first text takes long enough to be watched for hanging up
        app = falcon.asgi.App()  # none that watches: this client hangs up as soon as it has asked
        install(app)
        app.add_middleware(KnownParameters())
        turns, editing = Turns(1, 1, 1), Editing(built.engine)
        app.add_route("/v1/validate", Validate(editing, turns, {"template": template_check}))
        app.add_route("/v1/complete", Complete(editing, turns))
        yield falcon.testing.TestClient(app)
        turns.close()


def test_a_template_is_checked_and_completed_as_one(client):
    text = "{:params {?who {:type :string :required true}}\n :query {:from :app :where [:= :level ?who]}}"
    answer = client.simulate_post("/v1/validate?as=template", body=text).json
    assert answer["valid"]
    again = client.simulate_post("/v1/validate?as=template", body=answer["document"]["edn"]).json
    assert again == answer
    wrong = client.simulate_post("/v1/validate?as=template", body=text.replace(":where", ":wher")).json
    assert next((one["code"], one["line"]) for one in wrong["errors"]) == ("unknown-key", 2)
    assert client.simulate_post("/v1/validate?as=pigeon", body=text).status_code == 400
    for cursor, some in ((text.index(":level") + 3, True), (3, False)):
        asked = {"text": text, "cursor": cursor, "as": "template"}
        found = client.simulate_post("/v1/complete", json=asked).json
        assert ([one["insert"] for one in found["candidates"]] == [":level"]) is some
        assert found["start"] <= cursor <= found["end"]
    asked = {"text": text, "as": "pigeon"}
    assert client.simulate_post("/v1/complete", json=asked).json["errors"][0]["code"] == "bad-completion"


def test_all_mistakes_come_with_their_places(client):
    text = "{:from :app\n :where [:betwen :ms 1 2]\n :limt 5}"
    answer = client.simulate_post("/v1/validate", body=text)
    assert answer.status_code == 200
    assert not answer.json["valid"]
    assert [(one["code"], one["line"], one["column"]) for one in answer.json["errors"]] == [
        ("unknown-operator", 2, 10),
        ("unknown-key", 3, 2),
    ]
    assert [text[one["start"] : one["end"]] for one in answer.json["errors"]] == [":betwen", ":limt"]
    assert answer.json["text"].startswith("error[unknown-operator]: no operator :betwen\n 2 |")


def test_what_is_right_comes_in_its_canonical_form(client):
    text = '{:limit 5 :from [:app] :where {:level "info"}}'
    answer = client.simulate_post("/v1/validate", body=text).json
    assert (answer["valid"], answer["errors"], answer["warnings"]) == (True, [], [])
    assert parse(answer["query"]["edn"]) == parse(text)
    assert parse(orjson.dumps(answer["query"]["json"]).decode(), "json") == parse(text)
    other = client.simulate_post("/v1/validate", body=answer["query"]["edn"]).json
    assert other["query"] == answer["query"]


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("{:from :app :where [:= :levle 1]}", "unknown-field", "[:= :levle 1]"),
        ('{:from :app :where [:> :ms "5"]}', "type-clash", '[:> :ms "5"]'),
        ("{:from [:app :wbe]}", "unknown-stream", ":wbe"),
        ("{:limit 1}", "unknown-stream", "{"),
    ],
)
def test_what_would_find_nothing_is_a_warning_with_its_place(client, text, code, place):
    answer = client.simulate_post("/v1/validate", body=text).json
    assert answer["valid"]
    (warning,) = answer["warnings"]
    assert (warning["code"], text[warning["start"] : warning["end"]]) == (code, place)


def test_parameters_are_right_where_they_are_said_to_be(client):
    text = "{:from :app :where [:= :level ?level]}"
    assert client.simulate_post("/v1/validate", body=text).json["errors"][0]["code"] == "unbound-parameter"
    assert client.simulate_post("/v1/validate?unbound=true", body=text).json["valid"]
    assert client.simulate_post("/v1/validate?unbound=perhaps", body=text).status_code == 400


def test_json_is_checked_as_json(client):
    headers = {"Content-Type": "application/json"}
    answer = client.simulate_post("/v1/validate", body='{"from": "app", "limit": -1}', headers=headers)
    assert [one["code"] for one in answer.json["errors"]] == ["bad-limit"]


def completed(client, marked, syntax="edn"):
    body = {"text": marked.replace("|", "", 1), "cursor": marked.index("|"), "syntax": syntax}
    answer = client.simulate_post("/v1/complete", body=orjson.dumps(body))
    assert answer.status_code == 200
    return [(one["insert"], one["detail"]) for one in answer.json["candidates"]]


@pytest.mark.parametrize(
    ("marked", "wanted"),
    [
        ("{:from |", [(":app", ""), (":web", ""), (":*", "")]),
        (
            "{:from :app :where [:= :me|",
            [(":message", "string"), (":timestamp", "time")],
        ),
        ("{:from :app :where [:= :http|", [(":http", "map"), (":http.status", "number")]),
        ("{:from :app :where [:= :level |", [('"info"', "2 records"), ('"error"', "1 records")]),
        ("{:from :* :where [:= :user |", [('"u"', "1 records")]),
        ("{:from :app :where [:= :ok |", [("true", "1 records")]),
        ("{:from :nowhere :where [:= :level |", []),
        ("{:from :nowhere :where [:= :le|", []),
    ],
)
def test_names_and_values_are_those_of_the_store(client, marked, wanted):
    assert completed(client, marked) == wanted


def test_without_a_cursor_it_is_the_end(client):
    answer = client.simulate_post("/v1/complete", body='{"text": "{:where [:betw"}').json
    assert (answer["start"], answer["end"], answer["expected"]) == (9, 14, "operator")
    assert answer["candidates"][0]["detail"] == "[:between field low high]"


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"text": 5}', '{"text": "", "cursor": "x"}', '{"text": "", "x": 1}']
)
def test_a_request_that_is_none_is_refused(client, body):
    answer = client.simulate_post("/v1/complete", body=body)
    assert answer.status_code == 400
    assert answer.json["errors"][0]["code"] in {"bad-json", "bad-completion"}
