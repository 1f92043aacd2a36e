"""Unit tests of rules, as promtool has them for metrics: records that come in, and the alerts that there must be.

    {:rules ["errors.edn"]
     :tests [{:name    "a burst of errors"
              :records [{:at "10s" :every "5s" :times 12 :stream :app :record {:level "error" :service "auth"}}]
              :alerts  [{:rule :errors :at "30s" :alerts [{:labels {:service "auth"} :state :pending}]}
                        {:rule :errors :at "2m"  :alerts [{:labels {:service "auth"}}]}]}]}

Times are counted from `:start` of the test. Rules are evaluated at whole multiples of `:every` from there, without the
shift that they have on a server. Nothing is stored: records are matched in plain Python.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dsl import predicates
from dsl.analysis import WRONG, Analysis, WrongType, described, items_of, name_of
from dsl.ast import Query
from dsl.errors import QueryError, quoted
from dsl.evaluate import evaluate as answer
from dsl.forms import Form, MapForm, to_plain
from dsl.limits import DEFAULT
from dsl.reader import read
from dsl.record import Record
from dsl.time import format_duration, format_instant, parse_instant
from server.alerts.found import Answered, Known, RuleError, evaluate
from server.alerts.rule import Rule, keys_of, read_rule
from server.alerts.state import Alert, Alerts, step
from storage.errors import BadRecord
from storage.index import analyse
from storage.record import normalise

START = "2026-01-01T00:00:00Z"
RECORDS_MAX = 100_000  # of one test: it runs in plain Python
EVALUATIONS_MAX = 20_000  # of one rule in one test

_FILE_KEYS = {"rules": "", "tests": ""}
_TEST_KEYS = {"name": "", "start": "", "records": "", "alerts": ""}
_RECORD_KEYS = {"at": "", "every": "", "times": "", "stream": "", "record": ""}
_CHECK_KEYS = {"rule": "", "at": "", "alerts": ""}
_ALERT_KEYS = {"labels": "", "state": "", "annotations": "", "value": ""}
_STATES = ("pending", "firing", "resolved")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An alert that must be there: what is given of it must be as given."""

    state: str
    labels: dict[str, Any]
    annotations: dict[str, Any]
    value: dict[str, Any]

    def is_met(self, alert: Alert) -> bool:
        """Whether it is this alert."""
        return (
            self.state == alert.state
            and self.labels.items() <= alert.labels.items()
            and self.annotations.items() <= alert.annotations.items()
            and self.value.items() <= alert.value.items()
        )


