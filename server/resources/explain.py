"""`POST /v1/explain`: how a query is understood and answered, and with `?run=true` what it really took."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import falcon
import falcon.asgi
import orjson

from server.bodies import read_body
from server.callers import client_of, gone_of
from server.encode import choose_data, edn
from server.engine import Engine
from server.engine.asked import Asked
from server.errors import RequestError
from server.parameters import Parameters
from server.resources.query import QUERY_BYTES_MAX, decoded, syntax_of
from server.turns import Turns


class Explain:
    """Explains queries."""

    parameters: ClassVar[Parameters] = {"POST": ("after", "run")}

    def __init__(self, engine: Engine, turns: Turns) -> None:
        self._engine = engine
        self._turns = turns

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Explain a query; 400 with every mistake in it."""
        syntax = syntax_of(req.content_type)
        run = req.get_param("run", default="false")
        if run not in ("true", "false"):
            raise RequestError(400, "bad-parameter", f"run is {run[:40]!r}", "use ?run=true, or leave it out")
        text = decoded(await read_body(req, QUERY_BYTES_MAX))
        asked = Asked()
        explain = partial(
            self._engine.explain,
            text,
            syntax=syntax,
            after=req.get_param("after"),
            run=run == "true",
            asked=asked,
        )
        encoder = choose_data(req.get_header("Accept"))
        answer = await self._turns.run(client_of(req), explain, asked, gone_of(req))
        resp.content_type = encoder.media_type
        resp.data = edn.write(answer).encode() if encoder is edn.EDN else orjson.dumps(answer)
