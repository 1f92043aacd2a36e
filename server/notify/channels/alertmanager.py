"""The channel `alertmanager`: alerts for Prometheus's Alertmanager, by its API v2, which groups and routes them itself.

    POST /api/v2/alerts
    [{"labels": {"alertname": "checkout-errors", "service": "edge"}, "annotations": {…},
      "startsAt": "…Z", "endsAt": "…Z", "generatorURL": "https://…/v1/rules/checkout-errors"}]

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. A firing alert is sent with an `endsAt` that
lies ahead, as Prometheus does: should klomp be gone for good the alert ends by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import orjson
from pydantic import Field

from server.notify.channels.base import WAIT_S_MAX, ChannelType, HttpSettings, Seconds, Sending
from server.notify.http import Post, post
from server.notify.message import Alert, Message, clean
from server.notify.outcome import Outcome
from server.notify.secrets import mask_path_kept
from server.notify.text import bounded, shown
from storage.times import US_PER_S, format_time

ALERTS_PATH = "/api/v2/alerts"
ENDS_AHEAD_S = 4 * 60  # Prometheus's: four times the minute after which alerts are sent again
VALUE_CHARACTERS_MAX = 4096  # of a label or an annotation
_BAD_IN_NAME = re.compile(r"[^a-zA-Z0-9_]")


class AlertmanagerSettings(HttpSettings):
    """What can be set of an Alertmanager."""

    type: Literal["alertmanager"]
    # It groups and waits by itself: waiting here as well would only make it late.
    group_by: tuple[str, ...] = Field(
        (), max_length=16, description="alerts that agree in these labels go out together"
    )
    group_wait_s: Seconds = Field(
        0, ge=0, le=WAIT_S_MAX, description="how long the first alert of a group waits for others"
    )


def send(settings: AlertmanagerSettings, message: Message, sending: Sending) -> Outcome:
    """Send a message."""
    body = orjson.dumps([_alert(message, alert) for alert in message.alerts])
    url = settings.url.rstrip("/").removesuffix(ALERTS_PATH) + ALERTS_PATH  # as it is often copied
    request = Post(url, body, settings.authorization(), settings.timeout_s, settings.allow_private)
    return post(request, message.sent_us, sending.resolve)


def _alert(message: Message, alert: Alert) -> dict[str, Any]:
    ahead_us = alert.until_us or message.sent_us + ENDS_AHEAD_S * US_PER_S
    ends_us = alert.ends_us if alert.status == "resolved" and alert.ends_us is not None else ahead_us
    return {
        "labels": names_allowed({"alertname": alert.rule, **alert.labels}),
        "annotations": names_allowed({**_values(alert), **alert.annotations}),
        "startsAt": format_time(alert.starts_us),
        "endsAt": format_time(ends_us),
        "generatorURL": message.link(alert),
    }


def _values(alert: Alert) -> dict[str, str]:
    return {f"value_{name}": shown(value) for name, value in alert.value.items()}


def names_allowed(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels under names that Alertmanager takes, letters, digits and `_`, no digit first: `http_status`.

    Two names that become one are told apart by a number; a label without a value is none.
    """
    out: dict[str, str] = {}
    for name, value in labels.items():
        text = bounded(clean(value), VALUE_CHARACTERS_MAX)
        if not text:
            continue
        allowed = _BAD_IN_NAME.sub("_", name) or "_"
        allowed = f"_{allowed}" if allowed[0].isdigit() else allowed
        unique, number = allowed, 2
        while unique in out:
            unique, number = f"{allowed}_{number}", number + 1
        out[unique] = text
    return out


ALERTMANAGER = ChannelType(
    name="alertmanager",
    summary="alerts for Prometheus's Alertmanager, which groups and routes them",
    example={"type": "alertmanager", "url": "https://alertmanager.example.com"},
    settings=AlertmanagerSettings,
    mask_url=mask_path_kept,
    send=send,
)
