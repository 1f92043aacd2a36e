"""An hour of the demo's logs with an outage in it, rules that should notice, and what must become of them.

What must become of them is worked out by plain Python over the records: `dsl.evaluate` for the groups, a condition that
is written by hand for each rule, and the states by looking back over all evaluations.

Run as a program it evaluates the rules as fast as it can on a clock of its own, which it prints at every tick:

    python -m tests.support.outage FOLDER START_US END_US
"""

from __future__ import annotations

import bisect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsl.evaluate import evaluate
from dsl.reader import read
from dsl.record import Record
from server.alerts.asking import Asker
from server.alerts.book import Read, RuleBook
from server.alerts.evaluator import Evaluator
from server.alerts.rule import Rule, read_rule
from server.alerts.state import fingerprint_of
from server.alerts.windows import newest, shift_of
from server.demo.generator import Demo
from server.engine import Engine
from storage.alerts import AlertTables
from storage.documents import Documents
from storage.index import analyse
from storage.indexer import Indexer
from storage.log import StreamLog
from storage.metadata import Metadata
from storage.paths import DataDirectory
from storage.store import Store
from storage.times import parse_time
from tests.support.stores import append

S_US = 1_000_000
MINUTE_US = 60 * S_US
START_US = 1_767_279_600_000_000  # 2026-01-01T15:00:00Z, a busy hour
END_US = START_US + 60 * MINUTE_US
FIRST_US = START_US + 6 * MINUTE_US  # the first evaluation: the widest window is full
SILENT_US = (START_US + 30 * MINUTE_US, START_US + 50 * MINUTE_US)  # nothing of `search` in between
RATE = 4.0
TICK_US = S_US

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Watched:
    """A rule, and when its condition holds: by a row and the row of the same group in the window before."""

    name: str
    text: str
    holds: Callable[[dict[str, Any], dict[str, Any]], bool]


WATCHED = (
    Watched(
        "errors",
        """{:query {:from :app :time {:last "1m"} :where [:= :level "error"]
                    :group-by [:service] :aggregate {:n [:count]}}
            :when [:> :n 0] :every "30s" :for "90s" :keep-firing-for "90s" :notify [:chat :am]
            :annotations {:summary "{service}: {n}"} :samples 2}""",
        lambda row, _: row["n"] > 0,
    ),
    Watched(
        "slow",
        """{:query {:from :app :time {:last "1m"} :where [:= :service "payments"]
                    :aggregate {:max [:max :latency_ms] :n [:count]}}
            :when [:and [:> :n 3] [:> :max 4000]] :every "20s" :repeat "1m" :notify :chat}""",
        lambda row, _: row["n"] > 3 and (row["max"] or 0) > 4000,
    ),
    Watched(
        "doubled",
        """{:query {:from :app :time {:last "3m"} :where [:in :level #{"warn" "error"}]
                    :group-by [:service :level] :aggregate {:n [:count]}}
            :when [:and [:> :n 10] [:> :n [:* 2 [:prev :n]]]] :every "30s" :notify :am}""",
        lambda row, before: row["n"] > 10 and row["n"] > 2 * before.get("n", 0),
    ),
    Watched(
        "silence",
        """{:query {:from :app :time {:last "2m"} :group-by [:service]}
            :when [:< :count 0] :every "30s" :when-absent "4m" :notify :chat}""",
        lambda *_: False,
    ),
)


def rules() -> dict[str, Rule]:
    return {one.name: read_rule(read(one.text), one.name) for one in WATCHED}


def fill(folder: Path) -> list[Record]:
    """Put the hour into a store, with the rules; its records, by time."""
    data = DataDirectory(folder)
    shop = Demo(11, START_US, rate=RATE, calm_us=20 * MINUTE_US)
    said = [one for one in shop.records(END_US) if not _is_silent(one)]
    log = StreamLog(data.stream("app"))
    kept = append(log, said)
    log.close()
    indexer = Indexer(data)
    indexer.catch_up()
    indexer.close()
    metadata = Metadata(data.metadata)
    documents = Documents(metadata)
    for one in WATCHED:
        documents.put("rule", one.name, one.text, author="test", now_us=START_US)
    documents.put(
        "channel", "am", '{:type :alertmanager :url "http://127.0.0.1:1"}', author="test", now_us=START_US
    )
    metadata.close()
    return sorted(kept, key=lambda record: record.timestamp_us)


def _is_silent(record: dict[str, Any]) -> bool:
    at_us = parse_time(record["timestamp"])
    assert at_us is not None
    return record.get("service") == "search" and SILENT_US[0] <= at_us < SILENT_US[1]


# -- what must become of the rules


def times_of(rule: Rule) -> list[int]:
    """When a rule is evaluated."""
    shift_us = shift_of(rule.name, rule.every_us)
    return list(range(newest(FIRST_US, rule.every_us, shift_us), END_US + 1, rule.every_us))


