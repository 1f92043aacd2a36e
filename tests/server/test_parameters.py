"""Parameters in URLs: known ones are declared, others refused with the nearest name."""

import ast
from pathlib import Path

import falcon.asgi
import falcon.testing
import pytest

from server import errors
from server.parameters import KnownParameters

RESOURCES = sorted((Path(__file__).resolve().parents[2] / "server" / "resources").glob("*.py"))


class Thing:
    parameters = {"GET": ("limit", "kind")}  # noqa: RUF012

    async def on_get(self, req, resp):
        resp.media = dict(req.params)

    async def on_post(self, req, resp):
        resp.media = {}


@pytest.fixture(scope="module")
def client():
    app = falcon.asgi.App()
    errors.install(app)
    app.add_middleware(KnownParameters())
    app.add_route("/thing", Thing())
    return falcon.testing.TestClient(app)


def test_known_parameters_pass(client):
    assert client.simulate_get("/thing?limit=3&kind=x").json == {"limit": "3", "kind": "x"}
    assert client.simulate_get("/thing").status_code == 200
    assert client.simulate_get("/nothing?limit=3").status_code == 404


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        ("limti=3", "no parameter 'limti' at /thing", "did you mean limit?"),
        ("colour=3", "no parameter 'colour' at /thing", "there are: limit, kind"),
        ("kind=a&Limit=3", "no parameter 'Limit' at /thing", "did you mean limit?"),
    ],
)
def test_unknown_parameters_are_refused(client, query, message, hint):
    answer = client.simulate_get(f"/thing?{query}")
    assert answer.status_code == 400
    (error,) = answer.json["errors"]
    assert error == {"code": "unknown-parameter", "message": message, "hint": hint}


def test_another_method_has_its_own(client):
    answer = client.simulate_post("/thing?limit=3")
    assert answer.json["errors"][0]["hint"] == "there are none: leave it out"


@pytest.mark.parametrize("path", RESOURCES, ids=lambda path: path.stem)
def test_what_a_resource_reads_it_declares(path):
    tree = ast.parse(path.read_text())
    read = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr.startswith("get_param")
        and isinstance(call.args[0], ast.Constant)
    }
    declared = {
        constant.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "parameters"
        for constant in ast.walk(node.value)
        if isinstance(constant, ast.Constant)
    } - {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert read <= declared
