"""`POST /v1/streams/{stream}/delete`: records that must go; `GET /v1/streams/{stream}/deletions`: how far that is."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import falcon
import falcon.asgi
import orjson

from server.bodies import read_body
from server.callers import client_of, gone_of
from server.deletions import Deletions
from server.engine.asked import Asked
from server.errors import RequestError
from server.parameters import Parameters
from server.resources.query import QUERY_BYTES_MAX, decoded, syntax_of
from server.turns import Turns


class Delete:
    """Takes requests to delete."""

    parameters: ClassVar[Parameters] = {"POST": ("dry-run",)}

    def __init__(self, deletions: Deletions, turns: Turns) -> None:
        self._deletions = deletions
        self._turns = turns

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str) -> None:
        """202 with the request; with ?dry-run=true 200 and how many records would go."""
        syntax = syntax_of(req.content_type)
        dry_run = req.get_param("dry-run", default="false")
        if dry_run not in ("true", "false"):
            raise RequestError(
                400, "bad-parameter", f"dry-run is {dry_run!r}", "use ?dry-run=true, or leave it out"
            )
        text = decoded(await read_body(req, QUERY_BYTES_MAX))
        answer: dict[str, Any]
        if dry_run == "true":
            asked = Asked()
            count = partial(self._deletions.count, stream, text, syntax, asked.stop)
            answer = await self._turns.run(client_of(req), count, asked, gone_of(req))
        else:
            answer = await self._deletions.ask(stream, text, syntax)
            resp.status = falcon.HTTP_202
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps(answer)


class DeletionList:
    """Shows what was asked for."""

    def __init__(self, deletions: Deletions) -> None:
        self._deletions = deletions

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str) -> None:
        """The newest first."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps(await self._deletions.list(stream))
