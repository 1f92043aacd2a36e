"""`POST /v1/query` and `POST /query`: a question in EDN or JSON, an answer in JSON, EDN, NDJSON or CSV."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import falcon
import falcon.asgi

from server.bodies import read_body
from server.callers import client_of, gone_of
from server.encode import choose
from server.encode.base import Encoder
from server.engine import Engine
from server.engine.asked import Asked
from server.errors import RequestError
from server.parameters import Parameters
from server.turns import Turns
from storage.errors import QueryTimeout

QUERY_BYTES_MAX = 1 << 18  # 64 Ki characters of up to four bytes


class Query:
    """Answers queries."""

    parameters: ClassVar[Parameters] = {"POST": ("after",)}

    def __init__(self, engine: Engine, turns: Turns) -> None:
        self._engine = engine
        self._turns = turns

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer a query; 400 with every mistake in it."""
        syntax = syntax_of(req.content_type)
        encoder = choose(req.get_header("Accept"))
        body = await read_body(req, QUERY_BYTES_MAX)
        text = decoded(body)
        after = req.get_param("after")
        asked = Asked()

        def answer() -> bytes:
            return encoder.encode(self._engine.query(text, syntax=syntax, after=after, asked=asked))

        await respond(req, resp, self._turns, encoder, answer, asked)


async def respond(  # noqa: PLR0917  # a request, a response, and what stands between them
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    turns: Turns,
    encoder: Encoder,
    work: Callable[[], bytes],
    asked: Asked,
) -> None:
    """Answer with what `work` gives when it is the client's turn, or with less when time is up and that will do."""
    try:
        resp.data = await turns.run(client_of(req), work, asked, gone_of(req))
    except QueryTimeout:
        if asked.fallback is None:
            raise
        resp.data = encoder.encode(asked.fallback)
    resp.content_type = encoder.media_type


def decoded(body: bytes) -> str:
    """The text of a body.

    Raises:
        RequestError: `bad-utf-8` (400).
    """
    try:
        return body.decode()
    except UnicodeDecodeError as wrong:
        raise RequestError(
            400, "bad-utf-8", f"byte {wrong.start + 1} of the query is not UTF-8", "send UTF-8"
        ) from wrong


def syntax_of(content_type: str | None) -> Literal["edn", "json"]:
    """How the query in a body is written; EDN where nothing is said.

    Raises:
        RequestError: `unknown-content-type` (415).
    """
    kind = (content_type or "application/edn").partition(";")[0].strip().lower()
    if kind == "application/json":
        return "json"
    # curl says `application/x-www-form-urlencoded` of every --data unless told otherwise.
    if kind in ("application/edn", "text/plain", "application/x-www-form-urlencoded"):
        return "edn"
    raise RequestError(
        415,
        "unknown-content-type",
        f"no Content-Type {kind!r} for a query",
        "use application/edn or application/json",
    )
