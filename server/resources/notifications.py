"""`GET /v1/notifications`: what was owed to channels, and what became of it; what is dead can be sent again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, ClassVar, get_args

import falcon.asgi

from server.alerts.shown import shown_notification
from server.errors import RequestError
from server.notify.documents import SavedChannels
from server.parameters import Parameters, number_parameter
from server.resources.documents import DocumentResource, answer
from storage.notifications import LISTED_MAX, Notification, Notifications, NotificationState
from storage.times import format_time

LISTED_DEFAULT = 100
STATES: tuple[NotificationState, ...] = get_args(NotificationState)


class _OfOutbox(DocumentResource):
    """What these resources share."""

    def __init__(
        self, channels: SavedChannels, threads: Executor, outbox: Notifications, clock: Callable[[], int]
    ) -> None:
        super().__init__(channels, threads)
        self.outbox = outbox
        self.clock = clock

    def found(self, number: str) -> Notification:
        """A notification by the number in a path.

        Raises:
            RequestError: `unknown-notification` (404).
        """
        known = number.isascii() and number.isdecimal() and len(number) <= 18
        found = self.outbox.get(int(number)) if known else None
        if found is None:
            raise RequestError(
                404, "unknown-notification", f"no notification {number[:40]!r}", "see /v1/notifications"
            )
        return found


class NotificationList(_OfOutbox):
    """All, the newest first, in pages."""

    parameters: ClassVar[Parameters] = {"GET": ("state", "rule", "channel", "limit", "before")}

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """A page; `next` is the `before` of the page after it."""
        state = req.get_param("state")
        if state is not None and state not in STATES:
            raise RequestError(
                400, "bad-parameter", f"no state {state[:40]!r}", f"there are: {', '.join(STATES)}"
            )
        limit = number_parameter(req, "limit", LISTED_MAX) or LISTED_DEFAULT
        before = number_parameter(req, "before")
        channel, rule = req.get_param("channel"), req.get_param("rule")
        rows = await self.run(
            lambda: self.outbox.list(
                state=state,
                rule=rule,
                channel=channel,
                before=before,
                limit=limit,
            )
        )
        more = rows[-1].id if rows and len(rows) == limit else None
        answer(req, resp, {"notifications": [shown_notification(row) for row in rows], "next": more})


class OneNotification(_OfOutbox):
    """One of them, with what it says and every attempt."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, number: str) -> None:
        """All that is known of it."""
        answer(req, resp, await self.run(lambda: self._described(number)))

    def _described(self, number: str) -> dict[str, Any]:
        row = self.found(number)
        failures = [
            {
                "at": format_time(one.at_us),
                "took_ms": one.took_us / 1000,
                "error": one.error,
                "status": one.status,
            }
            for one in self.outbox.attempts(row.id)
        ]
        return {**shown_notification(row), "failures": failures, "alert": row.payload}


class ResentNotification(_OfOutbox):
    """Sends a dead one again."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, number: str) -> None:
        """Owe it again, with all attempts before it."""
        answer(req, resp, await self.run(lambda: self._resend(number)))

    def _resend(self, number: str) -> dict[str, Any]:
        row = self.found(number)
        if not self.outbox.requeue([row.id], self.clock()):
            raise RequestError(
                400,
                "not-dead",
                f"notification {row.id} is {row.state}",
                "only what was given up can be sent again",
            )
        return {"resent": 1}


class ResentChannel(_OfOutbox):
    """Sends all that is dead of a channel again."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Owe them again."""
        await self.run(lambda: self.saved.find(name))
        answer(req, resp, {"resent": await self.run(lambda: self.outbox.requeue_channel(name, self.clock()))})
