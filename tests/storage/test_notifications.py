"""The outbox of notifications: what is owed is taken in order, tried again, given up, and never lost by the way."""

from __future__ import annotations

import pytest

from storage.metadata import Metadata
from storage.notifications import Notifications, Owed, enqueue

NOW_US = 1_767_225_600_000_000
S_US = 1_000_000


@pytest.fixture
def metadata(tmp_path):
    metadata = Metadata(tmp_path / "klomp.db")
    yield metadata
    metadata.close()


@pytest.fixture
def outbox(metadata):
    return Notifications(metadata)


def owe(metadata, *names, due_us=NOW_US, kind="firing"):
    with metadata.writing() as database:
        owed = [Owed("errors", f"{i:016x}", name, kind, due_us, {"n": i}) for i, name in enumerate(names)]
        enqueue(database, owed, NOW_US)


def test_what_is_due_comes_in_the_order_in_which_it_was_owed(metadata, outbox):
    owe(metadata, "ops", "mail")
    owe(metadata, "late", due_us=NOW_US + S_US)
    due = outbox.due(NOW_US)
    assert [(one.channel, one.payload, one.state, one.attempts) for one in due] == [
        ("ops", {"n": 0}, "pending", 0),
        ("mail", {"n": 1}, "pending", 0),
    ]
    assert [one.channel for one in outbox.due(NOW_US + S_US)] == ["ops", "mail", "late"]
    assert [one.channel for one in outbox.due(NOW_US, limit=1)] == ["ops"]


def test_what_is_sent_is_not_due_again(metadata, outbox):
    owe(metadata, "ops", "mail")
    first, second = outbox.due(NOW_US)
    outbox.mark_sent([first.id], NOW_US + 5)
    assert [one.id for one in outbox.due(NOW_US + 9)] == [second.id]
    found = outbox.get(first.id)
    assert found is not None
    assert (found.state, found.sent_us, found.error) == ("sent", NOW_US + 5, None)
    outbox.mark_sent([second.id], NOW_US + 6)
    assert outbox.due(NOW_US + S_US) == []


def test_what_failed_is_due_later_and_at_last_dead_until_it_is_asked_for(metadata, outbox):
    owe(metadata, "ops")
    (one,) = outbox.due(NOW_US)
    outbox.mark_retry([one.id], "refused", NOW_US + 10 * S_US)
    assert outbox.due(NOW_US + 9 * S_US) == []
    (again,) = outbox.due(NOW_US + 10 * S_US)
    assert (again.state, again.attempts, again.error) == ("failed", 1, "refused")
    outbox.mark_dead([one.id], "refused for a day")
    assert outbox.due(NOW_US + 99 * S_US) == []
    assert [dead.attempts for dead in outbox.list(state="dead")] == [2]
    outbox.mark_retry([one.id], "too late", NOW_US)
    assert outbox.due(NOW_US + 99 * S_US) == []
    assert outbox.requeue([one.id, 4711], NOW_US + 100 * S_US) == 1
    assert [(one.state, one.attempts) for one in outbox.due(NOW_US + 100 * S_US)] == [("pending", 0)]


def test_nothing_is_owed_by_a_transaction_that_failed(metadata, outbox):
    def fail():
        with metadata.writing() as database:
            enqueue(database, [Owed("errors", "0" * 16, "ops", "firing", NOW_US, {})], NOW_US)
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011
        fail()
    assert outbox.due(NOW_US) == []


def test_lists_are_of_what_was_asked_for_the_newest_first(metadata, outbox):
    owe(metadata, "a", "b", "a")
    ids = [one.id for one in outbox.list()]
    assert ids == sorted(ids, reverse=True)
    assert [one.channel for one in outbox.list(channel="a")] == ["a", "a"]
    assert [one.id for one in outbox.list(before=ids[0], limit=1)] == [ids[1]]
    assert outbox.list(rule="other") == []


def test_only_what_was_sent_is_forgotten(metadata, outbox):
    owe(metadata, "a", "b", "c")
    ids = [one.id for one in outbox.due(NOW_US)]
    assert outbox.forget(0) == 0
    outbox.mark_sent(ids[:2], NOW_US)
    assert outbox.forget(1) == 1
    assert [one.id for one in reversed(outbox.list())] == ids[1:]


def test_what_is_owed_survives_the_process(tmp_path):
    path = tmp_path / "klomp.db"
    first = Metadata(path)
    owe(first, "ops")
    first.close()
    second = Metadata(path)
    assert [one.channel for one in Notifications(second).due(NOW_US)] == ["ops"]
    second.close()
