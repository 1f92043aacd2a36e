"""`GET /v1/streams/{s}/fields?last=1h&where=…`: which fields the records of a stream have, and what is in them."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import falcon
import falcon.asgi
import orjson

from server.callers import client_of, gone_of
from server.encode import choose_data, edn
from server.engine.asked import Asked
from server.engine.fields import SAID, VALUES_DEFAULT, VALUES_MAX, Fields, Wanted, fields_query
from server.errors import RequestError
from server.parameters import Parameters
from server.turns import Turns

NAMES_MAX = 100  # asked for by name in one request


class StreamFields:
    """Tells of the fields of a stream."""

    parameters: ClassVar[Parameters] = {
        "GET": ("since", "until", "last", "where", "values", "name", "timeout")
    }

    def __init__(self, fields: Fields, turns: Turns) -> None:
        self._fields = fields
        self._turns = turns

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str) -> None:
        """The fields, those that most records have first."""
        encoder = choose_data(req.get_header("Accept"))
        names = tuple(req.get_param_as_list("name") or ()) or None
        if names is not None and len(names) > NAMES_MAX:
            raise RequestError(
                400, "bad-parameter", f"{len(names)} times name, more than {NAMES_MAX}", "ask several times"
            )
        wanted = Wanted(_values(req), names)
        query = fields_query(stream, {name: req.get_param(name) for name in SAID})
        asked = Asked()
        find = partial(self._fields.of, stream, query, wanted, asked)
        found = await self._turns.run(client_of(req), find, asked, gone_of(req))
        resp.content_type = encoder.media_type
        resp.data = edn.write(found).encode() if encoder is edn.EDN else orjson.dumps(found)


def _values(req: falcon.asgi.Request) -> int:
    text = req.get_param("values")
    if text is None:
        return VALUES_DEFAULT
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) <= VALUES_MAX):
        raise RequestError(
            400, "bad-parameter", f"values is {text[:40]!r}", f"use a number up to {VALUES_MAX}"
        )
    return int(text)
