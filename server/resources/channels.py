"""`POST /v1/channels/{name}/test`: sends a notification now, and says what became of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import falcon.asgi

from server.notify.channels.base import Sending
from server.notify.documents import SavedChannels
from server.notify.message import Alert, Message
from server.resources.documents import DocumentResource, answer

TESTS_MAX = 2  # at once: each may take a minute, and must not hold the threads that answer queries


class TestedChannel(DocumentResource):
    """Tries a channel."""

    def __init__(self, channels: SavedChannels, clock: Callable[[], int], public_url: str) -> None:
        super().__init__(channels, ThreadPoolExecutor(TESTS_MAX, thread_name_prefix="channel-test"))
        self._channels = channels
        self._clock = clock
        self._public_url = public_url

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Send a message that says it is a test. The answer is 200 also where the channel did not take it."""
        answer(req, resp, await self.run(lambda: self._send(name)))

    def _send(self, name: str) -> dict[str, Any]:
        kind, settings = self._channels.settings(name)
        message = example_message(name, self._clock(), self._public_url)
        begun_s = perf_counter()
        outcome = kind.send(settings, message, Sending())
        return {
            "channel": name,
            "ok": outcome.ok,
            "detail": outcome.detail,
            "permanent": outcome.permanent,
            "took_ms": round((perf_counter() - begun_s) * 1000, 1),
        }


def example_message(channel: str, now_us: int, public_url: str) -> Message:
    """What a test sends: an alert that is resolved already, so that nobody is called out of bed for it."""
    alert = Alert(
        id=0,
        rule="klomp-test",
        status="resolved",
        fingerprint="0" * 16,
        labels={"channel": channel},
        annotations={"summary": f"a test of the channel {channel}; nothing is wrong"},
        starts_us=now_us,
        ends_us=now_us,
        value={},
        samples=(),
        generator=f"/v1/channels/{channel}",
    )
    return Message(channel, {"rule": alert.rule}, (alert,), now_us, public_url)
