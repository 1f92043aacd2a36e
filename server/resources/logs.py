"""`POST /v1/streams/{stream}/logs` and `POST /logs`: records in."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, ClassVar

import falcon
import falcon.asgi
import orjson

from server.bodies import read_body
from server.errors import RequestError
from server.ingest import Ingest, Outcome, Retry
from server.parameters import Parameters
from server.protocols import decoder
from server.settings import Settings
from storage.format import TICKET_KEY_BYTES_MAX
from storage.store import Store

DEFAULT_STREAM = "main"
REFRESH_POLL_S = 0.01
FAILED = "klomp.failed"  # in a request's scope: why a batch that came the short way is not kept


def accepted_body(accepted: int) -> bytes:
    """The answer to a batch of which every record is kept."""
    return orjson.dumps({"accepted": accepted, "rejected": [], "rejected_count": 0})


def _retry(req: falcon.asgi.Request, body: bytes) -> Retry | None:
    """How the batch is known when it comes again, where its sender gave it an Idempotency-Key."""
    key = req.get_header("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key.encode()) <= TICKET_KEY_BYTES_MAX:
        raise RequestError(
            400,
            "bad-idempotency-key",
            f"the Idempotency-Key has {len(key.encode())} bytes",
            f"use 1 to {TICKET_KEY_BYTES_MAX} bytes, such as a UUID",
        )
    return Retry(key, hashlib.sha256(body).digest()[:16])


class Logs:
    """Takes batches of records."""

    parameters: ClassVar[Parameters] = {"POST": ("refresh",)}

    def __init__(self, ingest: Ingest, store: Store, settings: Settings) -> None:
        self._ingest = ingest
        self._store = store
        self._settings = settings

    async def on_post(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, stream: str = DEFAULT_STREAM
    ) -> None:
        """Keep a batch; 202 when it is on disk."""
        if FAILED in req.scope:
            raise req.scope[FAILED]
        refresh = req.get_param("refresh", default="")
        if refresh not in ("", "wait"):
            raise RequestError(
                400, "bad-parameter", f"refresh is {refresh!r}", "use ?refresh=wait, or leave it out"
            )
        decode = decoder(req.content_type)
        body = await read_body(req, self._settings.body_bytes_max)
        outcome = await self._ingest.write(stream, decode, body, _retry(req, body))
        answer: dict[str, Any] = {
            "accepted": outcome.accepted,
            "rejected": outcome.rejected.listed,
            "rejected_count": outcome.rejected.count,
        }
        if not outcome.accepted:
            self._refuse(outcome, answer)
        if refresh:
            answer["searchable"] = await self._searchable(stream, outcome.first + outcome.accepted)
        resp.status = falcon.HTTP_202
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps(answer)

    @staticmethod
    def _refuse(outcome: Outcome, answer: dict[str, Any]) -> None:
        if outcome.rejected.count:
            message = f"none of the {outcome.rejected.count} records can be kept"
            hint = "see rejected for the reason of each"
        else:
            message, hint = "the body holds no records", 'send at least one, such as {"message": "hello"}'
        raise RequestError(422, "nothing-accepted", message, hint, answer)

    async def _searchable(self, stream: str, until: int) -> bool:
        """Wait until every record before `until` is in the index; whether it came to that in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.refresh_s
        while self._store.catalog(stream).searchable_until < until:
            if loop.time() > deadline:
                return False
            await asyncio.sleep(REFRESH_POLL_S)
        return True
