"""The evaluator: gaps, failures, too many alerts, silences, a disk that refuses; with answers made up for it."""

from __future__ import annotations

import sqlite3

import pytest

from dsl.reader import read
from server.alerts.evaluator import SAMPLED_MAX, Evaluator
from server.alerts.found import ALERTS_MAX, Answered
from server.alerts.rule import read_rule
from server.alerts.state import GRACE_US, MINUTE_US, Resend
from storage.alerts import Acknowledgement, AlertTables, SilenceRow
from storage.errors import UnknownStream
from storage.metadata import Metadata
from storage.notifications import Notifications
from tests.support.outage import Ticking

NOW_US = 1_767_225_600_000_000
S_US = 1_000_000


class Answers:
    """Answers every query with the same groups, or an error."""

    def __init__(self, counts):
        self.counts = counts
        self.error = None

    def groups(self, _query, _now_us):
        if self.error is not None:
            raise self.error
        return Answered([{"service": name, "n": n} for name, n in self.counts.items()])

    def samples(self, rule, value, _at_us):
        return [{"message": f"of {value['service']}"}][: rule.samples]


class Bench:
    """An evaluator with one rule, its clock and what it wrote."""

    def __init__(self, path, counts, keys):
        self.path = path
        self.answers = Answers(counts)
        self.clock = Ticking(NOW_US)
        query = '{:time {:last "5m"} :group-by [:service] :aggregate {:n [:count]}}'
        text = f'{{:query {query} :when [:> :n 10] :every "30s" :delay "0s" :notify :ops {keys}}}'
        self.rule = read_rule(read(text), "errors")
        self.start()

    def start(self):
        self.metadata = Metadata(self.path)
        self.tables = AlertTables(self.metadata)
        self.evaluator = Evaluator(
            self.answers, self.tables, lambda _, rule: Resend(rule.repeat_us), self.clock
        )
        self.evaluator.set_rule("errors", self.rule)

    def restart(self):
        self.metadata.close()
        self.start()

    def after(self, seconds):
        self.clock.now_us += round(seconds * S_US)
        return self.evaluator.evaluate_due("errors")

    def states(self):
        self.evaluator.flush()
        return {
            (one.alert["labels"].get("service"), one.alert["kind"]): one.state for one in self.tables.alerts()
        }

    def owed(self):
        found = reversed(Notifications(self.metadata).list(limit=1000))
        return [(one.kind, one.payload["labels"].get("service")) for one in found]

    @property
    def row(self):
        self.evaluator.flush()
        return self.tables.rule("errors")


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(counts, keys=""):
        made.append(Bench(tmp_path / "klomp.db", counts, keys))
        return made[0]

    yield make
    made[0].metadata.close()


def test_for_survives_a_restart_and_waits_for_the_grace(bench):
    one = bench({"auth": 11}, ':for "30m"')
    one.after(0)
    for _ in range(58):  # 29 of 30 minutes
        one.after(30)
    assert one.states() == {("auth", "group"): "pending"}
    one.restart()
    last_us = one.row.last_us
    assert one.after(20 * 60) == 11
    back_us = last_us + 30 * 30 * S_US  # the first of those that are made up for
    assert (one.row.missed, one.row.made_up) == (39, 10)
    while one.states() == {("auth", "group"): "pending"}:
        one.after(30)
    assert one.row.last_us - back_us == GRACE_US
    assert one.owed() == [("firing", "auth")]


def test_missed_evaluations_are_made_up_for(bench):
    one = bench({"auth": 11}, ':for "2m"')
    one.after(0)
    one.evaluator.flush()
    one.restart()
    assert one.after(4 * 60) == 8
    assert (one.row.missed, one.row.made_up, one.row.evaluations) == (7, 7, 9)
    (change,) = [found for found in one.tables.history() if found.state == "firing"]
    assert change.at_us < one.row.last_us


def test_a_rule_that_fails_leaves_its_alerts_and_tells_of_itself_after_three_times(bench):
    one = bench({"auth": 11})
    one.after(0)
    one.answers.error = UnknownStream("no stream 'main'", "")
    for _ in range(2):
        one.after(30)
    assert one.states() == {("auth", "group"): "firing"}
    one.after(30)
    assert one.states() == {("auth", "group"): "firing", (None, "failing"): "firing"}
    assert (one.row.errors, one.row.failing, one.row.outcome["error"]["code"]) == (3, 3, "unknown-stream")
    one.answers.error = None
    one.answers.counts = {}
    one.after(30)
    assert one.states() == {("auth", "group"): "resolved", (None, "failing"): "resolved"}
    assert one.owed()[:2] == [("firing", "auth"), ("firing", None)]
    assert sorted(one.owed()[2:], key=str) == sorted([("resolved", "auth"), ("resolved", None)], key=str)


