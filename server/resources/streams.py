"""`GET /v1/streams`: what there is, with the records, bytes and time range of each stream."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import orjson

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
    return [
        stream_summary(store.catalog(name), _disk_bytes(data.stream(name).segments))
        for name in store.stream_names()
    ]


def _disk_bytes(folder: Path) -> int:
    """Bytes of all files below a folder. The view beside it holds links to the same files."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.stat(os.path.join(root, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # merged away meanwhile
    return total
