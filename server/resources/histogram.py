"""`POST /v1/histogram`: how many records over time, perhaps for each value of a field, in the formats of queries."""

from __future__ import annotations

import falcon
import falcon.asgi

from server.bodies import read_body
from server.encode import choose
from server.engine.asked import Asked
from server.engine.histogram import Histograms
from server.resources.query import QUERY_BYTES_MAX, decoded, respond, syntax_of
from server.turns import Turns


class Histogram:
    """Answers histograms."""

    def __init__(self, histograms: Histograms, turns: Turns) -> None:
        self._histograms = histograms
        self._turns = turns

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Answer one; 400 with every mistake in it."""
        syntax = syntax_of(req.content_type)
        encoder = choose(req.get_header("Accept"))
        text = decoded(await read_body(req, QUERY_BYTES_MAX))
        asked = Asked()

        def answer() -> bytes:
            return encoder.encode(self._histograms.of(text, syntax=syntax, asked=asked))

        await respond(req, resp, self._turns, encoder, answer, asked)
