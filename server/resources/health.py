"""`GET /healthz`: this process answers. `GET /readyz`: all of klomp does its work."""

from __future__ import annotations

import time
from pathlib import Path

import falcon
import falcon.asgi
import orjson

HEARTBEAT_FILE = "indexer.alive"
HEARTBEAT_S = 1.0
HEARTBEAT_STALE_S = 10.0  # a large commit may hold the indexer for some seconds


class Health:
    """Whether the process is alive."""

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """200, always."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = b'{"status":"ok"}'

    on_head = on_get  # some load balancers ask so


class Ready:
    """Whether records can come in and become searchable."""

    def __init__(self, data: Path) -> None:
        self._heartbeat = data / HEARTBEAT_FILE

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """200 when all works, 503 with the reason when not."""
        try:
            age_s = time.time() - self._heartbeat.stat().st_mtime
        except FileNotFoundError:
            age_s = float("inf")
        problems = []
        if age_s > HEARTBEAT_STALE_S:
            since = "has not started" if age_s == float("inf") else f"was last seen {age_s:.0f} s ago"
            problems.append(
                {"code": "indexer-silent", "message": f"the indexer {since}: new records are kept, not found"}
            )
        resp.status = falcon.HTTP_503 if problems else falcon.HTTP_200
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps({"status": "not ready" if problems else "ready", "errors": problems})

    on_head = on_get
