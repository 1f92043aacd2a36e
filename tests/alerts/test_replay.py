"""Replays: the same as what happened, by panes as by windows."""

from __future__ import annotations

import pytest

from dsl.limits import Limits
from dsl.reader import read
from server.alerts.asking import Asker
from server.alerts.replay import EVALUATIONS_MAX, TooLong, replay
from server.alerts.rule import read_rule
from server.engine import Engine
from storage.paths import DataDirectory
from storage.store import Store
from tests.support.outage import END_US, FIRST_US, S_US, WATCHED, fill, must_change, rules
from tests.support.stores import temporary_folder

MORE = {
    "sums": """{:query {:from :app :time {:last "90s"} :where [:= :service "payments"] :group-by [:level]
                        :aggregate {:sum [:sum :latency_ms] :low [:min :latency_ms] :n [:count]
                                    :bad [:count [:= :level "error"]]}}
                :when [:and [:> :n 1] [:> :sum [:prev :sum "45s"]] [:> :low 0]] :every "30s"}""",
    "alone": """{:query {:from :app :time {:last "1m"} :where [:= :level "error"]} :every "15s" :for "30s"}""",
}


@pytest.fixture(scope="module")
def hour():
    with temporary_folder() as folder:
        records = fill(folder)
        store = Store(DataDirectory(folder))
        yield Asker(Engine(store, lambda: END_US)), records
        store.close()


def changes(rule, asker, **options):
    return {
        (rule.name, one.fingerprint, one.state, one.at_us)
        for found in replay(rule, FIRST_US - 60 * S_US, END_US, asker.groups, **options)
        for one in found.transitions
    }


def test_a_replay_finds_what_must_happen(hour):
    asker, records = hour
    wanted = must_change(records)
    for one in WATCHED:
        rule = rules()[one.name]
        if one.name == "silence":
            continue  # which groups are known depends on when it begins
        late = {change for change in changes(rule, asker) if change[3] > FIRST_US + 240 * S_US}
        assert late == {
            change for change in wanted if change[0] == one.name and change[3] > FIRST_US + 240 * S_US
        }


@pytest.mark.parametrize("name", [*MORE, *(one.name for one in WATCHED)])
def test_panes_give_what_windows_give(hour, name):
    rule = read_rule(read(MORE[name]), name) if name in MORE else rules()[name]
    by_panes = changes(rule, hour[0])
    assert by_panes
    assert by_panes == changes(rule, hour[0], panes=False)


def test_more_groups_than_panes_can_have_are_asked_for_window_by_window(hour, monkeypatch):
    rule = rules()["errors"]
    by_panes = changes(rule, hour[0])
    monkeypatch.setattr(hour[0]._engine, "limits", Limits(groups_max=100))
    assert changes(rule, hour[0]) == by_panes


def test_a_replay_has_an_end(hour):
    rule = rules()["errors"]
    with pytest.raises(TooLong):
        list(replay(rule, END_US - (EVALUATIONS_MAX + 2) * rule.every_us, END_US, hour[0].groups))
