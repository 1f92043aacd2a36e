"""`GET`, `PUT`, `PATCH` and `DELETE /v1/streams/{stream}`: one stream as a whole, and what is set of it."""

from __future__ import annotations

from typing import Any, ClassVar

import falcon
import falcon.asgi
import orjson

from server.bodies import read_body
from server.errors import RequestError
from server.parameters import Parameters
from server.protocols import edn
from server.streams import StreamAdmin
from storage.errors import BadRecord

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
        created, answer = await self._admin.replace(stream, await _settings(req))
        resp.status = falcon.HTTP_201 if created else falcon.HTTP_200
        _answer(resp, answer)

    async def on_patch(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str) -> None:
        """Set some of it."""
        _answer(resp, await self._admin.change(stream, await _settings(req)))

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str) -> None:
        """Take it away with all its records."""
        _answer(resp, await self._admin.delete(stream, req.get_param("confirm")))


def _answer(resp: falcon.asgi.Response, body: dict[str, Any]) -> None:
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(body)


async def _settings(req: falcon.asgi.Request) -> Any:
    """The settings in a body; no body is none."""
    body = await read_body(req, SETTINGS_BYTES_MAX)
    if not body.strip():
        return {}
    kind = (req.content_type or "application/json").partition(";")[0].strip().lower()
    if kind == "application/edn":
        maps = list(edn.decode(body))
        if len(maps) == 1 and not isinstance(maps[0], BadRecord):
            return maps[0]
        raise RequestError(400, "bad-settings", "the body is not one map", 'send {:retention {:age "30d"}}')
    if kind not in ("application/json", "application/merge-patch+json"):
        raise RequestError(
            415,
            "unknown-content-type",
            f"no Content-Type {kind!r} for settings",
            "use application/json or application/edn",
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "bad-json", f"the body is no JSON: {error}", "send one object") from error
