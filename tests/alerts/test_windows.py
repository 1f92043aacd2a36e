"""When rules are evaluated: on aligned times, each its own, and what was missed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.alerts.windows import MADE_UP_MAX, MADE_UP_US, due, newest, shift_of

S_US = 1_000_000
NOW_US = 1_767_225_600_000_000
everies = st.sampled_from([1, 30, 60, 300, 3600]).map(lambda s: s * S_US)
names = st.text(min_size=1, max_size=8)


@given(everies, names, st.integers(0, 10_000 * S_US))
def test_times_are_whole_multiples_shifted(every_us, name, after_us):
    shift_us = shift_of(name, every_us)
    assert 0 <= shift_us < every_us
    at_us = newest(NOW_US + after_us, every_us, shift_us)
    assert (at_us - shift_us) % every_us == 0
    assert 0 <= NOW_US + after_us - at_us < every_us


@given(everies, names, st.lists(st.integers(0, 400 * S_US), min_size=1, max_size=30))
def test_every_evaluation_is_made_once_or_counted_as_missed(every_us, name, waits):
    shift_us = shift_of(name, every_us)
    first_us = last_us = newest(NOW_US, every_us, shift_us)
    now_us, made, missed, made_up = NOW_US, 0, 0, 0
    for wait_us in waits:
        now_us += wait_us
        found = due(last_us, now_us, every_us, shift_us)
        assert list(found.times_us) == sorted(set(found.times_us))
        assert all(last_us < at_us <= now_us for at_us in found.times_us)
        if found.times_us:
            assert found.gap is (found.times_us[0] > last_us + every_us)
            assert len(found.times_us) - 1 <= MADE_UP_MAX
            assert found.times_us[-1] - found.times_us[0] <= MADE_UP_US
            # No more are left out than the bounds ask for.
            one_more_us = found.times_us[-1] - len(found.times_us) * every_us
            within = found.times_us[-1] - one_more_us <= MADE_UP_US
            assert not (found.gap and len(found.times_us) <= MADE_UP_MAX and within)
            assert found.missed == (found.times_us[-1] - last_us) // every_us - 1
        made += len(found.times_us)
        missed += found.missed
        made_up += max(len(found.times_us) - 1, 0)
        last_us = found.times_us[-1] if found.times_us else last_us
        assert last_us == newest(now_us, every_us, shift_us)
    assert made - made_up + missed == (last_us - first_us) // every_us


def test_after_a_long_gap_the_newest_are_made():
    found = due(NOW_US, NOW_US + 3600 * S_US, 10 * S_US, 0)
    assert found.times_us == tuple(NOW_US + s * S_US for s in range(3500, 3601, 10))
    assert (found.missed, found.gap) == (359, True)
    # Of a rule that is evaluated seldom only one: the one before is too long ago.
    assert due(NOW_US, NOW_US + 3600 * S_US, 600 * S_US, 0).times_us == (NOW_US + 3600 * S_US,)


def test_the_first_evaluation_is_the_newest_time_and_none_was_missed():
    assert due(None, NOW_US + 1, 30 * S_US, 0).times_us == (NOW_US,)
    assert due(None, NOW_US + 1, 30 * S_US, 0).missed == 0


def test_a_clock_that_was_set_back_does_not_stop_evaluations():
    assert due(NOW_US + 3600 * S_US, NOW_US, 30 * S_US, 0).times_us == (NOW_US,)
    assert due(NOW_US + 10 * S_US, NOW_US, 30 * S_US, 0).times_us == ()


def test_many_rules_are_spread():
    shifts = [shift_of(f"rule-{i}", 30 * S_US) // S_US for i in range(1000)]
    assert max(map(shifts.count, range(30))) < 70
