"""Delivery: what is owed arrives, in order and at least once, through failures, crashes and channels that are gone."""

from __future__ import annotations

import dataclasses
import signal
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import server.notify.documents
from server.notify.backoff import Backoff
from server.notify.breaker import FAILURES_MAX, OPEN_S
from server.notify.channels import CHANNEL_TYPES
from server.notify.dispatcher import Dispatcher
from server.notify.outcome import failed, refused, sent
from storage.documents import Documents
from storage.metadata import Metadata
from storage.notifications import Notifications, Owed, enqueue
from tests.support.receivers import Receiver, eventually

S = 1_000_000
NOW_US = 1_767_225_600 * S


FEW = Backoff(first_s=2, attempts_max=4)
MANY = Backoff(first_s=2, attempts_max=10_000)


class World:
    """A store, a clock, and channels that do as they are told."""

    def __init__(self, path, monkeypatch=None, backoff=FEW):
        self.path = path
        self.metadata = Metadata(path)
        self.outbox = Notifications(self.metadata)
        self.documents = Documents(self.metadata)
        self.now_us = NOW_US
        self.backoff = backoff
        self.metadata._database.execute("PRAGMA synchronous = OFF")  # only processes end here, no power
        self.messages = []
        self.answer = lambda _message: sent()
        if monkeypatch:
            kind = dataclasses.replace(CHANNEL_TYPES["webhook"], send=self._send)
            monkeypatch.setitem(server.notify.documents.CHANNEL_TYPES, "webhook", kind)
        self.start()

    def _send(self, _settings, message, _sending):
        self.messages.append(message)
        return self.answer(message)

    def start(self):
        """A new process, as after a crash: all that it knows is what was written down."""
        self.dispatcher = Dispatcher(
            self.outbox,
            self.documents,
            lambda: self.now_us,
            random=lambda: 0.5,
            backoff=self.backoff,
        )

    def channel(self, name="ops", more=':group-wait "0s"', url="https://hooks.example.com"):
        body = f'{{:type :webhook, :url "{url}", {more}}}'
        self.documents.put("channel", name, body, author="a", now_us=self.now_us)

    def owe(self, *fingerprints, kind="firing", channel="ops"):
        with self.metadata.writing() as database:
            enqueue(database, [self.owed(one, kind, channel) for one in fingerprints], self.now_us)

    def owed(self, fingerprint, kind, channel):
        payload = {
            "rule": "errors",
            "status": "resolved" if kind == "resolved" else "firing",
            "fingerprint": fingerprint,
            "labels": {"service": fingerprint},
            "annotations": {},
            "starts_us": self.now_us,
            "ends_us": self.now_us if kind == "resolved" else None,
            "value": {"n": 1},
            "samples": [],
            "generator": "/v1/rules/errors",
        }
        return Owed("errors", fingerprint, channel, kind, self.now_us, payload)

    def run(self, seconds=0, step_s=1):
        for _ in range(0, seconds + 1, step_s):
            self.dispatcher.deliver()
            self.now_us += step_s * S

    @property
    def told(self):
        return [[(alert.fingerprint, alert.status) for alert in message.alerts] for message in self.messages]

    def states(self):
        return {row.id: row.state for row in self.outbox.list()}

    def close(self):
        self.dispatcher.close()
        self.metadata.close()


@pytest.fixture
def world(tmp_path, monkeypatch):
    world = World(tmp_path / "klomp.db", monkeypatch)
    yield world
    world.close()


def test_a_group_waits_for_others_and_goes_once(world):
    world.channel(more=':group-wait "10s"')
    world.owe("a")
    world.run(4)
    world.owe("b")
    world.run(4)
    assert world.told == []
    world.run(2)
    assert world.told == [[("a", "firing"), ("b", "firing")]]
    world.run(60)
    assert len(world.told) == 1
    assert set(world.states().values()) == {"sent"}