def test_a_rule_that_fails_all_the_time_is_logged_now_and_then(bench, caplog):
    caplog.set_level("INFO", "server.alerts.evaluator")
    one = bench({})
    one.after(0)
    one.answers.error = UnknownStream("no stream 'main'", "")
    for _ in range(41):  # twenty minutes and a half
        one.after(30)
    one.answers.error = None
    one.after(30)
    told = [line.split(": ", 1)[1] for line in caplog.messages]
    assert told == [
        "unknown-stream: no stream 'main'",
        "unknown-stream: no stream 'main' (19 times more since the last line)",
        "unknown-stream: no stream 'main' (19 times more since the last line)",
        "works again, after 41 failures",
    ]
    caplog.clear()
    one.answers.error = UnknownStream("no stream 'main'", "")
    one.after(30)
    one.evaluator.set_rule("errors", one.rule)  # what was saved anew is told of anew
    one.after(30)
    assert len(caplog.messages) == 2


def test_too_many_alerts_are_an_error_and_none_is_cut_off(bench):
    one = bench({f"s{i}": 11 for i in range(ALERTS_MAX + 1)})
    one.after(0)
    assert one.row.outcome["error"]["code"] == "too-many-alerts"
    assert one.states() == {}
    one.answers.counts = {f"s{i}": 11 for i in range(ALERTS_MAX)}
    one.after(30)
    assert len(one.owed()) == ALERTS_MAX
    told = Notifications(one.metadata).list(limit=1000)
    assert sum(bool(row.payload["samples"]) for row in told) == SAMPLED_MAX


def test_alerts_that_fire_on_count_too(bench):
    one = bench({f"a{i}": 11 for i in range(600)}, ':keep-firing-for "10m"')
    one.after(0)
    one.answers.counts = {f"b{i}": 11 for i in range(600)}
    one.after(30)
    assert one.row.outcome["error"]["code"] == "too-many-alerts"
    assert len(one.states()) == 600


def test_whoever_was_kept_from_hearing_hears_when_the_silence_ends(bench):
    one = bench({"auth": 11, "edge": 11})
    matchers = [{"name": "service", "operator": "=", "value": "auth"}]
    one.tables.add_silence(SilenceRow("s", matchers, NOW_US, NOW_US + 90 * S_US, "ada", "", NOW_US))
    one.after(0)
    one.after(30)
    assert one.owed() == [("firing", "edge")]
    one.after(120)
    assert one.owed() == [("firing", "edge"), ("firing", "auth")]


def test_an_acknowledged_alert_is_not_repeated_but_ends(bench):
    one = bench({"auth": 11}, ':repeat "1m"')
    one.after(0)
    one.after(60)
    assert one.owed() == [("firing", "auth"), ("repeat", "auth")]
    (alert,) = one.tables.alerts()
    one.tables.acknowledge(
        Acknowledgement("errors", alert.fingerprint, alert.alert["active_us"], "on it", "ada", NOW_US)
    )
    one.after(120)
    assert len(one.owed()) == 2
    one.answers.counts = {}
    one.after(30)
    assert one.owed()[2:] == [("resolved", "auth")]
    one.answers.counts = {"auth": 12}
    one.after(30)  # it fires anew, which nobody has taken note of
    assert one.owed()[3:] == [("firing", "auth")]


def test_what_the_disk_refuses_is_made_again(bench, monkeypatch):
    one = bench({"auth": 1})
    one.after(0)
    one.answers.counts = {"auth": 11}
    real = AlertTables.commit

    def refuse(*_):
        raise sqlite3.OperationalError("disk is full")

    monkeypatch.setattr(AlertTables, "commit", refuse)
    with pytest.raises(sqlite3.OperationalError):
        one.after(30)
    monkeypatch.setattr(AlertTables, "commit", real)
    assert one.states() == {}
    assert one.after(30) == 2
    assert one.owed() == [("firing", "auth")]
    assert [found.state for found in one.tables.history()] == ["firing"]


def test_a_deleted_rule_ends_its_alerts_and_leaves_nothing(bench):
    one = bench({"auth": 11}, ':for "0s" :keep-firing-for "1h"')
    one.after(0)
    one.evaluator.remove_rule("errors")
    assert one.owed() == [("firing", "auth"), ("resolved", "auth")]
    assert one.tables.load() == {}
    assert one.after(30) == 0


def test_samples_and_times_travel_with_a_notification(bench):
    one = bench({"auth": 11}, ':samples 1 :group-wait "20s" :labels {:severity "page"}')
    one.after(0)
    (told,) = Notifications(one.metadata).list()
    assert told.due_us == one.row.last_us + 20 * S_US
    assert told.payload["samples"] == [{"message": "of auth"}]
    assert told.payload["labels"] == {"alertname": "errors", "severity": "page", "service": "auth"}
    assert told.payload["value"] == {"service": "auth", "n": 11}
    assert told.payload["starts_us"] == one.row.last_us
    assert told.payload["ends_us"] is None
    assert told.payload["until_us"] == one.row.last_us + 4 * MINUTE_US
