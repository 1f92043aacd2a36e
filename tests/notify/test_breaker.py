"""Waiting: the backoff between attempts, and the breaker that leaves a channel alone."""

from hypothesis import given
from hypothesis import strategies as st

from server.notify.backoff import RETRY_AFTER_S_MAX, Backoff
from server.notify.breaker import FAILURES_MAX, OPEN_S, OPEN_S_MAX, Breaker
from storage.times import US_PER_S

DRAWN = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 200), DRAWN, st.none() | st.floats(0, 10_000))
def test_a_wait_lies_within_its_bound_after_what_was_asked_for(attempts, drawn, asked_s):
    backoff = Backoff()
    wait_s = backoff.wait_us(attempts, lambda: drawn, asked_s) / US_PER_S
    least = min(asked_s or 0, RETRY_AFTER_S_MAX)
    assert least - 1e-6 <= wait_s <= least + min(backoff.most_s, 5 * 2 ** (attempts - 1)) + 1e-6


def test_waits_double_up_to_a_bound_and_attempts_end():
    backoff = Backoff(first_s=1, most_s=10, attempts_max=3)
    assert [backoff.bound_s(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert [backoff.is_exhausted(n) for n in (1, 2, 3)] == [False, False, True]


def test_it_opens_after_failures_in_a_row_tries_once_and_closes():
    breaker, now = Breaker(), 0
    for _ in range(FAILURES_MAX - 1):
        breaker.begin(now)
        breaker.fail(now)
    breaker.begin(now)
    breaker.succeed()
    for _ in range(FAILURES_MAX):
        assert breaker.state(now) == "closed"
        breaker.begin(now)
        breaker.fail(now)
    assert breaker.state(now) == "open"
    assert not breaker.allows(now + OPEN_S * US_PER_S - 1)
    now += OPEN_S * US_PER_S
    assert breaker.state(now) == "half-open"
    breaker.begin(now)
    assert not breaker.allows(now)
    breaker.fail(now)
    assert not breaker.allows(now + 2 * OPEN_S * US_PER_S - 1)
    now += 2 * OPEN_S * US_PER_S
    breaker.begin(now)
    breaker.succeed()
    assert breaker.state(now) == "closed"


@given(st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=60))
def test_it_is_never_open_for_longer_than_its_bound(steps):
    breaker, now = Breaker(), 0
    for wait_s, succeeds in steps:
        now += wait_s * US_PER_S
        if breaker.allows(now):
            breaker.begin(now)
            breaker.succeed() if succeeds else breaker.fail(now)
        assert breaker.allows(now + OPEN_S_MAX * US_PER_S)