def test_what_fails_is_tried_again_later_and_later_then_is_dead_and_can_be_sent_again(world):
    world.channel()
    world.owe("a")
    world.answer = lambda _: failed("hooks.example.com answered 500", status=500)
    world.run(30)
    # Half of 2, 4 and 8 seconds, and what each second the test looks.
    assert [(message.sent_us - NOW_US) // S for message in world.messages] == [0, 1, 3, 7]
    (row,) = world.outbox.list(state="dead")
    assert (row.attempts, row.error) == (4, "hooks.example.com answered 500")
    attempts = world.outbox.attempts(row.id)
    assert [(one.error, one.status) for one in attempts] == [("hooks.example.com answered 500", 500)] * 4
    world.answer = lambda _: sent()
    assert world.outbox.requeue_channel("ops", world.now_us) == 1
    world.run(120)
    assert world.told[-1] == [("a", "firing")]
    assert world.states() == {row.id: "sent"}


def test_a_channel_that_asks_to_be_left_alone_is(world):
    world.channel()
    world.owe("a")
    answers = iter([failed("busy", retry_after_s=100, status=429), sent()])
    world.answer = lambda _: next(answers)
    world.run(130)
    assert [(message.sent_us - NOW_US) // S for message in world.messages] == [0, 101]


def test_what_is_refused_is_dead_at_once_and_does_not_open_the_breaker(world):
    world.channel(more=':group-wait "0s", :group-by [:service]')
    world.answer = lambda message: refused("no", 400) if message.group["service"] != "good" else sent()
    world.owe(*(f"bad{n}" for n in range(10)), "good")
    world.run(1)
    assert len(world.outbox.list(state="dead")) == 10
    assert world.told[-1] == [("good", "firing")]


def test_a_breaker_leaves_a_channel_alone_also_over_a_restart(world):
    world.channel(more=':group-wait "0s", :group-by [:service]')
    world.owe(*"abcdefghij")
    world.answer = lambda _: failed("no answer in time")
    world.run(OPEN_S - 2)
    assert len(world.messages) == FAILURES_MAX
    world.start()
    world.run(0)
    assert len(world.messages) == FAILURES_MAX
    world.run(3)
    assert len(world.messages) == FAILURES_MAX + 1  # one to try, and it failed: for twice as long
    world.answer = lambda _: sent()
    world.run(2 * OPEN_S + 10)
    assert set(world.states().values()) == {"sent"}
    assert world.outbox.breakers() == {}


def test_one_channel_does_not_hold_up_another_and_a_missing_one_is_named(world):
    world.channel("bad")
    world.channel("good")
    world.answer = lambda message: sent() if message.channel == "good" else failed("down")
    for name in ("bad", "good", "gone"):
        world.owe("a", channel=name)
    world.run(0)
    states = {row.channel: (row.state, row.error) for row in world.outbox.list()}
    assert states == {
        "bad": ("failed", "down"),
        "good": ("sent", None),
        "gone": ("dead", "there is no channel 'gone'"),
    }


def test_a_changed_channel_is_tried_at_once(world):
    world.channel()
    world.owe(*"abc")
    world.answer = lambda _: failed("down")
    world.run(1)
    world.answer = lambda _: sent()
    world.channel(more=':group-wait "0s", :title "x"')
    world.run(10)
    assert set(world.states().values()) == {"sent"}


def test_a_sender_that_breaks_does_not_end_delivery(world, caplog):
    world.channel()
    world.owe("a")

    def broken(_message):
        raise RuntimeError("a bug")

    world.answer = broken
    world.run(2)
    assert "goes on in 5 s" in caplog.text
    world.answer = lambda _: sent()
    world.run(6)
    assert set(world.states().values()) == {"sent"}


def test_a_disk_that_refuses_does_not_send_again_and_again(world, monkeypatch):
    world.channel()
    world.owe("a")
    write = world.outbox.mark_sent

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(world.outbox, "mark_sent", full)
    world.run(60)
    assert world.told == [[("a", "firing")]]
    monkeypatch.setattr(world.outbox, "mark_sent", write)
    world.owe("b")
    world.run(10)
    assert world.told == [[("a", "firing")], [("b", "firing")]]
    assert set(world.states().values()) == {"sent"}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("owe"), st.sampled_from("abc")),
        st.tuples(st.just("answer"), st.sampled_from(["ok", "fail", "crash"])),
        st.tuples(st.just("wait"), st.integers(1, 90)),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=25,
)


class Crash(BaseException):
    """The process ends between sending and writing that down."""


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_happens_the_last_word_on_each_alert_arrives_last(tmp_path_factory, monkeypatch, steps):
    """At least once, in order: what a receiver heard last of an alert is its state, once the channel works again."""
    world = World(tmp_path_factory.mktemp("world") / "klomp.db", monkeypatch, MANY)
    world.channel(more=':group-wait "3s"')
    state, heard, mode = {}, {}, "ok"

    def answer(message):
        if mode == "fail":
            return failed("down")
        for alert in message.alerts:
            heard[alert.fingerprint] = (alert.status, alert.starts_us)
        if mode == "crash":
            raise Crash
        return sent()

    world.answer = answer
    for what, how in steps:
        if what == "owe":
            state[how] = ("resolved" if state.get(how, ("",))[0] == "firing" else "firing", world.now_us)
            world.owe(how, kind=state[how][0])
        elif what == "answer":
            mode = how
        for _ in range(how if what == "wait" else 1):
            try:
                world.run(0)
            except Crash:
                world.start()
        if what == "restart":
            world.start()
    mode = "ok"
    world.run(5000, step_s=50)
    assert heard == state
    assert set(world.states().values()) <= {"sent"}
    world.close()


CHILD = """
import sys, time, random
from pathlib import Path
from server.clock import now_us
from server.notify.dispatcher import Dispatcher
from storage.documents import Documents
from storage.metadata import Metadata
from storage.notifications import Notifications
metadata = Metadata(Path(sys.argv[1]))
dispatcher = Dispatcher(Notifications(metadata), Documents(metadata), now_us, random=random.random)
print("ready", flush=True)
while True:
    dispatcher.tick()
    time.sleep(0.01)
"""


def test_kill_9_while_sending_sends_again_and_loses_nothing(tmp_path):
    world = World(tmp_path / "klomp.db")
    with Receiver() as receiver:
        world.channel(more=':allow-private true, :group-wait "0s", :group-by [:service]', url=receiver.url)
        world.owe(*(f"s{n}" for n in range(6)))
        receiver.release.clear()  # it has the request, and does not answer
        for _ in range(1):
            child = subprocess.Popen([sys.executable, "-c", CHILD, str(world.path)], stdout=subprocess.PIPE)
            assert child.stdout
            before = len(receiver.got)
            child.stdout.readline()
            eventually(lambda before=before: len(receiver.got) > before)
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
        assert set(world.states().values()) == {"pending"}
        receiver.release.set()
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(world.path)], stdout=subprocess.DEVNULL)
        try:
            eventually(lambda: set(world.states().values()) == {"sent"})
        finally:
            child.kill()
            child.wait()
        deliveries = [
            (got.headers["klomp-delivery"], got.json["alerts"][0]["fingerprint"]) for got in receiver.got
        ]
        assert {fingerprint for _, fingerprint in deliveries} == {f"s{n}" for n in range(6)}
        # What came several times can be told by its id.
        assert len(set(deliveries)) == 6
        assert len(deliveries) > 6
    world.close()
