"""Every code that a query can be answered with has its full text in a golden file and a line in the docs.

`tests/golden/running`: mistakes that show when a query runs, a document, `---`, what is said of it.
`tests/golden/http`: what the routes of queries answer, the request, `---`, status and body.
Run with KLOMP_RECORD=1 to write them again; then read the difference.
"""

import ast
import os
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import falcon
import falcon.testing
import pytest

from dsl.cursor import cursor_of, encode
from dsl.errors import QueryError
from dsl.limits import Limits
from dsl.parse import parse
from dsl.reader import read
from dsl.template import read_template
from dsl.template_values import BadValues, bind_forms
from server.callers import WatchingApp
from server.engine.editing import Editing
from server.engine.records import Records
from server.errors import install
from server.parameters import KnownParameters
from server.resources.editing import Complete, Validate
from server.resources.explain import Explain
from server.resources.query import Query
from server.resources.records import OneRecord
from server.turns import Turns
from storage.errors import IndexBusy, IndexPanic, StoreError
from storage.stop import out_of_time
from tests.support.stores import built_store

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
RECORDS = [{"n": n, "message": f"hello {n}", "timestamp": 1767225600 + n} for n in range(20)]
RECORD = bool(os.environ.get("KLOMP_RECORD"))

RUNNING = {
    "too-many-groups": ("{:from :main\n :group-by [:n]}", {"groups_max": 10}),
    "answer-too-large": (
        "{:group-by [:message]\n :aggregate {:v [:values :message]}}",
        {"held_bytes_max": 900},
    ),
    "too-many-values-shown": ("{:aggregate {:v [:values :n]}}", {"values_shown_max": 10}),
    "unknown-stream": ("{:from [:main\n        :mian]}", {}),
}


@pytest.fixture(scope="module")
def store():
    with built_store([("main", RECORDS)]) as built:
        yield built


def compare(path, found):
    if RECORD:
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def said_of(store, text, **limits):
    before, store.engine.limits = store.engine.limits, Limits(**limits)
    try:
        with pytest.raises(QueryError) as caught:
            store.engine.query(text)
    finally:
        store.engine.limits = before
    return caught.value


@pytest.mark.parametrize("code", RUNNING)
def test_what_shows_when_a_query_runs_is_said_as_in_its_golden_file(store, code):
    text, limits = RUNNING[code]
    error = said_of(store, text, **limits)
    assert code.startswith(error.mistakes[0].code)
    compare(GOLDEN / "running" / f"{code}.txt", f"{text}\n---\n{error.render()}\n")


def test_out_of_time_is_said_as_in_its_golden_file():
    error = out_of_time()
    shown = f"error[{error.code}]: {error.message}\nhint: {error.hint}\n"
    compare(GOLDEN / "running" / "query-timeout.txt", '{:timeout "1ms"}\n---\n' + shown)


def test_a_cursor_of_another_stream_is_said_as_in_its_golden_file(store):
    text = "{:from :main :limit 1}"
    query = parse(text).model_copy(update={"after": store.engine.query(text).cursor})
    cursor = cursor_of(query)
    made = (
        f'{{:from :main :limit 1\n :after "{encode(query, replace(cursor, mark="f" * len(cursor.mark)))}"}}'
    )
    error = said_of(store, made)
    compare(GOLDEN / "running" / "cursor-of-another-stream.txt", f"{made}\n---\n{error.render()}\n")


def test_a_parameter_without_a_value_is_said_as_in_its_golden_file():
    text = "{:params {?service {:type :string :required true}}\n :query {:where [:= :service ?service]}}"
    template = read_template(read(text), find=lambda _: None, name="errors", now_us=0)
    with pytest.raises(BadValues) as caught:
        bind_forms(template, {}, now_us=0)
    (mistake,) = caught.value.mistakes
    shown = f"error[{mistake.code}]: {mistake.message}\nhint: {mistake.hint}\n"
    compare(GOLDEN / "running" / "missing-parameter.txt", f"{text}\n---\n{shown}")


# -- over HTTP

EDN = {"Content-Type": "application/edn"}
JSON = {"Content-Type": "application/json"}
REQUESTS = {
    "bad-utf-8": ("/v1/query", b"{:limit \xff}", EDN),
    "unknown-content-type": ("/v1/query", b"{}", {"Content-Type": "text/html"}),
    "not-acceptable": ("/v1/query", b"{}", {**EDN, "Accept": "image/png"}),
    "unknown-parameter": ("/v1/query?aftr=x", b"{}", EDN),
    "bad-parameter": ("/v1/explain?run=yes", b"{}", EDN),
    "bad-encoding": ("/v1/query", b"{}", {**EDN, "Content-Encoding": "gzip"}),
    "unknown-encoding": ("/v1/query", b"{}", {**EDN, "Content-Encoding": "br"}),
    "body-too-large": ("/v1/query", b" " * (1 << 19), EDN),
    "bad-json": ("/v1/complete", b"{", JSON),
    "bad-completion": ("/v1/complete", b"{}", JSON),
    "bad-cursor": ("/v1/query?after=x", b"{}", EDN),
    "unknown-stream": ("/v1/query", b"{:from :mian}", EDN),
    "unknown-key": ("/v1/query", b"{:wher 1}", EDN),
    "bad-number": ("/v1/streams/main/records/x", None, {}),
    "unknown-record": ("/v1/streams/main/records/99", None, {}),
    "no-such-path": ("/v1/qery", b"{}", EDN),
    "method-not-allowed": ("/v1/query", None, {}),
}
RAISED = {
    "query-timeout": out_of_time(),
    "index-busy": IndexBusy("the index changed under every try to open it", "ask again in a moment"),
    "index-panic": IndexPanic("the index engine failed on this query: …", "please report it with the query"),
    "store-error": StoreError("…"),
    "metadata-unwritable": sqlite3.DatabaseError("database disk image is malformed"),
    "bad-request": falcon.HTTPBadRequest(description="…"),
    "internal": ZeroDivisionError(),
}


