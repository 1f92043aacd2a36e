"""An hour with an outage in it: every rule fires and resolves at the second it must, whatever is killed on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from random import Random

import pytest

from storage.alerts import AlertTables
from storage.metadata import Metadata
from storage.notifications import Notifications
from storage.paths import DataDirectory
from storage.store import Store
from tests.support.outage import (
    END_US,
    FIRST_US,
    MINUTE_US,
    S_US,
    WATCHED,
    Ticking,
    evaluator_of,
    fill,
    must_change,
    rules,
)
from tests.support.stores import temporary_folder

RESEND_US = {("slow", "chat"): MINUTE_US, ("errors", "am"): MINUTE_US, ("doubled", "am"): MINUTE_US}


@pytest.fixture(scope="module")
def hour():
    """A store with the hour in it, and what must become of the rules."""
    with temporary_folder() as folder:
        records = fill(folder)
        yield folder, must_change(records)


@pytest.fixture
def store(hour, tmp_path):
    """A copy of it."""
    folder = tmp_path / "data"
    shutil.copytree(hour[0], folder)
    return folder


def check(folder, wanted):
    """The changes of state are those that must be, and each was told once to each channel, and none too soon."""
    metadata = Metadata(DataDirectory(folder).metadata)
    history = AlertTables(metadata).history(limit=1000)
    got = Counter((row.rule, row.fingerprint, row.state, row.at_us) for row in history)
    assert set(got) == wanted
    assert set(got.values()) == {1}
    owed = list(reversed(Notifications(metadata).list(limit=1000)))
    assert len(owed) < 1000
    told = defaultdict(list)
    for one in owed:
        told[one.rule, one.fingerprint, one.channel].append(one)
    notify = {name: rule.notify for name, rule in rules().items()}
    for (rule, fingerprint, channel), heard in told.items():
        changes = [(one.kind, one.due_us) for one in heard if one.kind != "repeat"]
        assert changes == sorted(
            ((state, at_us) for name, print_, state, at_us in wanted if (name, print_) == (rule, fingerprint)
             and state in ("firing", "resolved")),
            key=lambda change: change[1],
        )  # fmt: skip
        for before, after in pairwise(heard):
            assert after.due_us > before.due_us
            if after.kind == "repeat":
                assert after.due_us - before.due_us >= RESEND_US[rule, channel]
    firing = {(name, print_) for name, print_, state, _ in wanted if state == "firing"}
    assert set(told) == {(name, print_, channel) for name, print_ in firing for channel in notify[name]}
    metadata.close()


def test_something_of_every_rule_must_happen(hour):
    states = defaultdict(set)
    for name, _, state, _ in hour[1]:
        states[name].add(state)
    assert set(states) == {one.name for one in WATCHED}
    assert all({"firing", "resolved"} <= found for found in states.values())
    assert {"pending", "inactive"} <= states["errors"]


class Killed(BaseException):
    """The process is gone."""


def begin(data, reader, clock):
    """Make what is due now, undisturbed; how the rules stand."""
    metadata = Metadata(data.metadata)
    evaluator = evaluator_of(metadata, reader, clock)
    for one in WATCHED:
        evaluator.evaluate_due(one.name)
    evaluator.flush()
    rows = AlertTables(metadata).rules()
    metadata.close()
    return rows


def test_every_rule_fires_and_resolves_at_its_second_when_killed_around_every_transaction(
    store, hour, monkeypatch
):
    chance = Random(5)
    clock = Ticking(FIRST_US)
    commits, killed, real = 0, set(), AlertTables.commit

    def commit(self, changes, now_us):
        nonlocal commits
        if (commits, "before") not in killed:
            killed.add((commits, "before"))
            raise Killed
        real(self, changes, now_us)
        commits += 1
        if chance.random() < 0.5:
            raise Killed

    data = DataDirectory(store)
    reader = Store(data)
    begin(data, reader, clock)
    monkeypatch.setattr(AlertTables, "commit", commit)
    while clock.now_us <= END_US:
        metadata = Metadata(data.metadata)
        try:
            evaluator = evaluator_of(metadata, reader, clock)
            while clock.now_us <= END_US:
                for one in chance.sample(WATCHED, len(WATCHED)):
                    evaluator.evaluate_due(one.name)
                if chance.random() < 0.3:
                    evaluator.flush()
                clock.now_us += chance.choice([1, 10, 20]) * S_US
        except Killed:
            clock.now_us += chance.choice([0, 1, 5]) * S_US
        finally:
            metadata.close()
    clock.now_us = END_US
    monkeypatch.setattr(AlertTables, "commit", real)
    rows = begin(data, reader, clock)
    reader.close()
    assert commits > 50
    assert sum(row.made_up for row in rows.values()) > 10
    assert all(row.missed == row.made_up and not row.errors for row in rows.values())
    check(store, hour[1])


def test_the_same_when_the_process_is_killed(store, hour):
    chance = Random(7)
    at_us, kills = FIRST_US, 0
    while at_us <= END_US:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.outage", str(store), str(at_us), str(END_US)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        until_us = at_us + chance.randint(8 * MINUTE_US, 20 * MINUTE_US)
        for line in process.stdout:
            at_us = int(line)
            if at_us >= until_us and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
        process.stdout.close()
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
        at_us += chance.randint(0, 90) * S_US
    assert kills >= 2
    check(store, hour[1])
