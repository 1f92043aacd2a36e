"""A suspected index: what is damaged is made anew at once, what is whole stays, and a second look has to wait."""

import random
import threading

import pytest

from storage.catalog import load_catalog
from storage.examination import Examination
from storage.indexer import Indexer
from storage.paths import DataDirectory
from storage.stop import Stop
from storage.store import Store
from storage.suspicion import AGAIN_AFTER_S, is_cleared, suspect, suspect_file
from tests.storage.test_check import flip
from tests.storage.test_indexer import check, index, write
from tests.storage.test_scrub import sealed


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    write(data, 300, segment_bytes_max=2500)
    write(data, 100, stream="other", segment_bytes_max=1000)
    index(data)
    return data


class Clock:
    """A clock that is set by hand."""

    now_s = 0.0

    def __call__(self):
        return self.now_s


def rebuilding(data):
    return {
        (name, entry.first)
        for name in data.stream_names()
        for entry in load_catalog(data.stream(name).catalog).segments
        if entry.rebuilding
    }


def step_all(examination):
    rounds = 0
    while examination.step():
        rounds += 1
    return rounds


def test_nothing_is_looked_through_unless_somebody_asks(data):
    folder, _ = sealed(data)[0]
    flip(next(folder.index.glob("*.term")), 30)
    examination = Examination(data, Clock())
    assert step_all(examination) == 0
    suspect(data)
    assert step_all(examination) == len(sealed(data)) + 1
    assert not suspect_file(data).exists()
    assert rebuilding(data) == {("main", folder.first)}


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_what_is_damaged_is_made_anew_and_nothing_else(data, harm):
    chosen = random.Random(harm).sample(sealed(data), 3)
    for folder, _ in chosen:
        path = next(folder.index.glob("*.idx"))
        if harm == "flipped":
            flip(path, path.stat().st_size // 2)
        elif harm == "cut":
            path.write_bytes(b"")
        else:
            path.unlink()
    suspect(data)
    step_all(Examination(data, Clock()))
    assert rebuilding(data) == {(folder.root.parents[1].name, folder.first) for folder, _ in chosen}
    index(data)
    assert not rebuilding(data)
    check(data, 300)
    check(data, 100, "other")


def test_a_second_look_waits(data):
    clock = Clock()
    examination = Examination(data, clock)
    suspect(data)
    assert step_all(examination)
    suspect(data)
    assert not examination.step()
    clock.now_s = AGAIN_AFTER_S
    assert step_all(examination)
    assert not suspect_file(data).exists()


def test_who_asks_waits_for_a_running_indexer(data):
    store = Store(data)
    indexer, ended = Indexer(data), threading.Event()
    thread = threading.Thread(target=indexer.run, args=(ended.wait,))
    thread.start()
    try:
        assert store.is_cleared(Stop())
        # The next failure within a minute has another reason: it is told at once.
        assert not store.is_cleared(Stop())
        assert not suspect_file(data).exists()
    finally:
        ended.set()
        thread.join()
        indexer.close()
    suspect(data)
    slept = []
    assert not is_cleared(data, 0.5, sleep=slept.append)
    assert sum(slept) == pytest.approx(0.5)


def test_a_frame_that_goes_bad_before_its_segment_is_sealed_is_not_sealed_as_whole(tmp_path):
    data = DataDirectory(tmp_path)
    write(data, 100)
    index(data)
    folder = data.stream("main").segment(1)
    flip(folder.data, folder.data.stat().st_size // 2)
    write(data, 50, start=100, segment_bytes_max=1)
    index(data)
    first = load_catalog(data.stream("main").catalog).segments[0]
    assert first.sealed
    assert first.damaged == 1
    assert len(list(folder.root.glob("damaged-*.bin"))) == 1
