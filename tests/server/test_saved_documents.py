"""Saved documents over HTTP: versions, conditions, history, both syntaxes, whatever the kind."""

from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import falcon.asgi
import pytest
from falcon.testing import TestClient

from dsl.forms import Form, Keyword, MapForm
from server import errors
from server.documents import Kind, SavedDocuments, body_mistake
from server.resources.documents import document_routes
from storage.documents import Documents
from storage.metadata import Metadata


class Note(Kind):
    name = "note"
    built_in: ClassVar = {"hello": '{:text "from klomp"}'}

    def __init__(self):
        self.changes = 0

    def check(self, name, form):
        if not isinstance(form.value, MapForm):
            raise body_mistake("not-a-map", f"the note {name} is no map", form)
        return Form(MapForm(tuple((Form(Keyword(_name(key))), item) for key, item in form.value.pairs)))

    def summary(self, document):
        return {"length": len(document.body)}

    def changed(self):
        self.changes += 1


def _name(key):
    return key.value.name if isinstance(key.value, Keyword) else key.value


@pytest.fixture
def kind():
    return Note()


@pytest.fixture
def client(tmp_path, kind):
    metadata = Metadata(tmp_path / "klomp.db")
    app = falcon.asgi.App()
    errors.install(app)
    with ThreadPoolExecutor(1) as threads:
        for path, resource in document_routes(SavedDocuments(kind, Documents(metadata), lambda: 5), threads):
            app.add_route(path, resource)
        yield TestClient(app)
    metadata.close()


EDN = {"Content-Type": "application/edn"}
JSON = {"Content-Type": "application/json"}


def put(client, name, body, **headers):
    return client.simulate_put(f"/v1/notes/{name}", body=body, headers={**EDN, **headers})


def test_a_document_is_kept_as_it_was_written_and_told_in_both_syntaxes(client, kind):
    text = '; mine\n{:text "a" :tags #{:x}}'
    made = put(client, "a", text, **{"X-Klomp-Author": "ann"})
    assert made.status_code == 201
    assert made.headers["etag"] == '"1"'
    got = client.simulate_get("/v1/notes/a")
    assert got.json == made.json
    assert got.json == {
        "name": "a",
        "version": 1,
        "author": "ann",
        "saved": "1970-01-01T00:00:00.000005Z",
        "length": len(text),
        "note": {"text": "a", "tags": ["x"]},
        "text": text,
    }
    edn = client.simulate_get("/v1/notes/a", headers={"Accept": "application/edn"})
    assert edn.headers["content-type"] == "application/edn"
    assert ':note {:text "a", :tags #{:x}}' in edn.text
    assert client.simulate_get("/v1/notes/a", headers={"Accept": "text/csv"}).status_code == 406
    assert kind.changes == 1


def test_json_is_kept_as_canonical_edn(client):
    assert put(client, "a", '{"text": "a", "n": 1}', **JSON).json["text"] == '{:text "a", :n 1}'


def test_what_is_the_same_makes_no_version(client, kind):
    put(client, "a", "{:n 1}")
    again = put(client, "a", "{:n 1}")
    assert (again.status_code, again.headers["etag"]) == (200, '"1"')
    assert put(client, "a", "{:n 2}").headers["etag"] == '"2"'
    assert kind.changes == 2


def test_conditions_keep_one_from_overwriting_what_one_has_not_seen(client):
    put(client, "a", "{:n 1}")
    assert put(client, "a", "{:n 2}", **{"If-Match": '"1"'}).status_code == 200
    late = put(client, "a", "{:n 3}", **{"If-Match": '"1"'})
    assert late.status_code == 412
    assert late.json["errors"][0]["code"] == "version-conflict"
    assert "read it again" in late.json["errors"][0]["hint"]
    assert put(client, "a", "{:n 3}", **{"If-None-Match": "*"}).status_code == 412
    assert put(client, "a", "{:n 3}", **{"If-Match": "*"}).status_code == 200
    assert put(client, "b", "{:n 3}", **{"If-Match": "*"}).status_code == 404
    assert put(client, "a", "{}", **{"If-Match": "x"}).json["errors"][0]["code"] == "bad-version"
    assert client.simulate_delete("/v1/notes/a", headers={"If-Match": '"1"'}).status_code == 412
    assert client.simulate_get("/v1/notes/a", headers={"If-None-Match": '"3"'}).status_code == 200


