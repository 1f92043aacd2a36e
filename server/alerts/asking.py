"""How rules ask the store: groups of a query at a given `now`, and the newest records of a group."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from dsl.ast import Query
from dsl.keys.base import Key
from dsl.keys.field import FieldKey
from dsl.limits import DEFAULT, Limits
from dsl.nodes import Predicate
from dsl.operators.and_ import And
from dsl.operators.equal import Equal
from dsl.operators.missing import Missing
from dsl.record import Record
from dsl.time import format_instant
from server.alerts.found import Answered
from server.alerts.rule import Rule
from server.answer import Answer
from server.engine import Engine
from server.engine.grouping import grouped
from server.engine.matching import Matching, record_of
from storage.record import render
from storage.times import format_time

SAMPLES_BYTES_MAX = 64 << 10  # of one alert: what a mail or a webhook still takes
CANDIDATES_MAX = 1000  # records looked at for samples, where the index cannot tell the group


class Asker:
    """Asks an engine for rules. Thread-safe.

    Args:
        engine: Over the store.
        timeout_s: How long one question may take; None is any.
        limits: What it may cost.
    """

    def __init__(self, engine: Engine, timeout_s: float | None = None, limits: Limits = DEFAULT) -> None:
        self._engine = engine
        self._timeout_s = timeout_s
        self._limits = limits

    def groups(self, query: Query, now_us: int) -> Answered:
        """The groups of a query.

        Raises:
            QueryError: there are too many groups.
            StoreError: the store cannot answer.
        """
        matching = self._matching(query, now_us)
        answer = Answer(records=[], now=format_instant(now_us))
        grouped(query, matching, now_us, self._limits, answer)
        reason = None if matching is None else matching.snapshot.incomplete
        return Answered(answer.groups or [], (reason,) if reason else ())

    def samples(self, rule: Rule, value: dict[str, Any], at_us: int) -> list[dict[str, Any]]:
        """The newest records of a group, by the columns that the group had.

        Raises:
            StoreError: the store cannot answer.
        """
        if not rule.samples:
            return []
        now_us = at_us - rule.delay_us
        conditions: list[Predicate] = [] if rule.query.where is None else [rule.query.where]
        checks: list[Callable[[Record], bool]] = []
        for key in rule.query.group_by:
            wanted = value.get(key.name)
            if isinstance(key, FieldKey):
                conditions.append(
                    Missing(field=key.field) if wanted is None else Equal(field=key.field, value=wanted)
                )
            else:
                checks.append(_in_group(key, wanted))
        query = rule.query.model_copy(update={"where": And(parts=tuple(conditions))})
        matching = self._matching(query, now_us)
        if matching is None:
            return []
        limit = CANDIDATES_MAX if checks else rule.samples
        found: list[dict[str, Any]] = []
        room = SAMPLES_BYTES_MAX
        for stored in matching.page(limit, None, oldest_first=False):
            if not all(check(record_of(stored)) for check in checks):
                continue
            line = render(stored.line, format_time(stored.time_us), stored.stream, stored.number)
            room -= len(line)
            if room < 0 or len(found) == rule.samples:
                break
            found.append(orjson.loads(line))
        return found

    def _matching(self, query: Query, now_us: int) -> Matching | None:
        matching = self._engine.matching(query, now_us)
        if matching is not None and self._timeout_s is not None:
            matching.snapshot.deadline_s = time.monotonic() + self._timeout_s
        return matching


def _in_group(key: Key, wanted: Any) -> Callable[[Record], bool]:
    """Whether a record has a value for a key."""
    values = key.values()
    return lambda record: wanted in values(record)