@pytest.fixture(scope="module")
def turns():
    made = Turns(2, 0, 5.0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def client(store, turns):
    app = WatchingApp()
    install(app)
    app.add_middleware(KnownParameters())
    editing = Editing(store.engine)
    app.add_route("/v1/query", Query(store.engine, turns))
    app.add_route("/v1/explain", Explain(store.engine, turns))
    app.add_route("/v1/validate", Validate(editing, turns))
    app.add_route("/v1/complete", Complete(editing, turns))
    app.add_route(
        "/v1/streams/{stream}/records/{number}", OneRecord(Records(store.engine, store.store), turns)
    )
    return falcon.testing.TestClient(app)


def http_golden(client, name, path, body, headers):
    answer = client.simulate_request("GET" if body is None else "POST", path, body=body, headers=headers)
    assert [one["code"] for one in answer.json["errors"]] == [name]
    asked = "GET" if body is None else "POST"
    shown = "" if body is None else body[:40].decode(errors="backslashreplace")
    head = "".join(f"{key}: {value}\n" for key, value in headers.items())
    retry = f"Retry-After: {answer.headers['retry-after']}\n" if "retry-after" in answer.headers else ""
    found = f"{asked} {path}\n{head}\n{shown}\n---\n{answer.status_code}\n{retry}\n{answer.text}\n"
    compare(GOLDEN / "http" / f"{name}.txt", found)


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_wrong_with_a_request_is_said_as_in_its_golden_file(client, name):
    http_golden(client, name, *REQUESTS[name])


@pytest.mark.parametrize("name", RAISED)
def test_what_fails_here_is_said_as_in_its_golden_file(client, store, name, monkeypatch):
    def fail(*_, **__):
        raise RAISED[name]

    monkeypatch.setattr(store.engine, "query", fail)
    http_golden(client, name, "/v1/query", b"{}", EDN)


def test_too_many_at_once_is_said_as_in_its_golden_file(client, turns, monkeypatch):
    monkeypatch.setattr(turns, "_free", 0)
    http_golden(client, "too-busy", "/v1/query", b"{}", EDN)


# -- all of them

SOURCES = (
    *(ROOT / "dsl").rglob("*.py"),
    *(ROOT / "grammar").rglob("*.py"),
    *(ROOT / "server" / "engine").rglob("*.py"),
    *(ROOT / "server" / "resources" / f"{name}.py" for name in ("query", "explain", "editing", "histogram")),
    *(
        ROOT / "server" / f"{name}.py"
        for name in ("apart", "bodies", "callers", "errors", "parameters", "turns")
    ),
    ROOT / "server" / "encode" / "__init__.py",
    ROOT / "storage" / "stop.py",
    ROOT / "storage" / "snapshot.py",
    ROOT / "storage" / "store.py",
)
CODE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
NAMED = re.compile(
    r"(?:^|_)(?:wrong|mistake|error|item|large)s?$|Error$|Mistake$|^Bad|^_Shape$|^_Near$", re.IGNORECASE
)
UNSEEN = {"client-gone", "record-gone"}  # nobody is there to read it; only where records were deleted


def raised_codes():
    """The codes in calls that make mistakes, and those of the store's errors that the sources raise."""
    found, classes = set(), set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            classes.add(name)
            if NAMED.search(name):
                found |= {
                    arg.value
                    for arg in node.args[:3]
                    if isinstance(arg, ast.Constant)
                    and isinstance(arg.value, str)
                    and CODE.fullmatch(arg.value)
                }
    errors = {one.__name__: one.code for one in StoreError.__subclasses__()}
    return found | {code for name, code in errors.items() if name in classes}


def test_every_code_has_a_golden_text_and_a_line_in_the_docs():
    codes = raised_codes()
    assert len(codes) > 60
    shown = set()
    for path in ROOT.joinpath("tests").rglob("golden/**/*"):
        if path.is_file():
            shown |= set(
                re.findall(r'error\[([a-z0-9-]+)\]|"code":"([a-z0-9-]+)"', path.read_text(encoding="utf-8"))
            )
    named = {one or other for one, other in shown}
    documented = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    lines = [line for line in documented.splitlines() if line.startswith("|")]
    explained = {one for line in lines for one in re.findall(r"`([a-z0-9-]+)`", line)}
    assert sorted(codes - named - UNSEEN) == []
    assert sorted(codes - explained) == []
