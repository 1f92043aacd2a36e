"""The short way in: a small batch without anything particular goes to its log without passing through the framework.

    POST /v1/streams/app/logs      Content-Type: application/json      {"message": "hello"}

Falcon's requests, responses and routes cost more than keeping one record does. So the commonest of all requests is
recognised before them, and answered here, but only if all goes well: whatever is not as expected is given to the whole
application, which reads the same request from its beginning. There is one place that knows what is wrong and what to
say about it, and it is not here. `docs/adr/0007-a-short-way-in.md` says what was measured.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

from server.errors import RequestError
from server.ingest import Ingest
from server.protocols import Decoder, decoder
from server.resources.logs import DEFAULT_STREAM, FAILED, accepted_body

Event = Mapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

KINDS_REMEMBERED = 64  # content types as they are written: clients have few ways to do it
SHORT_BYTES_MAX = (
    16 << 10
)  # some fifty records: to decode more costs so much that the way there does not count
PREFIX, SUFFIX = "/v1/streams/", "/logs"

# What is said of a body and makes it more than plain.
_PARTICULAR = frozenset(
    (b"content-encoding", b"idempotency-key", b"transfer-encoding", b"expect", b"upgrade")
)
_JSON = b"application/json"


class Shortcut:
    """An ASGI application: another one, with a short way for plain batches of records.

    Args:
        app: What serves everything.
        ingest: Where records go.
        body_bytes_max: Of any request.
    """

    def __init__(self, app: Application, ingest: Ingest, body_bytes_max: int) -> None:
        self._app = app
        self._ingest = ingest
        self._bytes_max = min(SHORT_BYTES_MAX, body_bytes_max)

    def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        if scope.get("method") == "POST" and not scope["query_string"]:
            path: str = scope["path"]
            if path.endswith(SUFFIX):
                if path.startswith(PREFIX):
                    return self._take(path[len(PREFIX) : -len(SUFFIX)], scope, receive, send)
                if path == SUFFIX:
                    return self._take(DEFAULT_STREAM, scope, receive, send)
        return self._app(scope, receive, send)

    async def _take(self, stream: str, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        length, kind = _plain(scope["headers"])
        decode = _decoder(kind)
        # A log is open once a batch has come the long way, so the name is one that was checked.
        if not 0 < length <= self._bytes_max or decode is None or not self._ingest.is_open(stream):
            return await self._app(scope, receive, send)
        event = await receive()
        body = event.get("body", b"")
        if len(body) != length:
            return await self._app(scope, _again(event, receive), send)
        try:
            waiting = self._ingest.take(stream, decode, body)
            accepted = await waiting if waiting is not None else 0
        except Exception as error:  # noqa: BLE001  # the application has the one map from what went wrong to answers
            scope[FAILED] = error
            accepted = 0
        if not accepted:
            return await self._app(scope, _again(event, receive), send)
        data = _ONE if accepted == 1 else accepted_body(accepted)
        await send(_head(len(data)))
        await send({"type": "http.response.body", "body": data})
        return None


def _plain(headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """How long the body is said to be, and what it is; a length of -1 where something else is said of it."""
    length, kind = -1, b""
    for name, value in headers:
        if name == b"content-length":
            if length >= 0 or not value.isdigit():
                return -1, kind
            length = int(value)
        elif name == b"content-type":
            if kind:
                return -1, kind
            kind = value
        elif name in _PARTICULAR:
            return -1, kind
    return length, kind or _JSON


@lru_cache(KINDS_REMEMBERED)
def _decoder(kind: bytes) -> Decoder | None:
    try:
        return decoder(kind.decode("latin-1"))
    except RequestError:
        return None


def _again(event: Event, receive: Receive) -> Receive:
    """The same events once more, for another reader."""
    first: list[Event] = [event]

    async def receive_again() -> Event:
        return first.pop() if first else await receive()

    return receive_again


def _head(length: int) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": 202,
        "headers": [(b"content-type", _JSON), (b"content-length", b"%d" % length)],
    }


_ONE = accepted_body(1)
