"""From the groups of a rule's query to the alerts that should be active: pure, whoever asked the query.

The labels of an alert are those of the rule, the keys of its group (a key without a value gives none) and the rule's
name. A group that the rule knows and that has had no record for `:when-absent` is an alert of its own, with the label
`absent`; it is forgotten after a day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsl.aggregates.max import Max
from dsl.ast import Named, Query
from dsl.record import TIMESTAMP
from dsl.table import empty_row
from dsl.time import UNITS_US, format_duration, rfc3339
from server.alerts.rule import ABSENT_LABEL, ALERT_NAME, Rule
from server.alerts.state import Found, Labels, fingerprint_of
from server.alerts.template import fill_all, label_text
from server.alerts.when import Columns

ALERTS_MAX = 1000  # of one rule: more are no alerts any more, and cost everybody who is told
ABSENT_KEPT_US = UNITS_US[
    "d"
]  # a silent group is remembered so long: an alert that nobody minds for a day is none
FAILING_NAME = "RuleFailing"  # what the alert of a rule about itself is called
FAILING_AFTER = 3  # errors in a row: one may be a restart, two a slow disk

LAST_COLUMN = "%last"  # the time of a group's newest record, asked for where silence is an alert

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """The groups of a query, and what is to be said of them."""

    rows: Sequence[Row]
    warnings: tuple[str, ...] = ()


Ask = Callable[[Query, int], Answered]
"""Answers a query, with what `now` is in it, microseconds."""


class RuleError(Exception):
    """An evaluation that came to nothing: a code, what happened, and a way out."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Known:
    """A group that a rule has seen: its labels, and the time of its newest record, microseconds."""

    labels: Labels
    seen_us: int


@dataclass(frozen=True, slots=True)
class Findings:
    """What one evaluation found.

    Attributes:
        found: The alerts that should be active, by fingerprint.
        known: The groups that the rule knows after it, by the fingerprint of their labels.
        rows: How many groups there were.
        warnings: What to know about it.
    """

    found: dict[str, Found]
    known: dict[str, Known]
    rows: int
    warnings: tuple[str, ...] = ()


def asked_query(rule: Rule) -> Query:
    """The query that is asked: the rule's, and where silence is an alert, the time of each group's newest record."""
    if rule.when_absent_us is None:
        return rule.query
    assert rule.query.aggregate is not None
    newest = Named(name=LAST_COLUMN, call=Max(field=TIMESTAMP))
    return rule.query.model_copy(update={"aggregate": (*rule.query.aggregate, newest)})


def evaluate(
    rule: Rule, known: Mapping[str, Known], at_us: int, ask: Ask, analyse: Callable[[str], list[str]]
) -> Findings:
    """What a rule finds at a time.

    Args:
        rule: The rule.
        known: The groups that it knew before.
        at_us: The time of the evaluation; the query's `now` is `delay` earlier.
        ask: Who answers queries.
        analyse: The words of a text as the index has them.

    Raises:
        RuleError: there are more than ALERTS_MAX alerts.
        QueryError, StoreError: the query cannot be answered.
    """
    now_us = at_us - rule.delay_us
    query = asked_query(rule)
    answered = ask(query, now_us)
    # What :having hides now need not be hidden earlier.
    every = rule.query.model_copy(update={"having": None})
    before = {ago_us: _by_group(rule, ask(every, now_us - ago_us).rows) for ago_us in rule.when.agos_us}
    nothing = empty_row(rule.query)
    holds = rule.when.holds(analyse, now_us)
    found: dict[str, Found] = {}
    seen: dict[str, Known] = {}
    warnings = list(answered.warnings)
    for row in answered.rows:
        last = row.get(LAST_COLUMN)
        columns = {name: value for name, value in row.items() if name != LAST_COLUMN}
        keys = _group_of(rule, row)
        labels = labels_of(rule, columns)
        fingerprint = fingerprint_of(labels)
        if rule.when_absent_us is not None and (last is not None or rule.query.group_by):
            seen_us = now_us if last is None else rfc3339(str(last)) or now_us
            if fingerprint not in seen or seen[fingerprint].seen_us < seen_us:
                seen[fingerprint] = Known(labels, seen_us)
        if not holds(columns, lambda ago_us, keys=keys: before[ago_us].get(keys, nothing)):  # type: ignore[misc]
            continue
        if fingerprint in found:
            warnings.append(f"two groups have the labels {_shown(labels)}: one alert for both")
            continue
        texts = fill_all(rule.annotations, labels.items(), columns.items())
        found[fingerprint] = Found("group", labels, texts, columns, rule.for_us)
        if len(found) > ALERTS_MAX:
            raise too_many_alerts()
    remembered = _remember(rule, known, seen, now_us)
    found |= _absent(rule, remembered, now_us)
    if len(found) > ALERTS_MAX:
        raise too_many_alerts()
    return Findings(found, remembered, len(answered.rows), tuple(warnings))


