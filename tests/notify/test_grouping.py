"""Which notifications go together: none is lost, none goes twice, the newest word on an alert is what is said."""

from hypothesis import given
from hypothesis import strategies as st

from server.notify.grouping import batches
from storage.notifications import Notification

S = 1_000_000


def owed(number, fingerprint="a", kind="firing", rule="errors", labels=None, due_us=0, attempts=0, next_us=0):
    status = "resolved" if kind == "resolved" else "firing"
    payload = {
        "rule": rule,
        "status": status,
        "fingerprint": fingerprint,
        "labels": labels or {"service": fingerprint},
    }
    state = "failed" if attempts else "pending"
    return Notification(
        number, rule, fingerprint, "ops", kind, 0, due_us, payload, state, attempts, next_us, None, None
    )


def ids(batch):
    return [one.id for one in batch.newest], [one.id for one in batch.all]


def test_the_newest_word_is_said_and_the_others_count_as_said():
    waiting = [owed(1), owed(2, "b"), owed(3, kind="resolved"), owed(4, "b", kind="repeat")]
    (batch,) = batches(waiting, ("rule",), 10 * S, 100)
    assert ids(batch) == ([3, 4], [1, 3, 2, 4])
    assert batch.group == {"rule": "errors"}
    assert batch.ready_us == 10 * S


def test_groups_by_labels_and_by_nothing():
    waiting = [owed(1, "a"), owed(2, "b"), owed(3, "c", labels={"host": "x"})]
    assert [batch.group for batch in batches(waiting, ("service",), 0, 100)] == [
        {"service": "a"},
        {"service": "b"},
        {"service": ""},
    ]
    (batch,) = batches(waiting, (), 0, 100)
    assert ids(batch)[0] == [1, 2, 3]
    assert [ids(batch)[0] for batch in batches(waiting, (), 0, 2)] == [[1, 2], [3]]


def test_what_comes_after_a_failure_waits_for_the_next_attempt():
    """Else that an alert is over would arrive before that it began."""
    waiting = [owed(1, attempts=2, next_us=50 * S), owed(2, kind="resolved", due_us=5 * S, next_us=5 * S)]
    (batch,) = batches(waiting, ("rule",), 10 * S, 100)
    assert batch.ready_us == 50 * S
    assert ids(batch) == ([2], [1, 2])


OWED = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["firing", "resolved", "repeat"]),
        st.sampled_from(["errors", "slow"]),
        st.integers(0, 100),
        st.integers(0, 3),
    ),
    max_size=30,
)


@given(OWED, st.sampled_from([(), ("rule",), ("service",), ("rule", "service")]), st.integers(1, 5))
def test_none_is_lost_none_goes_twice(rows, group_by, batch_max):
    waiting = [
        owed(number, fingerprint, kind, rule, due_us=due, attempts=attempts, next_us=due)
        for number, (fingerprint, kind, rule, due, attempts) in enumerate(rows, 1)
    ]
    made = batches(waiting, group_by, 7, batch_max)
    assert sorted(one.id for batch in made for one in batch.all) == [one.id for one in waiting]
    for batch in made:
        assert 1 <= len(batch.newest) <= batch_max
        assert all(one in batch.all for one in batch.newest)
        for one in batch.all:
            newest = [n for n in batch.newest if (n.rule, n.fingerprint) == (one.rule, one.fingerprint)]
            assert len(newest) == 1
            assert newest[0].id >= one.id
    assert [batch.ready_us for batch in made] == sorted(batch.ready_us for batch in made)