@dataclass(frozen=True, slots=True)
class Check:
    """The alerts of a rule that must be there at a time after the start, and no others."""

    rule: str
    at_us: int
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Test:
    """One test."""

    name: str
    start_us: int
    records: tuple[Record, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of a file, and the rules that they are of."""

    rules: dict[str, Rule]
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A check that failed: lines that say how."""

    test: str
    rule: str
    at_us: int
    lines: tuple[str, ...]


# -- running


def run(suite: Suite) -> Iterator[tuple[Test, list[Failed]]]:
    """Run the tests one after another; what failed of each."""
    for test in suite.tests:
        yield (
            test,
            [failed for check in test.checks if (failed := _run(suite.rules[check.rule], test, check))],
        )


def _run(rule: Rule, test: Test, check: Check) -> Failed | None:
    try:
        alerts = _alerts_at(rule, test, check.at_us)
    except (RuleError, QueryError) as error:
        return Failed(test.name, rule.name, check.at_us, (f"the rule fails: {error}",))
    listed = {one.state for one in check.wanted}
    there = [one for one in alerts.values() if one.active or one.state in listed]
    missing = list(check.wanted)
    extra: list[Alert] = []
    for alert in sorted(there, key=lambda one: sorted(one.labels.items())):
        met = next((one for one in missing if one.is_met(alert)), None)
        if met is None:
            extra.append(alert)
        else:
            missing.remove(met)
    if not missing and not extra:
        return None
    lines = [f"expected: {_wanted_text(one)}" for one in missing] + [
        f"got:      {_alert_text(one)}" for one in extra
    ]
    if not extra:
        lines.append("got:      no other alerts" if there else "got:      no alerts")
    return Failed(test.name, rule.name, check.at_us, tuple(lines))


def _alerts_at(rule: Rule, test: Test, at_us: int) -> Alerts:
    """The alerts of a rule after its newest evaluation at a time."""
    instants = [record.timestamp_us for record in test.records]

    def ask(query: Query, now_us: int) -> Answered:
        assert query.time is not None
        low_us, high_us = query.time.resolve(now_us)
        first = 0 if low_us is None else bisect.bisect_left(instants, low_us)
        end = len(instants) if high_us is None else bisect.bisect_left(instants, high_us)
        return Answered(answer(query, test.records[first:end], now_us, analyse).rows)

    alerts: Alerts = {}
    known: dict[str, Known] = {}
    for after_us in range(0, at_us + 1, rule.every_us):
        now_us = test.start_us + after_us
        findings = evaluate(rule, known, now_us, ask, analyse)
        known = findings.known
        alerts = step(alerts, findings.found, now_us, rule.keep_firing_for_us).alerts
    return alerts


def _wanted_text(one: Wanted) -> str:
    parts = [f"{one.state:<9}{_map_text(one.labels)}"]
    parts += [f"annotations {_map_text(one.annotations)}"] if one.annotations else []
    parts += [f"value {_map_text(one.value)}"] if one.value else []
    return "  ".join(parts)


def _alert_text(one: Alert) -> str:
    return (
        f"{one.state:<9}{_map_text(one.labels)}  annotations {_map_text(one.annotations)}"
        f"  value {_map_text(one.value)}"
    )


def _map_text(values: Mapping[str, Any]) -> str:
    shown = (
        f"{name}={value if isinstance(value, str) else orjson.dumps(value).decode()}"
        for name, value in sorted(values.items())
    )
    return "{" + ", ".join(shown) + "}"


# -- reading


def read_suite(text: str, load: Callable[[str], str]) -> Suite:
    """The tests that a file says.

    Args:
        text: EDN.
        load: The text of another file, by the path that stands in this one.

    Raises:
        QueryError: everything that is wrong with it.
        OSError: a file of rules cannot be read.
    """
    form = read(text)
    analysis = Analysis(DEFAULT, None, predicates.build)
    suite = _suite(analysis, form, load)
    if analysis.mistakes or suite is WRONG:
        raise QueryError(analysis.mistakes, text)
    return suite


def _suite(analysis: Analysis, form: Form, load: Callable[[str], str]) -> Suite | WrongType:
    given = _map(analysis, form, _FILE_KEYS, "a file of tests", '{:rules ["errors.edn"] :tests […]}')
    if given is WRONG:
        return WRONG
    rules: dict[str, Rule] = {}
    for one in _items(analysis, given, "rules", form):
        rule = _rule(analysis, one, load)
        if rule is not WRONG:
            rules[rule.name] = rule
    tests = [_test(analysis, one, rules) for one in _items(analysis, given, "tests", form)]
    right = tuple(one for one in tests if one is not WRONG)
    return WRONG if analysis.mistakes else Suite(rules, right)


def _rule(analysis: Analysis, form: Form, load: Callable[[str], str]) -> Rule | WrongType:
    if not isinstance(form.value, str):
        try:
            return read_rule(form)
        except QueryError as error:
            for mistake in error.mistakes:
                place = Form(None, mistake.start, mistake.end)
                analysis.wrong(mistake.code, mistake.message, place, mistake.hint)
            return WRONG
    path = form.value
    text = load(path)
    try:
        found = read(text)
        return read_rule(
            found, None if "name" in _names(found) else path.rpartition("/")[2].removesuffix(".edn")
        )
    except QueryError as error:
        first = error.mistakes[0]
        return analysis.wrong(first.code, f"in {quoted(path)}: {first.message}", form, first.hint)


def _names(form: Form) -> set[str | None]:
    return {name_of(key) for key, _ in form.value.pairs} if isinstance(form.value, MapForm) else set()


def _test(analysis: Analysis, form: Form, rules: Mapping[str, Rule]) -> Test | WrongType:
    given = _map(analysis, form, _TEST_KEYS, "a test", '{:name "…" :records […] :alerts […]}')
    if given is WRONG:
        return WRONG
    name = "" if "name" not in given else str(name_of(given["name"]) or described(given["name"]))
    start_us = parse_instant(START)
    if "start" in given:
        start_us = parse_instant(str(to_plain(given["start"])))
    if start_us is None:
        return analysis.wrong("bad-time", "no time to start at", given["start"], f'write "{START}"')
    records: list[Record] = []
    for one in _items(analysis, given, "records", form):
        records += _records(analysis, one, start_us, RECORDS_MAX - len(records))
    records.sort(key=lambda record: record.timestamp_us)
    checks = [_check(analysis, one, rules) for one in _items(analysis, given, "alerts", form)]
    return Test(name, start_us, tuple(records), tuple(one for one in checks if one is not WRONG))


def _records(analysis: Analysis, form: Form, start_us: int, room: int) -> list[Record]:
    hint = '{:at "10s" :every "5s" :times 12 :stream :app :record {:level "error"}}'
    given = _map(analysis, form, _RECORD_KEYS, "a record", hint)
    if given is WRONG:
        return []
    at_us = analysis.duration(given["at"], least_us=0) if "at" in given else 0
    every_us = analysis.duration(given["every"]) if "every" in given else 0
    times = to_plain(given["times"]) if "times" in given else 1
    fields = to_plain(given["record"]) if "record" in given else None
    stream = name_of(given["stream"]) if "stream" in given else "main"
    if not isinstance(times, int) or isinstance(times, bool) or not 0 <= times <= room:
        analysis.wrong("bad-value", f":times is no number up to {room}", given["times"], "write fewer")
        return []
    if not isinstance(fields, dict) or stream is None:
        analysis.wrong("missing-key", "a record without :record or :stream", form, f"write {hint}")
        return []
    if not isinstance(at_us, int) or not isinstance(every_us, int):
        return []
    found = []
    for i in range(times):
        us = start_us + at_us + i * every_us
        try:
            _, line = normalise({**fields, "timestamp": format_instant(us)}, us)
        except BadRecord as error:
            analysis.wrong(error.code, error.message, given["record"], error.hint or "write another record")
            return []
        found.append(Record(us, stream, i, orjson.loads(line)))
    return found


def _check(analysis: Analysis, form: Form, rules: Mapping[str, Rule]) -> Check | WrongType:
    hint = '{:rule :errors :at "2m" :alerts [{:labels {:service "auth"}}]}'
    given = _map(analysis, form, _CHECK_KEYS, "a check", hint)
    if given is WRONG:
        return WRONG
    if "rule" not in given or "at" not in given:
        return analysis.wrong("missing-key", "a check without :rule or :at", form, f"write {hint}")
    name = name_of(given["rule"])
    if name is None or name not in rules:
        near = (
            analysis.near(name or "", rules, ":") or f"the rules are {' '.join(f':{one}' for one in rules)}"
        )
        return analysis.wrong(
            "unknown-rule", f"no rule {described(given['rule'])} in :rules", given["rule"], near
        )
    at_us = analysis.duration(given["at"], least_us=0)
    wanted = [_wanted(analysis, one) for one in _items(analysis, given, "alerts", form)]
    if not isinstance(at_us, int):
        return WRONG
    if at_us // rules[name].every_us > EVALUATIONS_MAX:
        message = f"more than {EVALUATIONS_MAX} evaluations"
        return analysis.wrong("bad-duration", message, given["at"], "look earlier")
    return Check(name, at_us, tuple(one for one in wanted if one is not WRONG))


def _wanted(analysis: Analysis, form: Form) -> Wanted | WrongType:
    given = _map(analysis, form, _ALERT_KEYS, "an alert", '{:labels {:service "auth"} :state :firing}')
    if given is WRONG:
        return WRONG
    state = name_of(given["state"]) if "state" in given else "firing"
    if state not in _STATES:
        hint = "the states are " + " ".join(f":{one}" for one in _STATES)
        return analysis.wrong("bad-value", f"no state {described(given['state'])}", given["state"], hint)
    maps: dict[str, dict[str, Any]] = {}
    for key in ("labels", "annotations", "value"):
        maps[key] = {}
        if key in given:
            plain = to_plain(given[key])
            if not isinstance(plain, dict):
                return analysis.wrong("bad-value", f":{key} is no map", given[key], f"write :{key} {{…}}")
            maps[key] = plain
    return Wanted(str(state), maps["labels"], maps["annotations"], maps["value"])


def _map(
    analysis: Analysis, form: Form, known: Mapping[str, str], what: str, hint: str
) -> dict[str, Form] | WrongType:
    if not isinstance(form.value, MapForm):
        return analysis.wrong("not-a-map", f"{what} is a map, not {described(form)}", form, f"write {hint}")
    return keys_of(analysis, form.value, known, {})


def _items(analysis: Analysis, given: Mapping[str, Form], key: str, form: Form) -> Sequence[Form]:
    if key not in given:
        if key in ("rules", "tests"):
            analysis.wrong("missing-key", f"no :{key}", form, f"write :{key} […]")
        return ()
    items = items_of(given[key])
    if items is None:
        analysis.wrong("bad-value", f":{key} is no vector", given[key], f"write :{key} […]")
        return ()
    return items


def time_text(at_us: int) -> str:
    """A time after the start."""
    return format_duration(at_us)
