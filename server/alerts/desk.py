"""What people do with alerts: look at them, take note of them, keep them quiet, and try rules."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dsl.ast import Query
from dsl.errors import Mistake, QueryError
from dsl.forms import Form
from dsl.parse import Syntax
from dsl.reader import read, read_json
from dsl.time import TIME_US_MAX, UNITS_US, BadTime, parse_duration, parse_moment
from server.alerts.asking import Asker
from server.alerts.evaluator import alert_of
from server.alerts.found import Answered, RuleError, evaluate, labels_of
from server.alerts.replay import TooLong, replay
from server.alerts.rule import Rule, name_in, query_in, read_rule
from server.alerts.shown import shown_alert, shown_change, shown_notification, shown_silence
from server.alerts.silences import BadMatcher, Matcher, check_matchers, parse_matcher
from server.alerts.state import Transition, fingerprint_of
from server.alerts.warnings import warnings_of
from server.engine.asked import Asked
from server.engine.places import UnknownStreams
from server.errors import RequestError
from storage.alerts import Acknowledgement, AlertTables, SilenceRow
from storage.errors import UnknownStream
from storage.index import analyse
from storage.notifications import Notifications
from storage.times import shown_time

SILENCE_US_MAX = 366 * UNITS_US["d"]  # whoever wants it quiet for longer deletes the rule
TEXT_CHARACTERS_MAX = 2000  # of a note or a comment
CHANGES_MAX = 1000  # of a replay that are shown

UNNAMED = "unnamed"  # what a rule is called that is tried without a name
SAMPLED_MAX = 10  # alerts of which a trial shows samples: each is a query

_SILENCE_KEYS = ("matchers", "starts", "ends", "for", "comment")
_MATCHER_KEYS = {"name": None, "operator": None, "value": None}
_SILENCE_HINT = 'send {"matchers": ["service=auth"], "for": "2h", "comment": "why"}'


class AlertDesk:
    """The alerts of a store, for requests. Thread-safe; every method may wait for the disk.

    Args:
        tables: How rules stand.
        notifications: What they owe and owed.
        asker: Who answers the queries of a rule that is tried.
        clock: Microseconds since 1970.
        make_id: Gives each silence its name.
    """

    def __init__(
        self,
        tables: AlertTables,
        notifications: Notifications,
        asker: Asker,
        clock: Callable[[], int],
        make_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._tables = tables
        self._notifications = notifications
        self._asker = asker
        self._clock = clock
        self._make_id = make_id

    # -- looking

    def alerts(
        self, *, rule: str | None = None, state: str | None = None, matchers: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The alerts there are, of a rule, in a state, with certain labels.

        Raises:
            RequestError: a matcher is none (400).
        """
        wanted = [_matcher(text) for text in matchers]
        silences, acknowledgements = self._tables.silences(), self._tables.acknowledgements()
        now_us = self._clock()
        shown = [
            shown_alert(one, silences, acknowledgements, now_us)
            for one in self._tables.alerts(rule)
            if state is None or one.state == state
        ]
        return {
            "alerts": [one for one in shown if all(matcher.holds(one["labels"]) for matcher in wanted)],
        }

    def history(
        self, *, rule: str | None, fingerprint: str | None, before: int | None, limit: int
    ) -> dict[str, Any]:
        """Changes of state, the newest first, and with the first page the newest notifications."""
        changes = self._tables.history(rule=rule, fingerprint=fingerprint, before=before, limit=limit)
        owed = (
            self._notifications.list(rule=rule, fingerprint=fingerprint, limit=limit)
            if before is None
            else []
        )
        return {
            "history": [shown_change(one) for one in changes],
            "next": changes[-1].id if len(changes) == limit else None,
            "notifications": [shown_notification(one) for one in owed],
        }

    # -- acknowledging

    def acknowledge(self, fingerprint: str, given: Mapping[str, Any], author: str) -> dict[str, Any]:
        """Take note of an alert: nobody is told again that it fires, until it ends.

        Raises:
            RequestError: there is no such alert (404), or the note is none (400).
        """
        note = _text(given, "note", 'send {"note": "looking into it"}')
        found = [one for one in self._tables.alerts() if one.fingerprint == fingerprint]
        if not found or found[0].state == "resolved":
            raise RequestError(
                404,
                "unknown-alert",
                f"no alert {fingerprint[:40]!r} is active",
                "see /v1/alerts for those that are",
            )
        active_us = alert_of(found[0].alert).active_us
        self._tables.acknowledge(
            Acknowledgement(found[0].rule, fingerprint, active_us, note, author, self._clock())
        )
        acknowledgements = self._tables.acknowledgements()
        return shown_alert(found[0], self._tables.silences(), acknowledgements, self._clock())

    # -- silences

    def silences(self, state: str | None = None) -> dict[str, Any]:
        """The silences that are remembered, in a state or all."""
        shown = [shown_silence(one, self._clock()) for one in self._tables.silences()]
        return {"silences": [one for one in shown if state in (None, one["state"])]}

    def silence(self, name: str) -> dict[str, Any]:
        """One silence.

        Raises:
            RequestError: there is none (404).
        """
        return shown_silence(self._silence(name), self._clock())

    def add_silence(self, given: Mapping[str, Any], author: str) -> dict[str, Any]:
        """Keep something quiet.

        Raises:
            RequestError: the body has a mistake (400).
        """
        unknown = sorted(set(given) - set(_SILENCE_KEYS))
        if unknown:
            raise RequestError(400, "bad-silence", f"no key {unknown[0][:40]!r}", _SILENCE_HINT)
        listed = given.get("matchers")
        if not isinstance(listed, list):
            raise RequestError(400, "bad-silence", "matchers are a list", _SILENCE_HINT)
        matchers = [_matcher(one) for one in listed]
        try:
            check_matchers(matchers)
        except BadMatcher as error:
            hint = 'name a value in one of them, as in "service=auth"'
            raise RequestError(400, "bad-matcher", str(error), hint) from error
        now_us = self._clock()
        starts_us = _moment(given["starts"], now_us) if given.get("starts") is not None else now_us
        if (given.get("ends") is None) is (given.get("for") is None):
            raise RequestError(400, "bad-silence", "a silence has either ends or for", _SILENCE_HINT)
        ends_us = (
            starts_us + _duration(given["for"])
            if given.get("ends") is None
            else _moment(given["ends"], now_us)
        )
        if not max(starts_us, now_us) < ends_us <= min(starts_us + SILENCE_US_MAX, TIME_US_MAX):
            raise RequestError(
                400, "bad-silence", "it ends before it begins, before now, or after a year", _SILENCE_HINT
            )
        comment = _text(given, "comment", _SILENCE_HINT) if given.get("comment") is not None else ""
        plain = [{"name": one.name, "operator": one.operator, "value": one.value} for one in matchers]
        row = SilenceRow(self._make_id(), plain, starts_us, ends_us, author, comment, now_us)
        self._tables.add_silence(row)
        return shown_silence(row, now_us)

    def end_silence(self, name: str) -> dict[str, Any]:
        """End a silence now.

        Raises:
            RequestError: there is none (404).
        """
        self._silence(name)
        self._tables.end_silence(name, self._clock())
        return shown_silence(self._silence(name), self._clock())

    def _silence(self, name: str) -> SilenceRow:
        found = next((one for one in self._tables.silences() if one.id == name), None)
        if found is None:
            raise RequestError(404, "unknown-silence", f"no silence {name[:40]!r}", "see /v1/silences")
        return found

    # -- trying

    def test(self, text: str, syntax: Syntax, at: str | None = None) -> dict[str, Any]:
        """What a rule would find, at a time or now; nobody is told and nothing is remembered.

        Raises:
            QueryError: the rule has mistakes.
            RequestError: its evaluation comes to nothing (400).
            StoreError: the store cannot answer.
        """
        form = _form(text, syntax)
        rule = _read(form, text, None)
        now_us = self._clock()
        at_us = now_us if at is None else _moment(at, now_us)
        rows: list[dict[str, Any]] = []

        def ask(query: Query, when_us: int) -> Answered:
            answered = self._asker.groups(query, when_us)
            if not rows:
                rows.extend(answered.rows)
            return answered

        try:
            with self._streams_placed(form, text):
                findings = evaluate(rule, {}, at_us, ask, analyse)
        except RuleError as error:
            raise RequestError(400, error.code, error.message, error.hint) from error
        groups: list[dict[str, Any]] = []
        for row in rows:
            columns = {name: row[name] for name in rule.columns}
            fingerprint = fingerprint_of(labels_of(rule, columns))
            found = findings.found.get(fingerprint)
            group: dict[str, Any] = {"value": columns, "fires": found is not None}
            if found is not None:
                group |= {
                    "fingerprint": fingerprint,
                    "labels": found.labels,
                    "annotations": found.annotations,
                }
                if sum("samples" in one for one in groups) < SAMPLED_MAX:
                    group["samples"] = self._asker.samples(rule, columns, at_us)
            groups.append(group)
        groups.sort(key=lambda one: not one["fires"])
        return {
            "at": shown_time(at_us),
            "now": shown_time(at_us - rule.delay_us),
            "fires": sum(one["fires"] for one in groups),
            "groups": groups,
            "warnings": [
                *warnings_of(rule),
                *({"code": "evaluation", "message": one} for one in findings.warnings),
            ],
        }

    def replay(
        self, text: str, syntax: Syntax, *, name: str | None, since: str, until: str, asked: Asked
    ) -> dict[str, Any]:
        """What a rule would have done between two times; nobody is told and nothing is remembered.

        Raises:
            QueryError: the rule has mistakes.
            RequestError: there is nothing to replay, or it comes to nothing (400).
            StoreError: the store cannot answer, or nobody waits any more.
        """
        form = _form(text, syntax)
        rule = _read(form, text, name)
        started_s, now_us = time.perf_counter(), self._clock()
        since_us, until_us = _moment(since, now_us), _moment(until, now_us)
        if since_us >= until_us:
            raise RequestError(400, "bad-time", "since is not before until", "use ?since=now-7d")

        def ask(query: Query, when_us: int) -> Answered:
            asked.stop.check()
            return self._asker.groups(query, when_us)

        changes: list[dict[str, Any]] = []
        evaluations = active = 0
        cut = False
        try:
            with self._streams_placed(form, text):
                for found in replay(rule, since_us, until_us, ask):
                    evaluations, active = found.evaluations, found.active
                    room = CHANGES_MAX - len(changes)
                    changes += [_shown_transition(one) for one in found.transitions[:room]]
                    cut = len(found.transitions) > room
                    if cut:
                        break
        except RuleError as error:
            raise RequestError(400, error.code, error.message, error.hint) from error
        except TooLong as error:
            raise RequestError(400, "replay-too-long", str(error), "take a shorter time") from error
        return {
            "since": shown_time(since_us),
            "until": shown_time(until_us),
            "evaluations": evaluations,
            "history": changes,
            "cut": cut,
            "active": active,
            "took_ms": round((time.perf_counter() - started_s) * 1000, 3),
        }

    @contextmanager
    def _streams_placed(self, form: Form, text: str) -> Iterator[None]:
        """Within it, a stream that a rule asks about and that is not there is shown in the rule's text.

        Raises:
            UnknownStreams: there is one.
        """
        try:
            yield
        except UnknownStream as error:
            mistakes = self._asker.unknown_streams(query_in(form))
            raise UnknownStreams(
                mistakes or [Mistake(error.code, error.message, form.start, form.end, error.hint)], text
            ) from error