def must_change(records: list[Record]) -> set[tuple[str, str, str, int]]:
    """All changes of state: the rule, the labels' fingerprint, the state, and when."""
    instants = [record.timestamp_us for record in records]
    changes = set()
    for watched in WATCHED:
        rule = rules()[watched.name]
        times = times_of(rule)
        found: list[set[str]] = []
        for at_us in times:
            now_us = at_us - rule.delay_us
            assert rule.query.time is not None
            assert rule.query.time.last_us is not None
            window_us = rule.query.time.last_us
            rows = _rows(rule, records, instants, now_us)
            before = {_key(rule, row): row for row in _rows(rule, records, instants, now_us - window_us)}
            found.append(
                {
                    fingerprint_of({"alertname": rule.name, **_key_labels(rule, row)})
                    for row in rows
                    if watched.holds(row, before.get(_key(rule, row), {}))
                }
            )
            if rule.when_absent_us is not None:
                found[-1] |= _absent(rule, records, instants, times[0], now_us)
        for fingerprint in set().union(*found):
            states = [
                _state(times, [fingerprint in one for one in found], i, rule) for i in range(len(times))
            ]
            for i, at_us in enumerate(times):
                was = states[i - 1] if i else None
                if states[i] != was and (was, states[i]) != ("resolved", None):
                    changes.add((rule.name, fingerprint, states[i] or "inactive", at_us))
    return changes


def _rows(rule: Rule, records: list[Record], instants: list[int], now_us: int) -> Rows:
    assert rule.query.time is not None
    low_us, high_us = rule.query.time.resolve(now_us)
    assert low_us is not None
    assert high_us is not None
    within = records[bisect.bisect_left(instants, low_us) : bisect.bisect_left(instants, high_us)]
    return evaluate(rule.query, within, now_us, analyse).rows


def _key(rule: Rule, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key.name] for key in rule.query.group_by)


def _key_labels(rule: Rule, row: dict[str, Any]) -> dict[str, str]:
    return {key.name: row[key.name] for key in rule.query.group_by if row[key.name] is not None}


def _absent(rule: Rule, records: list[Record], instants: list[int], first_us: int, now_us: int) -> set[str]:
    """The services of which there was something since the first window, and nothing for too long."""
    assert rule.query.time is not None
    assert rule.query.time.last_us is not None
    since = bisect.bisect_left(instants, first_us - rule.delay_us - rule.query.time.last_us)
    last: dict[str, int] = {}
    for record in records[since : bisect.bisect_left(instants, now_us)]:
        last[record.fields.get("service", "")] = record.timestamp_us
    assert rule.when_absent_us is not None
    return {
        fingerprint_of({"alertname": rule.name, "absent": "true", **({"service": name} if name else {})})
        for name, at_us in last.items()
        if now_us - at_us >= rule.when_absent_us
    }


def _state(times: list[int], found: list[bool], i: int, rule: Rule) -> str | None:
    """The state at an evaluation, by looking back over those before."""
    firing: list[bool] = []
    for j in range(i + 1):
        since = next((k + 1 for k in range(j - 1, -1, -1) if found[k] is not found[j]), 0)
        held_us = times[j] - times[since]
        fired = bool(firing) and firing[-1]
        absent = rule.when_absent_us is not None
        if found[j]:
            firing.append(fired or held_us >= (0 if absent else rule.for_us))
        else:
            firing.append(fired and held_us < (0 if absent else rule.keep_firing_for_us))
    if firing[i]:
        return "firing"
    if found[i]:
        return "pending"
    last = max((j for j in range(i) if firing[j]), default=None)
    if last is None or any(found[last + 1 : i]):
        return None
    return "resolved" if times[i] - times[last + 1] <= 15 * MINUTE_US else None


# -- running them


class Ticking:
    """A clock that stands still until it is told."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us


def evaluator_of(metadata: Metadata, store: Store, clock: Ticking) -> Evaluator:
    """An evaluator as the scheduler has one, with all rules."""
    book = RuleBook(Documents(metadata))
    made = Evaluator(Asker(Engine(store, clock)), AlertTables(metadata), book.resend, clock)
    for change in book.changes():
        assert isinstance(change, Read)
        made.set_rule(change.name, change.rule, change.broken)
    return made


def main(folder: Path, start_us: int, end_us: int) -> None:
    """Evaluate from a time to a time, and print the clock."""
    data = DataDirectory(folder)
    metadata, store, clock = Metadata(data.metadata), Store(data), Ticking(start_us)
    evaluator = evaluator_of(metadata, store, clock)
    while clock.now_us <= end_us:
        for one in WATCHED:
            evaluator.evaluate_due(one.name)
        if clock.now_us % (5 * S_US) == 0:
            evaluator.flush()
        sys.stdout.write(f"{clock.now_us}\n")
        sys.stdout.flush()
        clock.now_us += TICK_US
    evaluator.flush()
    metadata.close()
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
