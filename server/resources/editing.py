"""`POST /v1/validate` and `POST /v1/complete`: what an editor of queries wants to know while somebody types."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar, Literal

import falcon
import falcon.asgi
import orjson

from server.bodies import read_body
from server.callers import client_of, gone_of
from server.engine.editing import Editing
from server.errors import RequestError
from server.parameters import Parameters
from server.resources.query import QUERY_BYTES_MAX, decoded, syntax_of
from server.turns import Turns

COMPLETE_BYTES_MAX = 4 * QUERY_BYTES_MAX  # a text in JSON may have an escape for each of its characters


class Validate:
    """Checks queries."""

    parameters: ClassVar[Parameters] = {"POST": ("unbound",)}

    def __init__(self, editing: Editing, turns: Turns) -> None:
        self._editing = editing
        self._turns = turns

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """What is wrong with a query; 200 however much that is."""
        syntax = syntax_of(req.content_type)
        unbound = req.get_param("unbound", default="false")
        if unbound not in ("true", "false"):
            raise RequestError(
                400, "bad-parameter", f"unbound is {unbound[:40]!r}", "use ?unbound=true, or leave it out"
            )
        text = decoded(await read_body(req, QUERY_BYTES_MAX))
        check = partial(self._editing.validate, text, syntax=syntax, unbound=unbound == "true")
        _answer(resp, await self._turns.run(client_of(req), check, None, gone_of(req)))


class Complete:
    """Says what may stand at a cursor."""

    def __init__(self, editing: Editing, turns: Turns) -> None:
        self._editing = editing
        self._turns = turns

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """What may stand there; an empty list where nothing can be said."""
        text, cursor, syntax = _asked(await read_body(req, COMPLETE_BYTES_MAX))
        find = partial(self._editing.complete, text, cursor, syntax=syntax)
        found = await self._turns.run(client_of(req), find, None, gone_of(req))
        _answer(resp, asdict(found))


def _asked(body: bytes) -> tuple[str, int, Literal["edn", "json"]]:
    """The text, the cursor and the syntax of a request.

    Raises:
        RequestError: `bad-json`, `bad-completion` (400).
    """
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "bad-json", f"the body is no JSON: {error}", _HINT) from error
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        raise RequestError(400, "bad-completion", "the body has no text", _HINT)
    text = said["text"]
    cursor = said.get("cursor", len(text))
    syntax = said.get("syntax", "edn")
    if type(cursor) is not int or syntax not in ("edn", "json") or said.keys() - {"text", "cursor", "syntax"}:
        raise RequestError(400, "bad-completion", "the cursor is a number, the syntax edn or json", _HINT)
    return text, cursor, syntax


_HINT = 'send {"text": "{:where [:", "cursor": 10, "syntax": "edn"}'


def _answer(resp: falcon.asgi.Response, body: dict[str, Any]) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(body)
