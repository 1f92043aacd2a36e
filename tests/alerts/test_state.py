"""The states of alerts against a model that looks back over all evaluations instead of remembering."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.alerts.state import (
    GRACE_US,
    MINUTE_US,
    OUTAGE_TOLERANCE_US,
    RESOLVED_KEPT_US,
    Alert,
    Found,
    Resend,
    fingerprint_of,
    noted,
    owed,
    restore,
    step,
)

NOW_US = 1_767_225_600_000_000
S_US = 1_000_000
NAMES = ("auth", "edge")
GROUPS = {fingerprint_of({"service": name}): name for name in NAMES}

durations = st.sampled_from([0, 30, 60, 90, 150, 600]).map(lambda s: s * S_US)
gaps = st.sampled_from([30, 30, 30, 60, 300, 1000]).map(lambda s: s * S_US)
runs = st.lists(st.tuples(gaps, st.sets(st.sampled_from(NAMES))), min_size=1, max_size=40)


def found_of(names, for_us):
    return {
        fingerprint_of({"service": name}): Found(
            "group", {"service": name}, {"summary": name}, {"n": 1}, for_us
        )
        for name in names
    }


class Model:
    """The state of one alert at each evaluation, by looking back."""

    def __init__(self, times, found, for_us, keep_us):
        self.times, self.found, self.for_us, self.keep_us = times, found, for_us, keep_us
        self.firing = []
        for i in range(len(times)):
            self.firing.append(self._fires(i))

    def _start(self, i, value):
        """When the run of equal findings began that holds an evaluation."""
        while i > 0 and self.found[i - 1] is value:
            i -= 1
        return self.times[i]

    def _fires(self, i):
        fired = i > 0 and self.firing[i - 1]
        if self.found[i]:
            return fired or self.times[i] - self._start(i, True) >= self.for_us
        return fired and self.times[i] - self._start(i, False) < self.keep_us

    def state(self, i):
        if self.firing[i]:
            return "firing"
        if self.found[i]:
            return "pending"
        last = max((j for j in range(i) if self.firing[j]), default=None)
        if last is None or any(self.found[last + 1 : i]):
            return None
        return "resolved" if self.times[i] - self.times[last + 1] <= RESOLVED_KEPT_US else None


@given(runs, durations, durations)
@settings(max_examples=300)
def test_states_are_those_of_the_model(run, for_us, keep_us):
    times, at_us = [], NOW_US
    for gap_us, _ in run:
        at_us += gap_us
        times.append(at_us)
    models = {name: Model(times, [name in names for _, names in run], for_us, keep_us) for name in NAMES}
    alerts = {}
    for i, (_, names) in enumerate(run):
        before = alerts
        made = step(alerts, found_of(names, for_us), times[i], keep_us)
        alerts = made.alerts
        for fingerprint, name in GROUPS.items():
            want = models[name].state(i)
            got = alerts.get(fingerprint)
            assert (None if got is None else got.state) == want
            changes = [one for one in made.transitions if one.fingerprint == fingerprint]
            was = before[fingerprint].state if fingerprint in before else None
            if was == want or (was, want) == ("resolved", None):
                assert not changes
            else:
                (change,) = changes
                assert change.state == (want or "inactive")
                assert change.at_us == times[i]
                assert change.was == ("inactive" if was in (None, "resolved") else was)


@given(runs, durations, durations, st.sampled_from([None, MINUTE_US, 5 * MINUTE_US]))
@settings(max_examples=300)
def test_each_firing_is_told_once_its_end_once_and_nothing_too_soon(run, for_us, keep_us, repeat_us):
    channels = {"chat": Resend(repeat_us), "alertmanager": Resend(MINUTE_US, MINUTE_US)}
    alerts, at_us = {}, NOW_US
    said = {(fingerprint, channel): [] for fingerprint in GROUPS for channel in channels}
    told_last = {}
    for gap_us, names in run:
        at_us += gap_us
        made = step(alerts, found_of(names, for_us), at_us, keep_us)
        tellings = list(owed(made.alerts, channels, at_us, lambda *_: None))
        alerts = noted(made.alerts, tellings, at_us)
        kinds = {(one.fingerprint, one.channel): one.kind for one in tellings}
        assert len(kinds) == len(tellings)
        begun = {change.fingerprint for change in made.transitions if change.state == "firing"}
        ended = {change.fingerprint for change in made.transitions if change.state == "resolved"}
        for (fingerprint, channel), heard in said.items():
            kind = kinds.get((fingerprint, channel))
            assert (kind == "firing") == (fingerprint in begun)
            assert (kind == "resolved") == (fingerprint in ended)
            every_us = repeat_us if channel == "chat" else MINUTE_US
            if kind == "repeat":
                assert every_us is not None
                assert at_us - told_last[fingerprint, channel] >= every_us
            elif kind is None and fingerprint in alerts and every_us is not None:
                state = alerts[fingerprint].state
                wanted = state == "firing" or (state == "resolved" and channel == "alertmanager")
                assert not wanted or at_us - told_last[fingerprint, channel] < every_us
            if kind is not None:
                told_last[fingerprint, channel] = at_us
                heard.append(kind)
    for heard in said.values():
        changes = [kind for kind in heard if kind != "repeat"]
        assert changes == (["firing", "resolved"] * len(changes))[: len(changes)]


def test_labels_identify_in_whatever_order():
    assert fingerprint_of({"a": "1", "b": "2"}) == fingerprint_of({"b": "2", "a": "1"})
    assert fingerprint_of({"a": "1"}) != fingerprint_of({"a": "2"})
    assert fingerprint_of({"a": "b", "c": "d"}) != fingerprint_of({"a": "bc", "": "d"})
    assert len(fingerprint_of({})) == 16


def pending(since_us):
    return Alert("group", {}, {}, {}, "pending", since_us)


@pytest.mark.parametrize(
    ("for_min", "pending_min", "gap_min", "left_min"),
    [
        (30, 5, 20, 25),  # the gap does not count
        (30, 25, 20, 10),  # five minutes were left: the grace is waited for
        (30, 30, 20, 0),  # it was to fire
        (30, 45, 20, 0),
        (9, 5, 20, 9),  # shorter than the grace: anew
        (30, 5, 61, 30),  # too long a gap: anew
        (30, 5, 60, 25),
    ],
)
def test_what_was_pending_before_a_gap_fires_after_what_was_left(for_min, pending_min, gap_min, left_min):
    at_us = NOW_US + gap_min * MINUTE_US
    before = {"a": pending(NOW_US - pending_min * MINUTE_US)}
    (after,) = restore(before, NOW_US, at_us, for_min * MINUTE_US).values()
    left_us = for_min * MINUTE_US - (at_us - after.active_us)
    assert max(left_us, 0) == left_min * MINUTE_US


spans = st.integers(0, 3 * OUTAGE_TOLERANCE_US)


@given(spans, spans, spans)
def test_after_a_gap_nothing_fires_sooner_than_it_would_have(for_us, pending_us, gap_us):
    at_us = NOW_US + gap_us
    (after,) = restore({"a": pending(NOW_US - pending_us)}, NOW_US, at_us, for_us).values()
    left_us = max(for_us - (at_us - after.active_us), 0)
    left_before_us = max(for_us - pending_us, 0)
    assert left_us >= left_before_us
    if left_before_us > 0 and for_us >= GRACE_US:
        assert left_us >= GRACE_US
    assert left_us <= max(for_us, GRACE_US)


def test_what_fires_before_a_gap_fires_after_it():
    one = firing({})
    assert restore({"a": one}, NOW_US, NOW_US + 9 * OUTAGE_TOLERANCE_US, 0) == {"a": one}


def firing(told):
    return replace(pending(NOW_US), state="firing", fired_us=NOW_US, told=told)


def test_a_silence_keeps_quiet_and_the_end_is_told_to_who_was_told():
    channels = {"chat": Resend(MINUTE_US)}
    new = {"a": firing({})}
    assert list(owed(new, channels, NOW_US, lambda *_: "silenced")) == []
    told = {"a": firing({"chat": ("firing", NOW_US)})}
    later_us = NOW_US + 5 * MINUTE_US
    assert list(owed(told, channels, later_us, lambda *_: "acknowledged")) == []
    assert [one.kind for one in owed(told, channels, later_us, lambda *_: None)] == ["repeat"]
    ended = {"a": replace(told["a"], state="resolved", resolved_us=later_us)}
    assert [one.kind for one in owed(ended, channels, later_us, lambda *_: "silenced")] == ["resolved"]
    never = {"a": replace(new["a"], state="resolved", resolved_us=later_us)}
    assert list(owed(never, channels, later_us, lambda *_: None)) == []


def test_the_end_is_told_to_a_channel_that_the_rule_no_longer_names():
    told = {"a": replace(firing({"old": ("firing", NOW_US)}), state="resolved", resolved_us=NOW_US)}
    assert [(one.channel, one.kind) for one in owed(told, {}, NOW_US, lambda *_: None)] == [
        ("old", "resolved")
    ]
    assert list(owed({"a": firing({"old": ("firing", NOW_US)})}, {}, NOW_US, lambda *_: None)) == []
