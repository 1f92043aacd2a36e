"""Rebuilding: indexes are made again from the data, by this process or by the one that indexes."""

import os
import shutil
import threading
import time

import pytest

from storage.catalog import load_catalog
from storage.check import check as check_store
from storage.errors import UnknownStream
from storage.format import FrameHeader
from storage.indexer import Indexer
from storage.paths import DataDirectory
from storage.publication import edit
from storage.rebuild import live_segments, rebuild
from storage.scan import frames
from storage.store import Store
from storage.stream_indexer import StreamIndexer
from tests.storage.test_indexer import check, index, numbers, write


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    write(data, 300, segment_bytes_max=2500)
    index(data)
    return data


def ids(data):
    return [entry.tantivy for entry in load_catalog(data.stream("main").catalog).segments]


@pytest.fixture
def indexing(data):
    """An indexer that runs meanwhile."""
    stop = threading.Event()
    indexer = Indexer(data)
    thread = threading.Thread(target=indexer.run, args=(stop.wait,))
    thread.start()
    yield
    stop.set()
    thread.join()
    indexer.close()


def test_all_indexes_are_made_again(data):
    before = ids(data)
    told = []
    assert rebuild(data, "main", tell=lambda *how_far: told.append(how_far)) == len(before)
    assert not set(before) & set(ids(data))
    assert all(total == len(before) for _, total, _, _ in told)
    assert check_store(data).findings == []
    check(data, 300)


def test_one_index_is_made_again(data):
    before = ids(data)
    entry = live_segments(data.stream("main"))[0]
    assert rebuild(data, "main", [(entry.first, entry.generation)]) == 1
    after = ids(data)
    assert after[0] != before[0]
    assert after[1:] == before[1:]
    check(data, 300)


def test_a_running_indexer_makes_them_again(data, indexing):
    before = ids(data)
    done = []
    assert rebuild(data, "main", tell=lambda done_, *_: done.append(done_)) == len(before)
    assert not set(before) & set(ids(data))
    assert done == sorted(done)
    check(data, 300)


def test_meanwhile_answers_say_that_they_are_not_complete(data):
    told = []

    def look(*_):
        told.append(load_catalog(data.stream("main").catalog).incomplete)

    rebuild(data, "main", tell=look)
    assert any(told)
    assert Store(data).snapshot(["main"]).incomplete is None


def test_records_that_come_meanwhile_are_not_lost(data, indexing):
    stop = threading.Event()

    def keep_writing():
        start = 300
        while not stop.is_set() and start < 1500:
            write(data, 20, start=start, segment_bytes_max=2500)
            start += 20

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for _ in range(5):
            rebuild(data, "main")
    finally:
        stop.set()
        writer.join()
    last = sum(1 for _ in stored(data))
    deadline = time.monotonic() + 20
    while len(numbers(data)) < last:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    check(data, last)


def stored(data):
    for first in data.stream("main").segment_firsts():
        fd = os.open(data.stream("main").segment(first).data, os.O_RDONLY)
        try:
            for found in frames(fd, verify=True, expect=first):
                if isinstance(found, FrameHeader):
                    yield from range(found.first, found.until)
        finally:
            os.close(fd)


@pytest.mark.parametrize("which", [0, -1])
def test_a_mark_survives_the_end_of_the_indexer(data, which):
    stream = data.stream("main")
    before = ids(data)
    wanted = live_segments(stream)[which]
    edit(
        stream,
        lambda catalog: catalog.with_segment(wanted.model_copy(update={"rebuilding": True})),
    )
    index(data)
    after = ids(data)
    assert [one != other for one, other in zip(before, after, strict=True)].count(True) == 1
    assert after[which] != before[which]
    check(data, 300)


def test_a_segment_that_is_written_to_is_not_sealed_by_its_rebuild(data):
    """It is asked for after the indexer looked at that segment, and before it looks for what it has to mend."""
    stream = data.stream("main")
    indexer = StreamIndexer(stream, time.monotonic)
    while indexer.step():
        pass
    active = live_segments(stream)[-1]
    edit(stream, lambda catalog: catalog.with_segment(active.model_copy(update={"rebuilding": True})))
    assert not indexer._mend()
    while indexer.step():
        pass
    indexer.close()
    assert [s.sealed for s in live_segments(stream)] == [True, True, False]
    assert ids(data)[-1] != active.tantivy
    check(data, 300)


def test_the_end_of_the_indexer_is_waited_out(data):
    """The one that runs goes away before it did anything: this process goes on by itself."""
    indexer = Indexer(data)
    waits = []

    def sleep(_seconds):
        waits.append(1)
        if len(waits) == 3:
            indexer.close()

    before = ids(data)
    assert rebuild(data, "main", sleep=sleep) == len(before)
    assert not set(before) & set(ids(data))
    check(data, 300)


@pytest.mark.parametrize("which", [0, -1])
def test_a_damaged_last_frame_does_not_hold_it_up(data, which):
    stream = data.stream("main")
    segment = stream.segment(live_segments(stream)[which].first)
    fd = os.open(segment.data, os.O_RDWR)
    last = [
        found for found in frames(fd, verify=True, expect=segment.first) if isinstance(found, FrameHeader)
    ][-1]
    os.pwrite(fd, b"\x00" * 8, last.offset + 60)
    os.close(fd)
    rebuild(data, "main")
    assert set(numbers(data)) == set(range(1, 301)) - set(range(last.first, last.until))
    if which == 0:
        assert load_catalog(stream.catalog).segments[0].damaged == 1
        (finding,) = check_store(data).findings
        assert (finding.severity, finding.code) == (2, "data-damaged")


def test_what_nobody_was_told_of_does_not_hold_up_the_next_segment(tmp_path):
    """A write that failed and could not be taken back stays at the end of a segment."""
    data = DataDirectory(tmp_path)
    write(data, 100)
    with data.stream("main").segment(1).data.open("ab") as file:
        file.write(b"half a frame")
    following = data.stream("main").segment(101)
    other = DataDirectory(tmp_path / "other")
    write(other, 101, batch=101)
    shutil.copytree(other.stream("main").segment(1).root, following.root)
    from storage.format import FrameEncoder, file_header

    following.data.write_bytes(
        file_header() + FrameEncoder().encode(101, [1], [b'{"i":100,"message":"record 100"}'])
    )
    index(data)
    assert sorted(numbers(data)) == list(range(1, 102))
    assert [s.sealed for s in load_catalog(data.stream("main").catalog).segments] == [True, False]


def test_a_lost_view_and_catalog_are_made_again(data):
    stream = data.stream("main")
    shutil.rmtree(stream.view)
    stream.catalog.unlink()
    rebuild(data, "main")
    assert check_store(data).findings == []
    check(data, 300)


def test_a_stream_that_is_not_there_is_named(data):
    with pytest.raises(UnknownStream):
        rebuild(data, "nope")