def test_history_is_readable_and_comes_back(client):
    put(client, "a", "{:n 1}", **{"X-Klomp-Author": "ann"})
    put(client, "a", "{:n 2}")
    assert client.simulate_delete("/v1/notes/a").json == {"name": "a", "deleted": True, "version": 3}
    gone = client.simulate_get("/v1/notes/a")
    assert (gone.status_code, gone.json["errors"][0]["code"]) == (404, "unknown-document")
    versions = client.simulate_get("/v1/notes/a/versions").json["versions"]
    assert [(one["version"], one["author"], one.get("deleted", False)) for one in versions] == [
        (3, "anonymous", True),
        (2, "anonymous", False),
        (1, "ann", False),
    ]
    old = client.simulate_get("/v1/notes/a?version=1")
    assert (old.json["note"], old.headers["etag"]) == ({"n": 1}, '"1"')
    assert client.simulate_get("/v1/notes/a?version=3").json["deleted"]
    assert client.simulate_get("/v1/notes/a?version=9").json["errors"][0]["code"] == "unknown-version"
    assert client.simulate_get("/v1/notes/a?version=x").status_code == 400
    restored = client.simulate_post("/v1/notes/a/restore", json={"version": 1})
    assert (restored.json["version"], restored.json["note"]) == (4, {"n": 1})
    for body in ({"version": 3}, {"version": "1"}, {}, {"version": True}):
        wrong = client.simulate_post("/v1/notes/a/restore", json=body)
        assert (wrong.status_code, wrong.json["errors"][0]["code"]) == (400, "bad-version"), body
    assert client.simulate_post("/v1/notes/a/restore", body="[]", headers=JSON).status_code == 400
    assert client.simulate_post("/v1/notes/a/restore", body="{:version 9}", headers=EDN).status_code == 404


def test_mistakes_have_their_place_in_what_was_sent(client):
    wrong = put(client, "a", "  [1]")
    assert wrong.status_code == 400
    assert wrong.json["errors"][0] | {"message": ""} == {
        "code": "not-a-map",
        "message": "",
        "line": 1,
        "column": 3,
    }
    assert put(client, "a b", "{}").json["errors"][0]["code"] == "bad-name"
    assert put(client, "a", "{").status_code == 400
    assert put(client, "a", "{}", **{"X-Klomp-Author": "x" * 101}).json["errors"][0]["code"] == "bad-author"
    put(client, "errors", "{}")
    named = put(client, "of-jose", "{}", **{"X-Klomp-Author": "José".encode().decode("latin-1")})
    assert named.json["author"] == "José"  # headers are bytes: UTF-8 on the wire
    assert client.simulate_get("/v1/notes/erors").json["errors"][0]["hint"] == "did you mean errors?"
    assert client.simulate_delete("/v1/notes/none").status_code == 404
    assert client.simulate_get("/v1/notes/none/versions").status_code == 404


def test_what_is_built_in_is_there_until_something_goes_before_it(client):
    built_in = client.simulate_get("/v1/notes/hello")
    assert (built_in.json["builtin"], built_in.json["version"], built_in.headers["etag"]) == (True, 0, '"0"')
    refused = client.simulate_delete("/v1/notes/hello")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (400, "built-in")
    assert put(client, "hello", "{:n 1}", **{"If-Match": '"0"'}).status_code == 201
    assert put(client, "hello", "{:n 2}", **{"If-Match": '"0"'}).status_code == 412
    assert "builtin" not in client.simulate_get("/v1/notes/hello").json
    assert [one["version"] for one in client.simulate_get("/v1/notes/hello/versions").json["versions"]] == [
        1,
        0,
    ]
    assert client.simulate_get("/v1/notes").json["notes"][0]["version"] == 1
    assert client.simulate_post("/v1/notes/hello/restore", json={"version": 0}).json["note"] == {
        "text": "from klomp"
    }
    client.simulate_delete("/v1/notes/hello")
    assert client.simulate_get("/v1/notes").json["notes"] == [
        {"name": "hello", "version": 0, "author": "klomp", "saved": None, "builtin": True, "length": 20}
    ]
