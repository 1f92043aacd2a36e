"""Who sends a request, and whether it is still there: what fair turns need to know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import falcon.asgi

CLIENT_HEADER = "X-Klomp-Client"
_RECEIVE = "klomp.receive"  # in a request's scope: where its events come from


class WatchingApp(falcon.asgi.App[Any, Any]):
    """An application whose requests know how to ask whether their client is still there."""

    async def __call__(  # type: ignore[override]  # falcon's own has it: WSGI and ASGI differ
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one request."""
        scope[_RECEIVE] = receive
        await super().__call__(scope, receive, send)


def client_of(req: falcon.asgi.Request) -> str:
    """Who asks: what the client calls itself in `X-Klomp-Client`, else its address.

    The name is believed: it is for proxies and programs that ask for many people, not against any.
    """
    name = req.get_header(CLIENT_HEADER)
    return f"name {name}" if name else f"address {req.remote_addr}"


def gone_of(req: falcon.asgi.Request) -> Callable[[], Awaitable[None]] | None:
    """What ends when the client of a request, whose body has been read, hangs up; None where nobody can tell."""
    receive = req.scope.get(_RECEIVE)
    if receive is None:
        return None

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    return gone
