"""How rules ask the store: groups of a query at a given `now`, and the newest records of a group."""

from __future__ import annotations

from typing import Any

import orjson

from dsl.ast import NEWEST_FIRST
from dsl.ast import Query as DslQuery
from dsl.errors import Mistake
from dsl.forms import Form
from dsl.keys.base import Key
from dsl.keys.field import FieldKey
from dsl.nodes import Predicate
from dsl.operators.and_ import And
from dsl.operators.equal import Equal
from dsl.operators.missing import Missing
from dsl.record import NUMBER, STREAM, TIMESTAMP, Record
from dsl.time import parse_instant
from server.alerts.found import Answered
from server.alerts.rule import Rule
from server.engine import Engine
from server.engine.places import unknown_streams

SAMPLES_BYTES_MAX = 64 << 10  # of one alert: what a mail or a webhook still takes
CANDIDATES_MAX = 1000  # records looked at for samples, where the index cannot tell the group


class Asker:
    """Asks an engine for rules. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def groups(self, query: DslQuery, now_us: int) -> Answered:
        """The groups of a query.

        Raises:
            QueryError: there are too many groups.
            StoreError: the store cannot answer.
        """
        answer = self._engine.ask(query, now_us)
        return Answered(answer.plain_rows(), tuple(str(one["message"]) for one in answer.warnings))

    def unknown_streams(self, query: Form) -> list[Mistake]:
        """The streams that the form of a query names and that are not there, each where it stands."""
        return unknown_streams(query, self._engine.store)

    def samples(self, rule: Rule, value: dict[str, Any], at_us: int) -> list[dict[str, Any]]:
        """The newest records of a group, by the columns that the group had.

        Raises:
            StoreError: the store cannot answer.
        """
        if not rule.samples:
            return []
        parts: list[Predicate] = [] if rule.query.where is None else [rule.query.where]
        unsure: list[Key] = []
        for key in rule.query.group_by:
            wanted = value.get(key.name)
            if not isinstance(key, FieldKey):
                unsure.append(key)
            elif wanted is None:
                parts.append(Missing(field=key.field))
            else:
                parts.append(Equal(field=key.field, value=wanted))
        query = DslQuery(
            from_=rule.query.from_,
            time=rule.query.time,
            where=And(parts=tuple(parts)),
            order_by=NEWEST_FIRST,
            limit=CANDIDATES_MAX if unsure else rule.samples,
        )
        found: list[dict[str, Any]] = []
        room = SAMPLES_BYTES_MAX
        for line in self._engine.ask(query, at_us - rule.delay_us).records:
            row = orjson.loads(line)
            record = _record_of(row)
            if not all(key.shows(record, value.get(key.name)) for key in unsure):
                continue
            room -= len(line)
            if room < 0 or len(found) == rule.samples:
                break
            found.append(row)
        return found


def _record_of(row: dict[str, Any]) -> Record:
    fields = {name: value for name, value in row.items() if name not in (TIMESTAMP, STREAM, NUMBER)}
    return Record(parse_instant(row[TIMESTAMP]) or 0, row[STREAM], row[NUMBER], fields)