def labels_of(rule: Rule, columns: Columns) -> Labels:
    """What identifies the alert of a group."""
    keys = {
        key.name: label_text(columns[key.name])
        for key in rule.query.group_by
        if columns[key.name] is not None
    }
    return {ALERT_NAME: rule.name, **rule.labels, **keys}


def failing(rule: str, labels: Labels, error: RuleError) -> dict[str, Found]:
    """The alert of a rule about itself, by the rule's name and the labels that it gives."""
    labels = {ALERT_NAME: FAILING_NAME, "rule": rule, **labels}
    texts = {"summary": f"the rule {rule} fails: {error.message}"}
    if error.hint:
        texts["hint"] = error.hint
    return {fingerprint_of(labels): Found("failing", labels, texts, {"code": error.code})}


def too_many_alerts() -> RuleError:
    """What a rule with too many alerts does instead of cutting them off."""
    return RuleError(
        "too-many-alerts",
        f"more than {ALERTS_MAX} alerts at once",
        "group by less, or let :when hold for fewer groups",
    )


def _remember(
    rule: Rule, known: Mapping[str, Known], seen: Mapping[str, Known], now_us: int
) -> dict[str, Known]:
    """The groups that the rule knows now."""
    if rule.when_absent_us is None:
        return {}
    after = {
        fingerprint: one
        for fingerprint, one in known.items()
        if now_us - one.seen_us < rule.when_absent_us + ABSENT_KEPT_US
    }
    for fingerprint, one in seen.items():
        before = after.get(fingerprint)
        after[fingerprint] = one if before is None or one.seen_us > before.seen_us else before
    if not rule.query.group_by and not after:
        labels = labels_of(rule, {})
        after[fingerprint_of(labels)] = Known(labels, now_us)  # the group of all is known from the start
    return after


def _absent(rule: Rule, known: Mapping[str, Known], now_us: int) -> dict[str, Found]:
    """The alerts of the groups that have fallen silent."""
    found: dict[str, Found] = {}
    for one in known.values():
        if rule.when_absent_us is None or now_us - one.seen_us < rule.when_absent_us:
            continue
        labels = {**one.labels, ABSENT_LABEL: "true"}
        groups = [one.labels[key.name] for key in rule.query.group_by if key.name in one.labels]
        whose = " ".join(groups) or rule.name
        texts = fill_all(rule.annotations, one.labels.items())
        texts["summary"] = f"{whose}: no records for {format_duration(rule.when_absent_us)}"
        found[fingerprint_of(labels)] = Found("absent", labels, texts, {})
    return found


def _group_of(rule: Rule, row: Mapping[str, Any]) -> tuple[tuple[type, Any], ...]:
    return tuple((type(row[key.name]), row[key.name]) for key in rule.query.group_by)


def _by_group(rule: Rule, rows: Sequence[Row]) -> dict[tuple[tuple[type, Any], ...], Row]:
    return {_group_of(rule, row): row for row in rows}


def _shown(labels: Labels) -> str:
    return "{" + ", ".join(f"{name}={text}" for name, text in sorted(labels.items())) + "}"
