"""`GET`, `PUT`, `PATCH` and `DELETE /v1/streams/{stream}`: one stream as a whole, and what is set of it."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon
import falcon.asgi
import orjson

from dsl.forms import Form, to_plain
from dsl.reader import read, read_json
from server.bodies import read_body
from server.errors import RequestError
from server.parameters import Parameters
from server.resources.query import decoded
from server.stream_texts import placed
from server.streams import StreamAdmin
from storage.errors import BadSettings

SETTINGS_BYTES_MAX = 64 << 10  # a hundred times what all settings take


class Stream:
    """One stream."""

    parameters: ClassVar[Parameters] = {"DELETE": ("confirm",)}

    def __init__(self, admin: StreamAdmin) -> None:
        self._admin = admin

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str) -> None:
        """What there is to know of it."""
        _answer(resp, await self._admin.describe(stream))

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str) -> None:
        """Set all of it; 201 when that made it."""
        form, text = await _settings(req)
        try:
            created, answer = await self._admin.replace(stream, to_plain(form))
        except BadSettings as error:
            raise placed(error, form, text) from error
        resp.status = falcon.HTTP_201 if created else falcon.HTTP_200
        _answer(resp, answer)

    async def on_patch(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str) -> None:
        """Set some of it."""
        form, text = await _settings(req)
        try:
            _answer(resp, await self._admin.change(stream, to_plain(form)))
        except BadSettings as error:
            raise placed(error, form, text) from error

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str) -> None:
        """Take it away with all its records."""
        _answer(resp, await self._admin.delete(stream, req.get_param("confirm")))


def _answer(resp: falcon.asgi.Response, body: dict[str, Any]) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(body)


async def _settings(req: falcon.asgi.Request) -> tuple[Form, str]:
    """The settings in a body, and its text; no body is none."""
    kind = (req.content_type or "application/json").partition(";")[0].strip().lower()
    text = decoded(await read_body(req, SETTINGS_BYTES_MAX))
    if not text.strip():
        return read("{}"), text
    if kind == "application/edn":
        return read(text), text
    if kind not in ("application/json", "application/merge-patch+json"):
        raise RequestError(
            415,
            "unknown-content-type",
            f"no Content-Type {kind!r} for settings",
            "use application/json or application/edn",
        )
    return read_json(text), text
