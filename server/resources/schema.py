"""`GET /v1/schema/query.json`: the JSON Schema of queries in JSON, for editors and for programs that write them."""

from __future__ import annotations

import falcon.asgi
import orjson

from dsl.schema import query_schema

MEDIA_TYPE = "application/schema+json"
CACHE_S = 3600  # it changes only with the program


class QuerySchema:
    """Gives the schema."""

    def __init__(self) -> None:
        self._body = orjson.dumps(query_schema())

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The schema, draft 2020-12."""
        resp.content_type = MEDIA_TYPE
        resp.cache_control = [f"max-age={CACHE_S}"]
        resp.data = self._body
