"""`/v1/alerts`, `/v1/silences`, `/v1/rules/test`: what fires, what fired, what is kept quiet, what would fire.

GET    /v1/alerts?state=firing&rule=…&match=service=auth
GET    /v1/alerts/history?rule=…&fingerprint=…&limit=100&before=…
POST   /v1/alerts/{fingerprint}/ack       {"note": "looking into it"}
GET    /v1/silences?state=active
POST   /v1/silences                       {"matchers": ["service=auth"], "for": "2h", "comment": "…"}
GET    /v1/silences/{silence}
DELETE /v1/silences/{silence}
POST   /v1/rules/test?at=…                a rule, EDN or JSON
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, ClassVar, TypeVar

import falcon
import falcon.asgi

from server.alerts.desk import AlertDesk
from server.bodies import read_body
from server.callers import client_of, gone_of
from server.engine.asked import Asked
from server.errors import RequestError
from server.parameters import Parameters, number_parameter
from server.resources.documents import answer, author_of, plain_map
from server.resources.query import QUERY_BYTES_MAX, decoded, syntax_of
from server.turns import Turns
from storage.alerts import LISTED_MAX

LIMIT_DEFAULT = 100
REPLAY_S_MAX = 60.0  # of a replay: it holds one of few threads
ALERT_STATES = ("pending", "firing", "resolved")
SILENCE_STATES = ("pending", "active", "expired")

T = TypeVar("T")


class AlertResource:
    """What the resources of alerts share: work in threads."""

    def __init__(self, desk: AlertDesk, threads: Executor) -> None:
        self.desk = desk
        self._threads = threads

    async def run(self, work: Callable[[], T]) -> T:
        """Do what may wait, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class Alerts(AlertResource):
    """Lists alerts."""

    parameters: ClassVar[Parameters] = {"GET": ("rule", "state", "match")}

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Those that are pending, firing, or resolved a moment ago."""
        rule, state = req.get_param("rule"), _one_of(req, "state", ALERT_STATES)
        matchers = req.get_param_as_list("match") or []
        answer(req, resp, await self.run(lambda: self.desk.alerts(rule=rule, state=state, matchers=matchers)))


class AlertHistory(AlertResource):
    """Lists what became of alerts."""

    parameters: ClassVar[Parameters] = {"GET": ("rule", "fingerprint", "limit", "before")}

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Changes of state and notifications, the newest first."""
        rule, fingerprint = req.get_param("rule"), req.get_param("fingerprint")
        limit = number_parameter(req, "limit", LISTED_MAX) or LIMIT_DEFAULT
        before = number_parameter(req, "before")
        answer(
            req,
            resp,
            await self.run(
                lambda: self.desk.history(rule=rule, fingerprint=fingerprint, before=before, limit=limit)
            ),
        )


class Acknowledged(AlertResource):
    """Takes note of an alert."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, fingerprint: str) -> None:
        """Nobody is told again that it fires."""
        given, author = await plain_map(req), author_of(req)
        answer(req, resp, await self.run(lambda: self.desk.acknowledge(fingerprint, given, author)))


class Silences(AlertResource):
    """Lists silences and makes them."""

    parameters: ClassVar[Parameters] = {"GET": ("state",)}

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Those that end last first."""
        state = _one_of(req, "state", SILENCE_STATES)
        answer(req, resp, await self.run(lambda: self.desk.silences(state)))

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """201 with the silence."""
        given, author = await plain_map(req), author_of(req)
        answer(req, resp, await self.run(lambda: self.desk.add_silence(given, author)))
        resp.status = falcon.HTTP_201


class OneSilence(AlertResource):
    """One silence."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, silence: str) -> None:
        """What it keeps quiet, and until when."""
        answer(req, resp, await self.run(lambda: self.desk.silence(silence)))

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, silence: str) -> None:
        """End it now; it stays in the list for a while."""
        answer(req, resp, await self.run(lambda: self.desk.end_silence(silence)))


class TriedRule:
    """Tries a rule."""

    parameters: ClassVar[Parameters] = {"POST": ("at",)}

    def __init__(self, desk: AlertDesk, turns: Turns) -> None:
        self._desk = desk
        self._turns = turns

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Its groups and which of them would fire; 400 with every mistake in it."""
        syntax, at = syntax_of(req.content_type), req.get_param("at")
        text = decoded(await read_body(req, QUERY_BYTES_MAX))
        found: dict[str, Any] = await self._turns.run(
            client_of(req), lambda: self._desk.test(text, syntax, at)
        )
        answer(req, resp, found)


class ReplayedRule:
    """Walks a rule over the past."""

    parameters: ClassVar[Parameters] = {"POST": ("since", "until", "name")}

    def __init__(self, desk: AlertDesk, turns: Turns) -> None:
        self._desk = desk
        self._turns = turns

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """When it would have fired."""
        syntax, asked = syntax_of(req.content_type), Asked()
        asked.stop.within(REPLAY_S_MAX)
        since = req.get_param("since", default="now-1d")
        until, name = req.get_param("until", default="now"), req.get_param("name")
        text = decoded(await read_body(req, QUERY_BYTES_MAX))

        def work() -> dict[str, Any]:
            return self._desk.replay(text, syntax, name=name, since=since, until=until, asked=asked)

        answer(req, resp, await self._turns.run(client_of(req), work, asked, gone_of(req)))


def _one_of(req: falcon.asgi.Request, name: str, known: tuple[str, ...]) -> str | None:
    given = req.get_param(name)
    if given is not None and given not in known:
        raise RequestError(400, "bad-parameter", f"{name} is {given[:40]!r}", f"use {', '.join(known)}")
    return given
