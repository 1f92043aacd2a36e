"""Writes that the disk refuses at any step, while an indexer reads along: what is found is what was acknowledged."""

import errno
import os
import threading
import time
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.indexer import Indexer
from storage.log import Rotation, StreamLog
from storage.paths import DataDirectory
from storage.store import Store
from tests.support.stores import temporary_folder

LINE_BYTES = 30_000  # some lines make a batch of several frames


class Disk:
    """The calls of the log's thread, which fail as told; before and after each, an indexer and a reader have a look.

    `refuse` is a list of calls to fail, each `(name, calls until then, bytes written all the same)`.
    """

    def __init__(self, monkeypatch, look):
        self.refuse = []
        self._look = look
        self._looking = False
        for name in ("pwrite", "fdatasync", "ftruncate"):
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name, real):
        def call(fd, *args):
            if self._looking or not threading.current_thread().name.startswith("log-"):
                return real(fd, *args)
            self._look_again()
            at = next((i for i, (what, *_) in enumerate(self.refuse) if what == name), None)
            if at is not None:
                _, left, some = self.refuse[at]
                if left == 0:
                    del self.refuse[at]
                    if name == "pwrite":
                        real(fd, bytes(args[0])[:some], args[1])
                    self._look_again()
                    raise OSError(errno.ENOSPC if name == "pwrite" else errno.EIO, "refused")
                self.refuse[at] = (name, left - 1, some)
            if name == "pwrite" and len(args[0]) > 100:  # a short write, as POSIX has it
                args = (bytes(args[0])[: len(args[0]) * 2 // 3], args[1])
            result = real(fd, *args)
            self._look_again()
            return result

        return call

    def _look_again(self):
        self._looking = True
        try:
            self._look()
        finally:
            self._looking = False


class Bench:
    """A log, an indexer and a reader that live through everything, and what senders were told."""

    def __init__(self, root, monkeypatch, rotation):
        self.data = DataDirectory(root)
        self.indexer = Indexer(self.data)
        self.store = Store(self.data)
        self.log = StreamLog(self.data.stream("main"), rotation)
        self.acknowledged = {}
        self.disk = Disk(monkeypatch, self.look)
        self._sent = 0

    def look(self):
        """What is found is right at any moment, though not yet all of it."""
        for _ in range(3):
            self.indexer.step()
        for number, line in self.found().items():
            # The batch that is being written may be found in the moment between its sync and its answer.
            assert self.acknowledged.get(number, line) == line
            assert number in self.acknowledged or number in self.under_way

    def found(self):
        if not self.data.stream("main").catalog.exists():
            return {}
        snapshot = self.store.snapshot(["main"])
        if snapshot.queries is None:
            return {}
        addresses = [a for chunk in snapshot.scan(snapshot.queries.all()[0]) for a in chunk]
        assert len(addresses) == len(set(addresses))
        fetched = snapshot.fetch(addresses)
        assert len(fetched) == len(addresses), "a record is found and cannot be read"
        return {stored.number: stored.line for stored in fetched}

    def send(self, count):
        lines = []
        for _ in range(count):
            self._sent += 1
            body = b"%d " % self._sent * (LINE_BYTES // 8 if count > 2 else 3)
            lines.append(b'{"sent":%d,"x":"%s"}' % (self._sent, body))
        self.under_way = range(self.log.next_number, self.log.next_number + count)
        told = []
        done = threading.Event()
        self.log.append([1] * count, lines, lambda result: (told.append(result), done.set()))
        assert done.wait(20)
        self.under_way = ()
        if isinstance(told[0], int):
            self.acknowledged.update(zip(range(told[0], told[0] + count), lines, strict=True))

    def finish(self):
        self.disk.refuse = []
        deadline_s = time.monotonic() + 20
        while not self.log._noted:  # the log says it again in a moment
            assert time.monotonic() < deadline_s
            time.sleep(0.005)
        self.indexer.catch_up()
        assert self.found() == self.acknowledged
        assert sorted(self.acknowledged) == list(range(1, len(self.acknowledged) + 1))
        self.log.close()
        self.indexer.close()
        self.store.close()

    under_way: object = ()


@contextmanager
def bench(rotation=None, *, restarted=True):
    with pytest.MonkeyPatch.context() as monkeypatch, temporary_folder() as root:
        monkeypatch.setattr("storage.log.NOTE_RETRY_S", 0.01)
        made = Bench(root, monkeypatch, rotation or Rotation())
        yield made
        made.finish()
        if restarted:
            # A start finds the same, and goes on behind it.
            made.indexer = Indexer(made.data)
            made.store = Store(made.data)
            made.log = StreamLog(made.data.stream("main"))
            made.send(1)
            made.finish()


@pytest.mark.parametrize(
    "refuse",
    [
        [("fdatasync", 0, 0)],
        [("pwrite", 0, 0)],
        [("pwrite", 0, 20)],
        [("pwrite", 1, 50_000)],
        [("pwrite", 2, 70_000)],
        [("fdatasync", 0, 0), ("ftruncate", 0, 0)],
        [("fdatasync", 0, 0), ("ftruncate", 0, 0), ("ftruncate", 0, 0), ("ftruncate", 0, 0)],
        [("fdatasync", 0, 0), ("fdatasync", 0, 0)],
        [("fdatasync", 0, 0), ("fdatasync", 0, 0), ("fdatasync", 0, 0), ("fdatasync", 0, 0)],
        [("pwrite", 1, 40_000), ("ftruncate", 0, 0), ("fdatasync", 0, 0)],
    ],
)
@pytest.mark.parametrize("rotation", [Rotation(), Rotation(records_max=1)], ids=["one", "many"])
def test_what_was_refused_is_never_found_and_what_follows_is(refuse, rotation):
    with bench(rotation) as made:
        made.send(2)
        made.disk.refuse = list(refuse)
        made.send(9)
        assert len(made.disk.refuse) < len(refuse), "nothing was refused"
        for count in (9, 1, 2, 9):
            made.send(count)


refusals = st.lists(
    st.tuples(
        st.sampled_from(["pwrite", "fdatasync", "ftruncate"]),
        st.integers(0, 3),
        st.integers(0, 100_000),
    ),
    max_size=3,
)


@settings(max_examples=40)
@given(steps=st.lists(st.tuples(st.sampled_from([1, 2, 7]), refusals), max_size=8), many=st.booleans())
def test_whatever_is_refused_found_is_what_was_acknowledged(steps, many):
    with bench(Rotation(records_max=8) if many else Rotation(), restarted=False) as made:
        for count, refuse in steps:
            made.disk.refuse = refuse
            made.send(count)


def test_what_could_not_be_noted_is_found_a_moment_later():
    with bench() as made:
        made.send(1)
        made.disk.refuse = [("pwrite", 1, 10)]  # the first is the batch itself
        made.send(1)
        assert made.disk.refuse == []
        assert len(made.acknowledged) == 2


def test_one_log_at_a_time(tmp_path, monkeypatch):
    from storage.errors import LogUnwritable

    monkeypatch.setattr("storage.synced.LOCK_TIMEOUT_S", 0.02)
    stream = DataDirectory(tmp_path).stream("main")
    log = StreamLog(stream)
    done = threading.Event()
    log.append([1], [b"{}"], lambda _: done.set())
    assert done.wait(10)
    with pytest.raises(LogUnwritable, match="another one writes this log"):
        StreamLog(stream)
    log.close()
    StreamLog(stream).close()
