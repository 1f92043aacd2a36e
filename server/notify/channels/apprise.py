"""The channel `apprise`: a URL of the library Apprise, such as `slack://…` or `mailto://…`, for chats, mail and more.

What the URLs look like: https://github.com/caronc/apprise/wiki. The library and its hundred senders run in a process
of their own, made for one message: there every connection is checked where it is made, and a sender that hangs is
ended with its process. What goes in and out of it is one JSON object each (`server/notify/apprise_child.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Literal, Self

import orjson
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from server.notify.channels.base import ChannelSettings, ChannelType, Sending
from server.notify.http import TRANSIENT
from server.notify.message import TEXT_CHARACTERS_MAX, Message, text_template, title_template
from server.notify.outcome import Outcome, failed, refused, sent
from server.notify.secrets import mask_all_but_scheme, pieces, redact

START_S = 20  # beside the channel's own timeout: for the interpreter and the library on a busy machine
CHECK_S = 5
# What the process is given of ours: where Python finds modules and certificates. No proxies, and no secrets of others.
ENVIRONMENT = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
CHILD = (sys.executable, "-P", "-m", "server.notify.apprise_child")


class AppriseSettings(ChannelSettings):
    """What can be set of an Apprise channel. All of the URL but its scheme is secret."""

    type: Literal["apprise"]

    @model_validator(mode="after")
    def check_url(self) -> Self:
        """The URL has a scheme; the library is asked about the rest when it is saved."""
        if "://" not in self.url or any(character <= " " for character in self.url):
            raise PydanticCustomError(
                "url",
                "url is no URL of Apprise",
                {"hint": "write it like slack://… or mailto://user:password@host"},
            )
        return self


def check(settings: AppriseSettings) -> tuple[str, str] | None:
    """Whether the library knows the URL, and whether it leads somewhere that is seen to be refused."""
    answer = _ask({"do": "check", "url": settings.url, "allow_private": settings.allow_private}, CHECK_S)
    if answer.get("ok"):
        return None
    detail = redact(str(answer.get("error", "Apprise does not know it")), pieces(settings.url))
    return f"url: {detail}", "see https://github.com/caronc/apprise/wiki for what there is"


def send(settings: AppriseSettings, message: Message, _sending: Sending) -> Outcome:
    """Send a message."""
    answer = _ask(
        {
            "do": "send",
            "url": settings.url,
            "allow_private": settings.allow_private,
            "title": message.title(title_template(settings.title)),
            "blocks": message.blocks(text_template(settings.text)),
            "characters_max": TEXT_CHARACTERS_MAX,
            "kind": "failure" if message.status == "firing" else "success",
            "timeout_s": settings.timeout_s,
        },
        settings.timeout_s,
    )
    scheme = settings.url.partition(":")[0]
    detail = redact(str(answer.get("error") or ""), pieces(settings.url))
    status = answer.get("status")
    if answer.get("ok"):
        return sent(f"{scheme} took it", status)
    if answer.get("refused"):
        return refused(f"not sent: {answer['refused']}, and the channel does not allow private addresses")
    if answer.get("unknown"):
        return refused(f"{scheme}: {detail}")
    if status is not None and 400 <= status < 500 and status not in TRANSIENT:
        return refused(f"{scheme} answered {status}: {detail}", status)
    return failed(f"{scheme}: {detail or 'not sent'}", answer.get("retry_after_s"), status)


def _ask(request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """What the process answers; never raises for what it does."""
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    try:
        ended = subprocess.run(  # noqa: S603  # our own module
            CHILD,
            input=orjson.dumps(request),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what a sender prints may hold the URL
            timeout=timeout_s + START_S,
            env=environment,
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no end within {timeout_s + START_S:g} s"}
    except OSError as error:
        return {"error": f"cannot start the process that sends: {error.strerror}"}
    try:
        answer = orjson.loads(ended.stdout)
    except orjson.JSONDecodeError:
        answer = None
    return (
        answer
        if isinstance(answer, dict)
        else {"error": f"the process that sends ended with {ended.returncode}"}
    )


APPRISE = ChannelType(
    name="apprise",
    summary="a URL of Apprise: Slack, mail and a hundred others",
    example={"type": "apprise", "url": "mailto://klomp:password@example.com?to=ops@example.com"},
    settings=AppriseSettings,
    mask_url=mask_all_but_scheme,
    send=send,
    check=check,
    batch_max=20,
)
