"""The channel `webhook`: a POST of JSON that is signed, for a program of yours.

    Klomp-Delivery: 1f0e…                        the same when it is sent again
    Klomp-Timestamp: 1767348245                  seconds since 1970, when it was sent
    Klomp-Signature: v1=9a0c…                    HMAC-SHA256 over `<timestamp>.<body>`, in hexadecimal digits

The time is part of what is signed, so that a receiver can refuse what is old: who records a request cannot use it
again later. https://www.rfc-editor.org/rfc/rfc2104
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, ClassVar, Literal

import orjson
from pydantic import Field

from server.notify.channels.base import ChannelType, HttpSettings, Secret, Sending
from server.notify.http import Post, post
from server.notify.message import TEXT_CHARACTERS_MAX, Message, text_template, title_template
from server.notify.outcome import Outcome, refused
from server.notify.secrets import mask_url
from server.notify.text import fit
from storage.times import US_PER_S, format_time, shown_time

VERSION = 1  # of the body; it rises when a key changes its meaning
BODY_BYTES_MAX = 1 << 20  # what web servers take without being asked to


class WebhookSettings(HttpSettings):
    """What can be set of a webhook."""

    secrets: ClassVar[tuple[str, ...]] = ("secret", "token")

    type: Literal["webhook"]
    secret: Secret | None = Field(
        None, min_length=16, description="secret: the key that requests are signed with"
    )


def signature(secret: str, timestamp_s: int, body: bytes) -> str:
    """The value of `Klomp-Signature`."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp_s + body, hashlib.sha256)
    return f"v1={digest.hexdigest()}"


def send(settings: WebhookSettings, message: Message, sending: Sending) -> Outcome:
    """Send a message."""
    body = orjson.dumps(_body(settings, message, samples=True))
    if len(body) > BODY_BYTES_MAX:
        body = orjson.dumps(_body(settings, message, samples=False))
    if len(body) > BODY_BYTES_MAX:
        return refused(f"not sent: {len(body)} bytes, more than the {BODY_BYTES_MAX} of a webhook")
    timestamp_s = message.sent_us // US_PER_S
    headers = {
        "Klomp-Delivery": message.id,
        "Klomp-Timestamp": str(timestamp_s),
        **settings.authorization(),
    }
    if settings.secret is not None:
        headers["Klomp-Signature"] = signature(settings.secret, timestamp_s, body)
    request = Post(settings.url, body, headers, settings.timeout_s, settings.allow_private)
    return post(request, message.sent_us, sending.resolve)


def _body(settings: WebhookSettings, message: Message, *, samples: bool) -> dict[str, Any]:
    return {
        "version": VERSION,
        "id": message.id,
        "channel": message.channel,
        "status": message.status,
        "title": message.title(title_template(settings.title)),
        "text": fit(message.blocks(text_template(settings.text)), TEXT_CHARACTERS_MAX),
        "group": dict(message.group),
        "alerts": [
            {
                "id": alert.id,
                "rule": alert.rule,
                "status": alert.status,
                "fingerprint": alert.fingerprint,
                "labels": dict(alert.labels),
                "annotations": dict(alert.annotations),
                "starts_at": format_time(alert.starts_us),
                "ends_at": shown_time(alert.ends_us),
                "value": dict(alert.value),
                "samples": [dict(record) for record in alert.samples] if samples else [],
                "samples_left_out": 0 if samples else len(alert.samples),
                "url": message.link(alert),
            }
            for alert in message.alerts
        ],
    }


WEBHOOK = ChannelType(
    name="webhook",
    summary="a signed POST of JSON, for a program of yours",
    example={
        "type": "webhook",
        "url": "https://hooks.example.com/klomp",
        "secret": "at least sixteen characters",
    },
    settings=WebhookSettings,
    mask_url=mask_url,
    send=send,
)
