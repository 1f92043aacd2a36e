"""Waiting for a server to be ready, without a thread: asked a few times a second from the supervisor's loop."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import urllib3

from server.settings import Settings
from server.supervisor import Supervisor

ASK_S = 0.1
ASK_TIMEOUT_S = 0.5


def address(settings: Settings) -> str:
    """The URL under which this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def when_ready(settings: Settings, then: Callable[[], None]) -> Callable[[Supervisor], None]:
    """A supervisor's tick that calls `then` once, when the server is ready."""
    http = urllib3.PoolManager(timeout=ASK_TIMEOUT_S, retries=False)
    asked_s = 0.0
    done = False

    def tick(_: Supervisor) -> None:
        nonlocal asked_s, done
        now = time.monotonic()
        if done or now - asked_s < ASK_S:
            return
        asked_s = now
        try:
            answer = http.request("GET", f"{address(settings)}/readyz")
        except urllib3.exceptions.HTTPError:
            return
        if answer.status == 200:
            done = True
            then()

    return tick


def announce(settings: Settings) -> Callable[[Supervisor], None]:
    """A supervisor's tick that says where the server is."""
    return when_ready(
        settings, lambda: click.echo(f"klomp listens on {address(settings)}, its data is in {settings.data}")
    )
