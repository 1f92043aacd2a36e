"""A notification as it is sent: one or several alerts of a group, and the texts that are made of them.

An alert comes from the outbox as JSON:

    {"rule": "checkout-errors", "status": "firing", "fingerprint": "5f2c…", "labels": {"service": "edge"},
     "annotations": {"summary": "edge: 12 errors in 5m"}, "starts_us": 1767348245000000, "ends_us": null,
     "value": {"n": 12}, "samples": [{"timestamp": "…", "message": "…"}], "generator": "/v1/rules/checkout-errors"}
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from server.notify.text import Template, bounded, listed, read_template, shown
from storage.times import format_time

Status = Literal["firing", "resolved"]

TITLE = "[{status}] {rule}"
TEXT = "{summary}\n{labels}\n{values}\nsince {starts}\n{samples}\n{link}"
TITLE_NAMES = ("status", "rule", "channel", "count", "firing", "resolved", "summary")
TITLE_PREFIXES = ("labels.",)
TEXT_NAMES = (
    "status",
    "rule",
    "summary",
    "labels",
    "annotations",
    "values",
    "starts",
    "ends",
    "samples",
    "link",
    "fingerprint",
)
TEXT_PREFIXES = ("labels.", "annotations.", "values.")

TITLE_CHARACTERS_MAX = 200  # what mail programs and chats show of a subject
TEXT_CHARACTERS_MAX = 32_000  # below what any channel takes; one that takes less cuts further
SAMPLE_CHARACTERS_MAX = 300  # of a record within a text: its beginning tells what it is
SAMPLES_MAX = 10  # of an alert within a text
RULES_NAMED_MAX = 3  # of a group over several rules, in a title
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a notification.

    `id` is the outbox's number of it, `value` the columns that the rule looked at; until `until_us` it can be taken to
    fire when nothing more is heard of it.
    """

    id: int
    rule: str
    status: Status
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_us: int
    ends_us: int | None
    value: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]
    generator: str
    until_us: int | None = None

    @classmethod
    def of(cls, number: int, payload: Mapping[str, Any]) -> Alert:
        """The alert of an entry of the outbox."""
        return cls(
            number,
            str(payload["rule"]),
            "resolved" if payload["status"] == "resolved" else "firing",
            str(payload["fingerprint"]),
            {str(name): shown(value) for name, value in (payload.get("labels") or {}).items()},
            {str(name): shown(value) for name, value in (payload.get("annotations") or {}).items()},
            int(payload["starts_us"]),
            payload.get("ends_us"),
            payload.get("value") or {},
            tuple(payload.get("samples") or ()),
            str(payload.get("generator") or ""),
            payload.get("until_us"),
        )


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent at once.

    Attributes:
        channel: The name of the channel.
        group: What the alerts have in common, by the channel's grouping.
        alerts: One at least, the oldest first.
        sent_us: When it is sent.
        public_url: What links begin with, such as `https://logs.example.com`; empty for none.
    """

    channel: str
    group: Mapping[str, str]
    alerts: tuple[Alert, ...]
    sent_us: int
    public_url: str = ""

    @property
    def status(self) -> Status:
        """Firing while one of the alerts is."""
        return "firing" if any(alert.status == "firing" for alert in self.alerts) else "resolved"

    @property
    def id(self) -> str:
        """The same for the same alerts: who gets it twice can tell."""
        text = ",".join(str(alert.id) for alert in self.alerts)
        return hashlib.sha256(f"{self.channel}:{text}".encode()).hexdigest()[:24]

    def link(self, alert: Alert) -> str:
        """Where to read on about an alert; empty where the server's address is not set."""
        return self.public_url.rstrip("/") + alert.generator if self.public_url and alert.generator else ""

    def title(self, template: Template) -> str:
        """The title, on one line."""
        text = " ".join(clean(template.render(self._titled)).split())
        return bounded(text, TITLE_CHARACTERS_MAX)

    def blocks(self, template: Template) -> list[str]:
        """A text for each alert; lines that came out empty are left out."""
        return [_without_blanks(clean(template.render(_Told(self, one)))) for one in self.alerts]

    def _titled(self, name: str) -> str:
        if name.startswith("labels."):
            found = {alert.labels.get(name.removeprefix("labels."), "") for alert in self.alerts}
            return found.pop() if len(found) == 1 else ""
        firing = sum(alert.status == "firing" for alert in self.alerts)
        rules = list(dict.fromkeys(alert.rule for alert in self.alerts))
        named = ", ".join(rules[:RULES_NAMED_MAX])
        return {
            "status": self.status,
            "rule": named
            if len(rules) <= RULES_NAMED_MAX
            else f"{named} and {len(rules) - RULES_NAMED_MAX} more",
            "channel": self.channel,
            "count": str(len(self.alerts)),
            "firing": str(firing),
            "resolved": str(len(self.alerts) - firing),
            "summary": self.alerts[0].annotations.get("summary", ""),
        }[name]


@dataclass(frozen=True, slots=True)
class _Told:
    """What the names of a text stand for."""

    message: Message
    alert: Alert

    def __call__(self, name: str) -> str:
        alert = self.alert
        kind, _, key = name.partition(".")
        if key:
            return shown(
                {"labels": alert.labels, "annotations": alert.annotations, "values": alert.value}[kind].get(
                    key
                )
            )
        return {
            "status": alert.status,
            "rule": alert.rule,
            "summary": alert.annotations.get("summary") or f"{alert.rule} is {alert.status}",
            "labels": listed(alert.labels),
            "annotations": listed(alert.annotations),
            "values": listed(alert.value),
            "starts": format_time(alert.starts_us),
            "ends": "" if alert.ends_us is None else format_time(alert.ends_us),
            "samples": "\n".join(_sample(record) for record in alert.samples[:SAMPLES_MAX]),
            "link": self.message.link(alert),
            "fingerprint": alert.fingerprint,
        }[name]


def title_template(text: str) -> Template:
    """The template of a title.

    Raises:
        BadTemplate: it is none.
    """
    return read_template(text, TITLE_NAMES, TITLE_PREFIXES)


def text_template(text: str) -> Template:
    """The template of an alert's text.

    Raises:
        BadTemplate: it is none.
    """
    return read_template(text, TEXT_NAMES, TEXT_PREFIXES)


def clean(text: str) -> str:
    """A text without what terminals and mail headers obey: it holds what others logged."""
    return _CONTROL.sub(" ", text)


def _without_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n") if line.strip())


def _sample(record: Mapping[str, Any]) -> str:
    """A record on one line: time, level, message; all of it where it has no message."""
    telling = [
        shown(record[name]) for name in ("timestamp", "level", "message") if record.get(name) is not None
    ]
    text = " ".join(telling) if record.get("message") else orjson.dumps(record, default=str).decode()
    return bounded(" ".join(text.split()), SAMPLE_CHARACTERS_MAX)
