"""`GET /healthz`: this process answers. `GET /readyz`: all of klomp does its work."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import orjson

from server.errors import METADATA_HINT, error_item
from server.heartbeat import HEARTBEAT_STALE_S, Heartbeat
from server.ingest import Ingest
from server.space import HINT
from storage.errors import UnknownStream
from storage.scrub_tables import ScrubTables
from storage.store import Store

FINDINGS_SHOWN_MAX = 20

log = logging.getLogger(__name__)


class Health:
    """Whether the process is alive."""

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """200, always."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = b'{"status":"ok"}'

    on_head = on_get  # some load balancers ask so


class Ready:
    """Whether records can come in and become searchable, and what else one should know."""

    def __init__(self, data: Path, store: Store, ingest: Ingest, scrub: ScrubTables) -> None:
        self._heartbeat = Heartbeat(data)
        self._store = store
        self._ingest = ingest
        self._scrub = scrub

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """200 when all works, perhaps with warnings; 503 with the reason when not."""
        problems = self._problems()
        streams = self._streams()
        body = {
            "status": "not ready" if problems else "ready",
            "errors": problems,
            "warnings": self._warnings(streams) + await asyncio.to_thread(self._scrubbed),
            "streams": streams,
        }
        resp.status = falcon.HTTP_503 if problems else falcon.HTTP_200
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps(body)

    on_head = on_get

    def _problems(self) -> list[dict[str, Any]]:
        age_s = self._heartbeat.age_s()
        if age_s <= HEARTBEAT_STALE_S:
            return []
        since = "has not started" if age_s == float("inf") else f"was last seen {age_s:.0f} s ago"
        return [error_item("indexer-silent", f"the indexer {since}: new records are kept, not found")]

    def _streams(self) -> dict[str, dict[str, int]]:
        """What is not whole, by the name of its stream; streams that are whole are left out."""
        found = {}
        for name in self._store.stream_names():
            try:
                segments = self._store.catalog(name).segments
            except UnknownStream:
                continue  # deleted since it was listed
            counts = {
                "damaged": sum(segment.damaged for segment in segments),
                "damaged_bytes": sum(segment.damaged_bytes for segment in segments),
                "rebuilding": sum(segment.rebuilding or segment.catching_up for segment in segments),
            }
            if any(counts.values()):
                found[name] = counts
        return found

    def _warnings(self, streams: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
        """What does not keep the store from its work."""
        space = self._ingest.space
        full = space.problem if space is not None else None
        warnings = [error_item("disk-nearly-full", full, HINT)] if full else []
        for name, why in self._heartbeat.failing().items():
            message = f"{name} is not indexed: {why}; new records of it are kept, not found"
            warnings.append(error_item("stream-not-indexed", message, "it is tried again; see klomp check"))
        for name, counts in streams.items():
            if counts["damaged"]:
                message = (
                    f"{counts['damaged']} stretches of {name} are damaged, {counts['damaged_bytes']} bytes"
                )
                warnings.append(error_item("data-damaged", message, "the rest is served; see klomp check"))
            if counts["rebuilding"]:
                message = f"the index of {counts['rebuilding']} segments of {name} is being made anew"
                warnings.append(
                    error_item("index-rebuilding", message, "answers say that they are not complete")
                )
        return warnings

    def _scrubbed(self) -> list[dict[str, Any]]:
        """What the scrub found that is in no catalog."""
        try:
            found = self._scrub.findings()
        except sqlite3.Error as error:
            log.error("cannot see what the scrub found: %s", error)  # noqa: TRY400
            message = f"klomp.db cannot be read: {error}; settings, rules and jobs do not work"
            return [error_item("metadata-unreadable", message, METADATA_HINT)]
        shown = found[:FINDINGS_SHOWN_MAX]
        warnings = [
            error_item("scrub-finding", f"{one.path}: {one.message}", "the rest is served; see klomp check")
            for one in shown
        ]
        if len(found) > len(shown):
            more = f"and {len(found) - len(shown)} more files"
            warnings.append(error_item("scrub-finding", more, "klomp check lists all"))
        return warnings
