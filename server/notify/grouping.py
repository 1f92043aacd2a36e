"""Which notifications go out together, and when: by what their labels agree in, the newest word on each alert.

    outbox of a channel          batches
    1 edge firing      \
    2 api firing        >  {rule: errors} -> edge resolved (1, 3), api firing (2)
    3 edge resolved    /

What was overtaken while it waited is not sent by itself: who hears that an alert is over needs not hear first that it
began. It counts as sent with the one that overtook it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from server.notify.text import shown
from storage.notifications import Notification

RULE = "rule"  # stands for the rule's name among the labels to group by


@dataclass(frozen=True, slots=True)
class Batch:
    """What goes out as one message.

    Attributes:
        group: The labels that they agree in.
        newest: Of each alert the newest notification, the oldest first.
        all: With those that were overtaken.
        ready_us: Not before this time is it sent.
    """

    group: dict[str, str]
    newest: tuple[Notification, ...]
    all: tuple[Notification, ...]
    ready_us: int


def batches(
    waiting: Iterable[Notification], group_by: Sequence[str], wait_us: int, batch_max: int
) -> list[Batch]:
    """The messages that what waits makes, the longest waiting first.

    Args:
        waiting: What is owed to one channel, by id.
        group_by: Labels; `rule` is the name of the rule.
        wait_us: How long the first one of a group waits for others.
        batch_max: So many alerts are in one message at most.
    """
    groups: dict[tuple[str, ...], list[Notification]] = {}
    for one in waiting:
        groups.setdefault(tuple(_label(one, name) for name in group_by), []).append(one)
    out: list[Batch] = []
    for key, members in groups.items():
        group = dict(zip(group_by, key, strict=True))
        ready_us = _ready_us(members, wait_us)
        alerts: dict[tuple[str, str], list[Notification]] = {}
        for one in members:
            alerts.setdefault((one.rule, one.fingerprint), []).append(one)
        words = list(alerts.values())
        for start in range(0, len(words), batch_max):
            part = words[start : start + batch_max]
            out.append(
                Batch(
                    group,
                    tuple(told[-1] for told in part),
                    tuple(one for told in part for one in told),
                    ready_us,
                )
            )
    return sorted(out, key=lambda batch: (batch.ready_us, batch.all[0].id))


def _ready_us(members: Sequence[Notification], wait_us: int) -> int:
    """When a group may go: after its wait, or when what failed may be tried again. New ones go with those."""
    tried = [one.next_us for one in members if one.attempts]
    return max(tried) if tried else min(one.due_us for one in members) + wait_us


def _label(one: Notification, name: str) -> str:
    labels: dict[str, Any] = one.payload.get("labels") or {}
    return one.rule if name == RULE and RULE not in labels else shown(labels.get(name))
