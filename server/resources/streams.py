"""`GET /v1/streams`: what there is, with the records, bytes and time range of each stream."""

from __future__ import annotations

import contextlib
from typing import Any

import falcon
import falcon.asgi
import orjson

from storage.drop import disk_bytes
from storage.errors import UnknownStream
from storage.paths import DataDirectory
from storage.store import Store, stream_summary


class Streams:
    """Lists the streams."""

    def __init__(self, store: Store, data: DataDirectory) -> None:
        self._store = store
        self._data = data

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """All streams, by name."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps({"streams": list_streams(self._store, self._data)})


def list_streams(store: Store, data: DataDirectory) -> list[dict[str, Any]]:
    """A summary of every stream."""
    summaries = []
    for name in store.stream_names():
        with contextlib.suppress(UnknownStream):  # deleted since it was listed
            summaries.append(stream_summary(store.catalog(name), disk_bytes(data.stream(name).segments)))
    return summaries
