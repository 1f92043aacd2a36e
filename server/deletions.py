"""Records that must go: asked for over HTTP as a query, carried out by the job `deletion`, followed until the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dsl.ast import Query
from dsl.errors import Mistake, QueryError
from dsl.parse import Syntax, parse
from dsl.printer import to_edn
from server.engine import Engine
from server.ingest import Ingest
from storage.metadata import DeletionRow, Metadata
from storage.stop import Stop
from storage.times import format_time, shown_time

JOB = "deletion"


class Deletions:
    """Takes requests to delete records by a predicate.

    Args:
        engine: Counts what would go.
        ingest: Ends the segment that is written to: only whole segments are made anew.
        metadata: Where requests are kept until they are done.
        clock: Microseconds since 1970.
    """

    def __init__(self, engine: Engine, ingest: Ingest, metadata: Metadata, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._ingest = ingest
        self._metadata = metadata
        self._clock = clock

    def count(self, stream: str, text: str, syntax: Syntax, stop: Stop | None = None) -> dict[str, Any]:
        """How many records would go now.

        Raises:
            QueryError: the document has mistakes, or says more than which records.
            UnknownStream: there is no such stream.
            QueryTimeout: counting takes too long.
        """
        now_us = self._clock()
        stop = stop or Stop()
        stop.within(self._engine.timeout_s)
        matching = self._engine.matching(_query(stream, text, syntax, now_us), now_us, stop)
        return {"stream": stream, "matching": matching.count() if matching else 0}

    async def ask(self, stream: str, text: str, syntax: Syntax) -> dict[str, Any]:
        """Have all records go that match and are acknowledged by now; the request.

        Raises:
            QueryError: the document has mistakes, or says more than which records.
            UnknownStream: there is no such stream.
        """
        now_us = self._clock()
        query = _query(stream, text, syntax, now_us)
        await asyncio.to_thread(self._engine.matching, query, now_us)  # the stream must be there
        until = await self._ingest.rotate(stream)
        return await asyncio.to_thread(self._note, stream, to_edn(query), now_us, until)

    def _note(self, stream: str, query: str, now_us: int, until: int) -> dict[str, Any]:
        deletion = self._metadata.ask_deletion(stream, query, now_us, until)
        self._metadata.ask_job(JOB)
        return _shown(DeletionRow(deletion, stream, query, now_us, until, "waiting", 0, None, None, None))

    async def list(self, stream: str) -> dict[str, Any]:
        """What was asked for of a stream, the newest first, and how far it has come."""
        rows = await asyncio.to_thread(self._metadata.deletions, stream)
        return {"deletions": [_shown(row) for row in rows]}


def _query(stream: str, text: str, syntax: Syntax, now_us: int) -> Query:
    query = parse(text, syntax, now_us=now_us)
    if query.where is None:
        hint = "to delete all of a stream there is DELETE /v1/streams/NAME"
        raise QueryError([Mistake("no-where", "a deletion needs a :where", 0, len(text), hint)], text)
    only = Query(where=query.where, time=query.time)
    if query != only:
        hint = "the stream is in the path; write {:where … :time …}"
        message = "a deletion has a :where and perhaps a :time, and nothing else"
        raise QueryError([Mistake("bad-deletion", message, 0, len(text), hint)], text)
    return query.model_copy(update={"from_": (stream,)})


def _shown(row: DeletionRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "stream": row.stream,
        "query": row.query,
        "asked": format_time(row.now_us),
        "until": row.until,
        "state": row.state,
        "deleted": row.deleted,
        "remaining": row.remaining,
        "error": row.error,
        "ended": shown_time(row.ended_us),
    }
