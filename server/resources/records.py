"""`GET /v1/streams/{stream}/records/{number}`: a record by its address; `…/context`: with those beside it."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import falcon
import falcon.asgi
import orjson

from server.callers import client_of, gone_of
from server.engine.asked import Asked
from server.engine.records import BESIDE_MAX, NUMBER_MAX, Records, Wanted, check_same
from server.errors import RequestError
from server.parameters import Parameters
from server.turns import Turns

BESIDE_DEFAULT = 5


class OneRecord:
    """Shows a record."""

    def __init__(self, records: Records, turns: Turns) -> None:
        self._records = records
        self._turns = turns

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str, number: str
    ) -> None:
        """The record; 404 says whether it is gone or not there yet."""
        asked = Asked()
        find = partial(self._records.one, stream, _number(number), asked)
        _answer(resp, await self._turns.run(client_of(req), find, asked, gone_of(req)))


class Context:
    """Shows a record and those beside it."""

    parameters: ClassVar[Parameters] = {"GET": ("before", "after", "same")}

    def __init__(self, records: Records, turns: Turns) -> None:
        self._records = records
        self._turns = turns

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str, number: str
    ) -> None:
        """The lines before and after it."""
        same = [name for name in (req.get_param("same") or "").split(",") if name]
        wanted = Wanted(_count(req, "before"), _count(req, "after"), check_same(same))
        asked = Asked()
        find = partial(self._records.beside, stream, _number(number), wanted, asked)
        _answer(resp, await self._turns.run(client_of(req), find, asked, gone_of(req)))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and 1 <= int(text) <= NUMBER_MAX):
        raise RequestError(
            400, "bad-number", f"{text[:40]!r} is no number of a record", "take the _number of a row"
        )
    return int(text)


def _count(req: falcon.asgi.Request, name: str) -> int:
    text = req.get_param(name)
    if text is None:
        return BESIDE_DEFAULT
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text) <= BESIDE_MAX):
        raise RequestError(
            400, "bad-parameter", f"{name} is {text[:40]!r}", f"use a number up to {BESIDE_MAX}"
        )
    return int(text)


def _answer(resp: falcon.asgi.Response, body: dict[str, Any]) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(body)
