"""`POST /v1/validate` and `POST /v1/complete`: what an editor of queries wants to know while somebody types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, ClassVar, Literal

import falcon
import falcon.asgi
import orjson

from server.bodies import read_body
from server.callers import client_of, gone_of
from server.engine.editing import Check, Editing
from server.errors import RequestError
from server.parameters import Parameters
from server.resources.query import QUERY_BYTES_MAX, decoded, syntax_of
from server.turns import Turns

QUERY = "query"  # what a text is that says nothing else
NONE: Mapping[str, Check] = {}
COMPLETE_BYTES_MAX = 4 * QUERY_BYTES_MAX  # a text in JSON may have an escape for each of its characters


class Validate:
    """Checks queries, and documents that have one.

    Args:
        editing: What does it.
        turns: When.
        documents: By kind, what checks one that is to be saved.
    """

    parameters: ClassVar[Parameters] = {"POST": ("as", "unbound")}

    def __init__(self, editing: Editing, turns: Turns, documents: Mapping[str, Check] = NONE) -> None:
        self._editing = editing
        self._turns = turns
        self._documents = documents

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """What is wrong with a query; 200 however much that is."""
        syntax = syntax_of(req.content_type)
        unbound = req.get_param("unbound", default="false")
        if unbound not in ("true", "false"):
            raise RequestError(
                400, "bad-parameter", f"unbound is {unbound[:40]!r}", "use ?unbound=true, or leave it out"
            )
        text = decoded(await read_body(req, QUERY_BYTES_MAX))
        kind = req.get_param("as", default=QUERY)
        if kind == QUERY:
            check = partial(self._editing.validate, text, syntax=syntax, unbound=unbound == "true")
        elif kind in self._documents:
            check = partial(self._editing.validate_document, text, self._documents[kind], syntax=syntax)
        else:
            known = ", ".join([QUERY, *self._documents])
            raise RequestError(400, "bad-parameter", f"as is {kind[:40]!r}", f"it is one of {known}")
        _answer(resp, await self._turns.run(client_of(req), check, None, gone_of(req)))


class Complete:
    """Says what may stand at a cursor."""

    def __init__(self, editing: Editing, turns: Turns) -> None:
        self._editing = editing
        self._turns = turns

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """What may stand there; an empty list where nothing can be said."""
        text, cursor, syntax, kind = _asked(await read_body(req, COMPLETE_BYTES_MAX))
        find = partial(self._editing.complete, text, cursor, syntax=syntax, in_document=kind != QUERY)
        found = await self._turns.run(client_of(req), find, None, gone_of(req))
        _answer(resp, asdict(found))


def _asked(body: bytes) -> tuple[str, int, Literal["edn", "json"], str]:
    """The text, the cursor, the syntax and the kind of document of a request.

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
    kind = said.get("as", QUERY)
    if type(cursor) is not int or syntax not in ("edn", "json") or said.keys() - _KEYS:
        raise RequestError(400, "bad-completion", "the cursor is a number, the syntax edn or json", _HINT)
    if kind not in (QUERY, "template", "rule"):
        raise RequestError(400, "bad-completion", "it is a query, a template or a rule", _HINT)
    return text, cursor, syntax, kind


_KEYS = {"text", "cursor", "syntax", "as"}
_HINT = 'send {"text": "{:where [:", "cursor": 10, "syntax": "edn"}'


def _answer(resp: falcon.asgi.Response, body: dict[str, Any]) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(body)