def _form(text: str, syntax: Syntax) -> Form:
    return read(text) if syntax == "edn" else read_json(text)


def _shown_transition(one: Transition) -> dict[str, Any]:
    return {
        "at": shown_time(one.at_us),
        "was": one.was,
        "state": one.state,
        "labels": one.alert.labels,
        "value": one.alert.value,
    }


def _read(form: Form, text: str, name: str | None) -> Rule:
    """The rule of a text, which need not say how it is called."""
    try:
        return read_rule(form, name_in(form) or name or UNNAMED)
    except QueryError as error:
        raise QueryError(error.mistakes, text) from None


def _matcher(given: Any) -> Matcher:
    try:
        if isinstance(given, str):
            return parse_matcher(given)
        if isinstance(given, Mapping):
            name, operator, value = (given.get(key) for key in _MATCHER_KEYS)
            # Alertmanager's isRegex and isEqual, read over, would make another matcher than was meant.
            if isinstance(name, str) and isinstance(value, str) and given.keys() <= _MATCHER_KEYS.keys():
                return Matcher(name, operator or "=", value)
    except BadMatcher as error:
        raise RequestError(400, "bad-matcher", str(error), 'write service=auth or host=~"web-.*"') from error
    raise RequestError(
        400,
        "bad-matcher",
        "a matcher is a text or a map",
        'write "service=auth", or {"name", "operator", "value"}',
    )


def _text(given: Mapping[str, Any], key: str, hint: str) -> str:
    value = given.get(key, "")
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX:
        raise RequestError(
            400, "bad-note", f"{key} is no text of at most {TEXT_CHARACTERS_MAX} characters", hint
        )
    return value


def _moment(given: Any, now_us: int) -> int:
    try:
        return parse_moment(str(given)).resolve(now_us)
    except BadTime as error:
        raise RequestError(400, "bad-time", error.message, error.hint) from error


def _duration(given: Any) -> int:
    try:
        return parse_duration(str(given))
    except BadTime as error:
        raise RequestError(400, "bad-duration", error.message, error.hint) from error
