"""A loss of power at any instant: what was acknowledged is there once, what was removed stays so, and all starts."""

import errno
import os
import threading

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.catalog import load_catalog
from storage.check import check
from storage.drop import collect, delete_stream, drop
from storage.findings import Severity
from storage.format import Ticket
from storage.indexer import Indexer
from storage.log import StreamLog
from storage.paths import DataDirectory
from storage.rewrite import compact, delete
from storage.store import Store
from tests.support.stores import MEMORY, temporary_folder
from tests.support.unsynced import Loss, Recorder, leave

EXAMPLES = int(os.environ.get("KLOMP_POWER_EXAMPLES", "60"))  # more by hand: each takes some 40 ms

pytestmark = pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a tmpfs, where inodes are not used again")


class Story:
    """A store that goes through everything once, and what is promised of each record at any moment.

    Attributes:
        must: Records that are acknowledged and nobody asked to remove: id -> number.
        may: Records that may be there or not: sent and not acknowledged, or being removed.
    """

    def __init__(self, root):
        self.data = DataDirectory(root)
        self.must = {}
        self.may = set()
        self.recorder = Recorder(root, lambda: (dict(self.must), frozenset(self.may)))
        self._next = 0
        self._refuse = False

    def run(self):
        with self.recorder.recording():
            self._tell()

    def _tell(self):
        self.indexer = Indexer(self.data)
        self.log = StreamLog(self.data.stream("main"))
        other = StreamLog(self.data.stream("other"))
        self.send(3)
        self.send(2, log=other, keep=False)
        self.indexer.catch_up()
        self.send(1, ticket="one")
        self.rotate()
        self.send(20, size=9000)  # several frames
        self.send(2)
        self.indexer.catch_up()
        self.refused(3)
        self.send(2, ticket="two")
        self.indexer.step()
        self.rotate()
        self.indexer.catch_up()
        self.send(4)
        self.rotate()
        self.indexer.catch_up()
        other.close()
        directory = self.data.stream("main")
        sealed = [s for s in load_catalog(directory.catalog).segments if s.sealed]
        assert len(sealed) == 3
        compact(directory, sealed[:2])
        self.send(1)
        entry = load_catalog(directory.catalog).segments[0]
        gone = {i for i, number in self.must.items() if number % 3 == 0 and number < entry.until}
        self.remove(gone, lambda: delete(directory, entry, lambda number, *_: number % 3 != 0))
        self.indexer.catch_up()
        first = load_catalog(directory.catalog).segments[0]
        gone = {i for i, number in self.must.items() if number < first.until}
        self.remove(
            gone, lambda: drop(directory, lambda c: [s for s in c.segments if s.first == first.first])
        )
        deleting = threading.Thread(target=delete_stream, args=(self.data, "other"))
        deleting.start()
        while deleting.is_alive():
            self.indexer.step()  # it has a hold on the stream
        self.send(2)
        self.indexer.catch_up()
        collect(directory, 0)
        self.log.close()
        self.indexer.close()

    def send(self, count, *, log=None, keep=True, ticket=None, size=10):
        ids = list(range(self._next, self._next + count))
        self._next += count
        self.may.update(ids)
        lines = [orjson.dumps({"id": i, "x": "y" * size}) for i in ids]
        done = threading.Event()

        def tell(result):
            if isinstance(result, int) and keep:
                self.must.update({i: result + n for n, i in enumerate(ids)})
                self.may.difference_update(ids)
            done.set()

        ticket = Ticket(ticket, b"d" * 16, 2**50, count) if ticket else None
        (log or self.log).append([1_000_000 * i for i in ids], lines, tell, ticket)
        assert done.wait(20)

    def refused(self, count):
        """A batch whose sync fails: after its answer it must not come back."""
        before = set(self.may)
        real = os.fdatasync
        failed = []

        def refuse(fd):
            if not failed:
                failed.append(fd)
                raise OSError(errno.EIO, "refused")
            real(fd)

        os.fdatasync = refuse
        try:
            self.send(count)
        finally:
            os.fdatasync = real
        self.may = before

    def rotate(self):
        done = threading.Event()
        self.log.rotate(lambda _: done.set())
        assert done.wait(20)

    def remove(self, ids, how):
        for i in ids:
            del self.must[i]
        self.may |= ids
        how()
        self.may = self.may - ids


@pytest.fixture(scope="module")
def story():
    with temporary_folder() as root:
        (root / "data").mkdir()
        story = Story(root / "data")
        story.run()
        yield story


def found(data):
    """id -> number of everything that a search finds."""
    snapshot = Store(data).snapshot(["main"])
    if snapshot.queries is None:
        return {}
    addresses = [a for chunk in snapshot.scan(snapshot.queries.all()[0]) for a in chunk]
    records = snapshot.fetch(addresses)
    assert len(records) == len(addresses), "a record is found and cannot be read"
    assert snapshot.incomplete is None
    ids = [orjson.loads(record.line)["id"] for record in records]
    assert len(ids) == len(set(ids)), "a record is there twice"
    return {i: record.number for i, record in zip(ids, records, strict=True)}


def start(data, *, log_first):
    """What a server does, in either order, and a record more."""
    log = StreamLog(data.stream("main")) if log_first else None
    indexer = Indexer(data)
    indexer.catch_up()
    log = log or StreamLog(data.stream("main"))
    done = threading.Event()
    log.append([1], [b'{"id":-1}'], lambda _: done.set())
    assert done.wait(20)
    indexer.catch_up()
    log.close()
    indexer.close()


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_whatever_a_loss_of_power_leaves_is_whole(story, choice):
    at = choice.draw(st.integers(0, len(story.recorder.instants) - 1), "instant")
    loss = Loss(
        choice.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]), "names lost"),
        choice.draw(st.sampled_from([0.0, 0.5, 1.0]), "bytes lost"),
        choice.draw(st.integers(0, 2**32), "seed"),
    )
    log_first = choice.draw(st.booleans(), "log first")
    survives(story.recorder.instants[at], loss, log_first=log_first)


def survives(instant, loss, *, log_first):
    must, may = instant.note
    with temporary_folder() as folder:
        leave(instant, loss, folder / "data")
        data = DataDirectory(folder / "data")
        start(data, log_first=log_first)
        there = found(data)
        assert there.pop(-1), "the record that came after"
        lost = {i: number for i, number in must.items() if there.get(i) != number}
        assert not lost, f"after {instant.after}: {len(lost)} acknowledged records are lost"
        assert there.keys() <= must.keys() | may, (
            f"after {instant.after}: removed or refused records are back"
        )
        report = check(data)
        told = [f for f in report.findings if f.severity > Severity.HARMLESS]
        assert not told, f"after {instant.after}: {told}"
        again = Indexer(data)
        again.catch_up()
        again.close()
        assert set(found(data)) == {*there, -1}


def test_the_story_goes_through_everything(story):
    done = {instant.after.split()[0] for instant in story.recorder.instants}
    assert done == {
        "write",
        "pwrite",
        "ftruncate",
        "replace",
        "rename",
        "mkdir",
        "link",
        "unlink",
        "rmdir",
        "fsync",
        "fdatasync",
    }
    must, _ = story.recorder.instants[-1].note
    assert len(must) > 5
