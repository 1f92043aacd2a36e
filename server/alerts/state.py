"""The states of alerts: what becomes of them at one evaluation, and who has to be told. No clock, no store: pure.

The states and constants are Prometheus's, so that nobody has to learn others:

    inactive --found--> pending --found for `:for`--> firing --not found for `:keep-firing-for`--> resolved
                           `-- not found --> inactive

A rule without `:for` fires at once. A resolved alert is kept for a while, so that its end can be told again; found once
more, it begins anew. https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

S_US = 1_000_000
MINUTE_US = 60 * S_US

RESOLVED_KEPT_US = 15 * MINUTE_US  # for so long the end of an alert is told to an Alertmanager again
RESEND_US = (
    MINUTE_US  # how often an Alertmanager is told that an alert still fires: it forgets what it does not hear
)
OUTAGE_TOLERANCE_US = 60 * MINUTE_US  # after a longer gap, what was pending begins anew
GRACE_US = 10 * MINUTE_US  # after a gap nothing fires earlier than this, so that its end can be seen first
UNTIL_TIMES = 4  # an alert may be missed for so many sendings or evaluations before it is taken to have ended
FINGERPRINT_DIGITS = 16  # as Prometheus's: 64 bits never clash among the alerts of one installation

State = Literal["pending", "firing", "resolved"]
Kind = Literal["group", "absent", "failing"]
Told = Literal["firing", "resolved", "repeat"]
Labels = dict[str, str]


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """What identifies an alert: 16 hex digits of its labels, in whatever order they come."""
    text = orjson.dumps(sorted(labels.items()))
    return hashlib.blake2b(text, digest_size=FINGERPRINT_DIGITS // 2).hexdigest()


@dataclass(frozen=True, slots=True)
class Found:
    """An alert that should be active, as one evaluation sees it.

    Attributes:
        kind: Why: a group for which the condition holds, one that has fallen silent, or the rule's own failure.
        labels: What identifies it.
        annotations: What people read, filled in.
        value: The columns of its group.
        for_us: How long it must be found before it fires.
    """

    kind: Kind
    labels: Labels
    annotations: Labels
    value: dict[str, Any]
    for_us: int = 0


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that is active, or was a moment ago.

    Attributes:
        active_us: Since when it has been found. A gap in the evaluations may move it.
        fired_us: When it began to fire.
        keep_us: Since when it has not been found while it fires on; None while it is found.
        resolved_us: When it ended.
        told: What each channel was told last, and when: `{"ops": ("firing", 1767225600000000)}`.
    """

    kind: Kind
    labels: Labels
    annotations: Labels
    value: dict[str, Any]
    state: State
    active_us: int
    fired_us: int | None = None
    keep_us: int | None = None
    resolved_us: int | None = None
    told: dict[str, tuple[Literal["firing", "resolved"], int]] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether it is pending or firing."""
        return self.state != "resolved"


Alerts = dict[str, Alert]
"""The alerts of one rule by their fingerprints."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state; `inactive` is no alert at all."""

    fingerprint: str
    alert: Alert
    was: State | Literal["inactive"]
    state: State | Literal["inactive"]
    at_us: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one evaluation made of the alerts."""

    alerts: Alerts
    transitions: tuple[Transition, ...]


def step(alerts: Mapping[str, Alert], found: Mapping[str, Found], at_us: int, keep_firing_us: int) -> Step:
    """The alerts after an evaluation.

    Args:
        alerts: Those before it.
        found: All that should be active now, by fingerprint.
        at_us: The time of the evaluation.
        keep_firing_us: How long the alert of a group fires on when it is not found any more.
    """
    after: Alerts = {}
    changes: list[Transition] = []
    for fingerprint in alerts.keys() | found.keys():
        old, now = alerts.get(fingerprint), found.get(fingerprint)
        if now is not None:
            new: Alert | None = _go_on(old, now, at_us)
        else:
            assert old is not None
            new = _end(old, at_us, keep_firing_us if old.kind == "group" else 0)
        if new is not None:
            after[fingerprint] = new
        was = "inactive" if old is None else old.state
        state = "inactive" if new is None else new.state
        begun_again = old is not None and not old.active and new is not None and new.active
        if was != state:
            shown = new or old
            assert shown is not None
            if (was, state) != ("resolved", "inactive"):  # that it is forgotten is no news
                before = "inactive" if begun_again else was
                changes.append(Transition(fingerprint, shown, before, state, at_us))
    return Step(after, tuple(sorted(changes, key=lambda change: sorted(change.alert.labels.items()))))


def _go_on(old: Alert | None, now: Found, at_us: int) -> Alert:
    """An alert that is found."""
    if old is None or not old.active:
        old = Alert(now.kind, now.labels, now.annotations, now.value, "pending", at_us)
    fires = old.state == "pending" and at_us - old.active_us >= now.for_us
    return replace(
        old,
        kind=now.kind,
        annotations=now.annotations,
        value=now.value,
        state="firing" if fires else old.state,
        fired_us=at_us if fires else old.fired_us,
        keep_us=None,
    )


def _end(old: Alert, at_us: int, keep_firing_us: int) -> Alert | None:
    """An alert that is not found; None when nothing is left of it."""
    if old.state == "pending":
        return None
    if old.state == "resolved":
        assert old.resolved_us is not None
        return None if at_us - old.resolved_us > RESOLVED_KEPT_US else old
    if keep_firing_us > 0:
        since_us = at_us if old.keep_us is None else old.keep_us
        if at_us - since_us < keep_firing_us:
            return replace(old, keep_us=since_us)
    return replace(old, state="resolved", resolved_us=at_us)


def restore(alerts: Mapping[str, Alert], last_us: int, at_us: int, for_us: int) -> Alerts:
    """The alerts as they stand after a gap in which nothing was evaluated, so that `:for` survives a restart.

    What was pending goes on as if the gap had not been, but fires no earlier than the grace after it. It begins anew
    where the gap was too long, or `:for` is shorter than the grace. What fires goes on firing until an evaluation does
    not find it: whoever was told that it fires is told when it ends.

    Args:
        alerts: Those before the gap.
        last_us: The time of the last evaluation before it.
        at_us: The time of the first one after it.
        for_us: How long the rule's alerts are pending.
    """
    after: Alerts = {}
    for fingerprint, alert in alerts.items():
        if alert.state != "pending":
            after[fingerprint] = alert
            continue
        active_us = at_us
        if at_us - last_us <= OUTAGE_TOLERANCE_US and for_us >= GRACE_US:
            remaining_us = for_us - (last_us - alert.active_us)
            if remaining_us <= 0:
                active_us = alert.active_us
            elif remaining_us < GRACE_US:
                active_us = at_us + GRACE_US - for_us
            else:
                active_us = alert.active_us + (at_us - last_us)
        after[fingerprint] = replace(alert, active_us=active_us)
    return after


@dataclass(frozen=True, slots=True)
class Resend:
    """How often a channel is told again; None is never.

    Attributes:
        firing_us: That an alert still fires.
        resolved_us: That it has ended, for as long as it is kept.
    """

    firing_us: int | None = None
    resolved_us: int | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """Something that a channel has to be told of an alert."""

    fingerprint: str
    channel: str
    kind: Told


def owed(
    alerts: Mapping[str, Alert],
    channels: Mapping[str, Resend],
    at_us: int,
    quiet: Callable[[str, Alert], Literal["silenced", "acknowledged"] | None],
) -> Iterator[Telling]:
    """What channels have to be told at an evaluation.

    A channel is told once that an alert fires and, if it was told that, once that it has ended, whatever else; and
    again as often as it wants. While an alert is silenced nobody is told that it fires, while it is acknowledged nobody
    is told so again.

    Args:
        alerts: As they stand after the evaluation.
        channels: Those of the rule.
        at_us: The time of the evaluation.
        quiet: Why an alert is to be kept quiet, by its fingerprint; asked only where somebody would be told.
    """
    for fingerprint, alert in alerts.items():
        if alert.state == "pending":
            continue
        firing = alert.state == "firing"
        # Who was told that it fires hears of its end, even when the rule does not name him any more.
        names = channels if firing else {**dict.fromkeys(alert.told, Resend()), **channels}
        for channel, resend in names.items():
            told = alert.told.get(channel)
            kind = _due(told, resend, at_us, firing=firing)
            if kind is None:
                continue
            if (firing or kind == "repeat") and quiet(fingerprint, alert) is not None:
                continue
            yield Telling(fingerprint, channel, kind)


def _due(
    told: tuple[Literal["firing", "resolved"], int] | None, resend: Resend, at_us: int, *, firing: bool
) -> Told | None:
    """What is to be told to a channel that was told this before."""
    if told is None:
        return "firing" if firing else None
    was, last_us = told
    if was == "firing" and not firing:
        return "resolved"
    again_us = resend.firing_us if firing else resend.resolved_us
    return "repeat" if again_us is not None and at_us - last_us >= again_us else None


def noted(alerts: Mapping[str, Alert], tellings: list[Telling], at_us: int) -> Alerts:
    """The alerts with it written down who was told what."""
    after = dict(alerts)
    for one in tellings:
        alert = after[one.fingerprint]
        status: Literal["firing", "resolved"] = "firing" if alert.state == "firing" else "resolved"
        after[one.fingerprint] = replace(alert, told={**alert.told, one.channel: (status, at_us)})
    return after
