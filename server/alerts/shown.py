"""Alerts, changes of state, silences and notifications as answers have them: plain data, times as RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from server.alerts.evaluator import alert_of, silence_of
from storage.alerts import Acknowledgement, AlertRow, HistoryRow, SilenceRow
from storage.notifications import Notification
from storage.times import shown_time


def shown_alert(
    row: AlertRow,
    silences: Sequence[SilenceRow],
    acknowledgements: Mapping[tuple[str, str, int], Acknowledgement],
    now_us: int,
) -> dict[str, Any]:
    """An alert, with who keeps it quiet."""
    alert = alert_of(row.alert)
    noted = acknowledgements.get((row.rule, row.fingerprint, alert.active_us))
    return {
        "rule": row.rule,
        "fingerprint": row.fingerprint,
        "state": alert.state,
        "kind": alert.kind,
        "labels": alert.labels,
        "annotations": alert.annotations,
        "value": alert.value,
        "active": shown_time(alert.active_us),
        "fired": shown_time(alert.fired_us),
        "resolved": shown_time(alert.resolved_us),
        "silenced": [one.id for one in silences if silence_of(one).covers(alert.labels, now_us)],
        "acknowledged": None
        if noted is None
        else {"note": noted.note, "author": noted.author, "at": shown_time(noted.at_us)},
        "told": {
            channel: {"status": status, "at": shown_time(at_us)}
            for channel, (status, at_us) in sorted(alert.told.items())
        },
    }


def shown_change(row: HistoryRow) -> dict[str, Any]:
    """A change of state."""
    return {
        "id": row.id,
        "at": shown_time(row.at_us),
        "rule": row.rule,
        "fingerprint": row.fingerprint,
        "was": row.was,
        "state": row.state,
        "labels": row.labels,
        "value": row.value,
    }


def shown_silence(row: SilenceRow, now_us: int) -> dict[str, Any]:
    """A silence."""
    silence = silence_of(row)
    return {
        "id": row.id,
        "state": silence.state(now_us),
        "matchers": [str(one) for one in silence.matchers],
        "starts": shown_time(row.starts_us),
        "ends": shown_time(row.ends_us),
        "author": row.author,
        "comment": row.comment,
    }


def shown_notification(one: Notification) -> dict[str, Any]:
    """A notification and its outcome, without what it says."""
    return {
        "id": one.id,
        "rule": one.rule,
        "fingerprint": one.fingerprint,
        "labels": one.payload.get("labels") or {},
        "channel": one.channel,
        "kind": one.kind,
        "status": one.payload.get("status"),
        "state": one.state,
        "created": shown_time(one.created_us),
        "due": shown_time(one.due_us),
        "next": shown_time(one.next_us) if one.state in ("pending", "failed") else None,
        "sent": shown_time(one.sent_us),
        "attempts": one.attempts,
        "error": one.error,
    }
