"""Rules as saved documents: checked when saved, and shown with how they stand."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar

from dsl.errors import QueryError
from dsl.forms import Form
from dsl.reader import read
from server.alerts.rule import Rule, read_rule
from server.alerts.shown import shown_alert, shown_notification
from server.alerts.warnings import warnings_of
from server.alerts.windows import newest, shift_of
from server.documents import Kind, body_mistake
from storage.alerts import AlertRow, AlertTables, RuleRow
from storage.documents import Document, Documents
from storage.notifications import Notifications
from storage.times import shown_time

RULE = "rule"
RESERVED = ("test", "replay")  # what stands behind /v1/rules/ for itself
NOTIFICATIONS_SHOWN = 20  # of one rule, the newest: /v1/alerts/history has the rest


class RuleKind(Kind):
    """What is special about rules.

    Args:
        documents: Where the channels are that a rule may name.
        tables: How rules stand.
        notifications: What they owe and owed.
        streams: Gives the names of the streams that there are.
        clock: Microseconds since 1970.
    """

    name: ClassVar[str] = RULE

    def __init__(
        self,
        documents: Documents,
        tables: AlertTables,
        notifications: Notifications,
        streams: Callable[[], Collection[str]],
        clock: Callable[[], int],
    ) -> None:
        self._documents = documents
        self._tables = tables
        self._notifications = notifications
        self._streams = streams
        self._clock = clock

    def check(self, name: str, form: Form) -> Form:
        """The rule that a form is, as it is kept.

        Raises:
            QueryError: everything that is wrong with it.
        """
        if name in RESERVED:
            raise body_mistake("bad-name", f"no rule can be called {name}", form, "choose another name")
        read_rule(form, name)
        return form

    def summary(self, document: Document) -> dict[str, Any]:
        """What a list says of a rule: its state is that of its worst alert, or `failing`."""
        row, alerts = self._tables.rule(document.name), self._tables.alerts(document.name)
        return {
            "state": _state(row, alerts),
            "alerts": {state: sum(one.state == state for one in alerts) for state in ("firing", "pending")},
            "last_evaluation": None if row is None else shown_time(row.last_us),
        }

    def details(self, document: Document) -> dict[str, Any]:
        """How a rule stands, its alerts and its newest notifications."""
        row, alerts = self._tables.rule(document.name), self._tables.alerts(document.name)
        silences, acknowledgements = self._tables.silences(), self._tables.acknowledgements()
        now_us = self._clock()
        rule, warnings = self._read(document)
        owed = self._notifications.list(rule=document.name, limit=NOTIFICATIONS_SHOWN)
        return {
            "state": _state(row, alerts),
            "last_evaluation": None if row is None else shown_time(row.last_us),
            "next_evaluation": None if rule is None else shown_time(_next_us(rule, now_us)),
            "evaluations": 0 if row is None else row.evaluations,
            "missed": 0 if row is None else row.missed,
            "made_up": 0 if row is None else row.made_up,
            "failed": 0 if row is None else row.errors,
            "failing": 0 if row is None else row.failing,
            "outcome": None if row is None else row.outcome,
            "warnings": warnings,
            "alerts": [shown_alert(one, silences, acknowledgements, now_us) for one in alerts],
            "notifications": [shown_notification(one) for one in owed],
        }

    def warnings(self, document: Document) -> list[dict[str, str]]:
        """What to know of it, such as a channel that is not there."""
        return self._read(document)[1]

    def _read(self, document: Document) -> tuple[Rule | None, list[dict[str, str]]]:
        """What a rule says, and what to know of it."""
        try:
            rule = read_rule(read(document.body), document.name)
        except QueryError as error:
            first = error.mistakes[0]
            return None, [{"code": first.code, "message": first.message, "hint": first.hint or ""}]
        channels = {one.name for one in self._documents.list("channel")}
        return rule, [
            *warnings_of(rule, self._streams()),
            *(
                {
                    "code": "unknown-channel",
                    "message": f"no channel {name!r}: nobody is told",
                    "hint": f"klomp channels put {name} FILE, or PUT /v1/channels/{name}",
                }
                for name in rule.notify
                if name not in channels
            ),
        ]


def _next_us(rule: Rule, now_us: int) -> int:
    return newest(now_us, rule.every_us, shift_of(rule.name, rule.every_us)) + rule.every_us


def _state(row: RuleRow | None, alerts: list[AlertRow]) -> str:
    if row is not None and row.failing:
        return "failing"
    states = {one.state for one in alerts}
    return next((state for state in ("firing", "pending") if state in states), "inactive")
