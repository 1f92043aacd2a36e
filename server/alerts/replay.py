"""What a rule would have done: the same evaluation and the same states, walked over the past, with nobody told.

Windows overlap, so asking for each would count the same records again and again. Where the aggregates can be put
together (counts, sums, least and greatest), the past is asked for once in panes, the greatest pieces of time of which
every window is made, and windows are made of those. Else each window is a query.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dsl.aggregates import AGGREGATES
from dsl.aggregates.count import Count
from dsl.aggregates.max import Max
from dsl.aggregates.min import Min
from dsl.aggregates.sum import Sum
from dsl.ast import Named, Query
from dsl.errors import QueryError
from dsl.keys.bucket import TimeBucket
from dsl.record import TIMESTAMP
from dsl.table import empty_row
from dsl.time import UNITS_US, WEEK_ORIGIN_US, Instant, Time, parse_instant
from server.alerts.found import Answered, Ask, Known, asked_query, evaluate
from server.alerts.rule import Rule
from server.alerts.state import Alerts, Transition, step
from server.alerts.windows import newest, shift_of
from storage.index import analyse

EVALUATIONS_MAX = 50_000  # of one replay: a week of every 15 seconds
PANE_US_MIN = UNITS_US["s"]  # smaller pieces are more work than the windows
PANES_OF_WINDOW_MAX = 240  # put together for one window: more take longer than asking for it
PANES_AT_ONCE = (
    2_000  # asked for in one query: with some thirty groups they stay within what an answer may have
)

Row = dict[str, Any]


class TooLong(ValueError):
    """A replay of more evaluations than EVALUATIONS_MAX."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A change of state in the past, or the end of the replay.

    Attributes:
        at_us: The time of the evaluation.
        transitions: What changed then.
        evaluations: How many were made so far.
        active: How many alerts are pending or firing.
    """

    at_us: int
    transitions: tuple[Transition, ...]
    evaluations: int
    active: int


def replay(rule: Rule, since_us: int, until_us: int, ask: Ask, *, panes: bool = True) -> Iterator[Replayed]:
    """The changes of state of a rule between two times, and at the end how it stands then.

    Raises:
        TooLong: it would be too many evaluations.
        RuleError: an evaluation comes to nothing.
        QueryError, StoreError: a query cannot be answered.
    """
    shift_us = shift_of(rule.name, rule.every_us)
    first_us = newest(since_us - 1, rule.every_us, shift_us) + rule.every_us
    times = range(first_us, until_us + 1, rule.every_us)
    if len(times) > EVALUATIONS_MAX:
        raise TooLong(f"{len(times)} evaluations, more than {EVALUATIONS_MAX}")
    faster = _Panes.of(rule, times, ask) if panes else None
    answer: Ask = ask if faster is None else faster.ask
    alerts: Alerts = {}
    known: dict[str, Known] = {}
    for count, at_us in enumerate(times, 1):
        findings = evaluate(rule, known, at_us, answer, analyse)
        known = findings.known
        made = step(alerts, findings.found, at_us, rule.keep_firing_for_us)
        alerts = made.alerts
        if made.transitions or at_us == times[-1]:
            active = sum(alert.active for alert in alerts.values())
            yield Replayed(at_us, made.transitions, count, active)


_FOLDS: dict[type, Callable[[Any, Any], Any]] = {
    Count: lambda a, b: a + b,
    Sum: lambda a, b: a + b,
    Min: min,
    Max: max,
}


class _Panes:
    """Answers windows from panes that are asked for in stretches, as they are needed."""

    def __init__(self, rule: Rule, width_us: int, edge_us: int, until_us: int, ask: Ask) -> None:
        self._rule = rule
        self._width_us = width_us
        self._edge_us = edge_us  # where some pane begins
        self._until_us = until_us
        self._ask = ask
        self._stretches: dict[int, dict[int, list[Row]]] = {}
        self._too_many = False

    @classmethod
    def of(cls, rule: Rule, times: range, ask: Ask) -> _Panes | None:
        """The panes of a rule's windows; None where they cannot be put together."""
        query = rule.query
        last_us = None if query.time is None else query.time.last_us
        if last_us is None or query.having is not None or not times:
            return None
        if any(type(one.call) not in _FOLDS for one in query.aggregate or ()):
            return None
        if any(getattr(one.call, "field", "") == TIMESTAMP for one in query.aggregate or ()):
            return None
        width_us = math.gcd(rule.every_us, last_us, *rule.when.agos_us)
        if width_us < PANE_US_MIN or last_us // width_us > PANES_OF_WINDOW_MAX:
            return None
        return cls(rule, width_us, times[0] - rule.delay_us, times[-1] - rule.delay_us, ask)

    def ask(self, query: Query, now_us: int) -> Answered:
        """The groups of a window, put together; asked for where the panes of all groups are too many."""
        if not self._too_many:
            try:
                return self._put_together(query, now_us)
            except QueryError as error:
                if error.mistakes[0].code != "too-many-groups":
                    raise
                self._too_many = True
        return self._ask(query, now_us)

    def _put_together(self, query: Query, now_us: int) -> Answered:
        assert query.time is not None
        assert query.time.last_us is not None
        named = query.aggregate or ()
        groups: dict[tuple[Any, ...], Row] = {}
        for start_us in range(now_us - query.time.last_us, now_us, self._width_us):
            for row in self._pane(start_us):
                place = tuple((type(row[key.name]), row[key.name]) for key in query.group_by)
                found = groups.get(place)
                if found is None:
                    groups[place] = dict(row)
                    continue
                for one in named:
                    a, b = found[one.name], row[one.name]
                    found[one.name] = b if a is None else a if b is None else _FOLDS[type(one.call)](a, b)
        if not query.group_by and not groups:
            return Answered([empty_row(query)])
        return Answered(list(groups.values()))

    def _pane(self, start_us: int) -> list[Row]:
        span_us = self._width_us * PANES_AT_ONCE
        begin_us = start_us - (start_us - self._edge_us) % span_us
        stretch = self._stretches.get(begin_us)
        if stretch is None:
            stretch = self._stretches[begin_us] = self._load(begin_us, begin_us + span_us)
            # A window reaches over two stretches at most, and so does each of the earlier ones.
            kept = 2 * (1 + len(self._rule.when.agos_us))
            for old in list(self._stretches)[:-kept]:
                del self._stretches[old]
        return stretch.get(start_us, [])

    def _load(self, begin_us: int, end_us: int) -> dict[int, list[Row]]:
        weeks_us = WEEK_ORIGIN_US if self._width_us % UNITS_US["w"] == 0 else 0
        bucket = TimeBucket(width_us=self._width_us, offset_us=(begin_us - weeks_us) % self._width_us)
        asked = asked_query(self._rule)
        query = asked.model_copy(
            update={
                "group_by": (*asked.group_by, bucket),
                "time": Time(since=Instant(instant_us=begin_us), until=Instant(instant_us=end_us)),
                "order_by": (),
                "aggregate": (*(asked.aggregate or ()), _PRESENT),
            }
        )
        panes: dict[int, list[Row]] = {}
        for row in self._ask(query, self._until_us).rows:
            present = row.pop(_PRESENT.name)
            start_us = parse_instant(row.pop(TIMESTAMP))
            if present and start_us is not None:
                panes.setdefault(start_us, []).append(row)
        return panes


_PRESENT = Named(name="%present", call=AGGREGATES["count"].node())  # buckets without records are filled in
