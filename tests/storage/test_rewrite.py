"""Compaction and deletion: the records are the same, or all but those that had to go; before and after any crash."""

import shutil
import time

import pytest

from storage import drop, publication, rewrite
from storage.catalog import load_catalog
from storage.check import check
from storage.indexer import Indexer
from storage.paths import DataDirectory
from storage.rewrite import IndexDamaged, compact
from storage.store import Store
from tests.storage.test_check import flip, headers
from tests.storage.test_indexer import index, numbers, write


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    write(data, 300, segment_bytes_max=1500)
    index(data)
    return data


def live(data):
    return load_catalog(data.stream("main").catalog)


def sealed(data):
    return [entry for entry in live(data).segments if entry.sealed]


def folders(data):
    return {(e.first, e.generation) for e in live(data).segments} == set(
        data.stream("main").segment_folders()
    )


def test_compaction_changes_nothing_but_the_number_of_segments(data):
    before = numbers(data)
    stream = data.stream("main")
    old = live(data)
    snapshot = Store(data).snapshot(["main"])
    entry = rewrite.compact(stream, sealed(data))
    assert len(live(data).segments) == 2
    assert (entry.first, entry.until) == (1, sealed(data)[-1].until)
    assert entry.records == sum(e.records for e in old.segments[:-1])
    assert (entry.min_us, entry.max_us) == (old.min_us, old.segments[-2].max_us)
    assert folders(data)
    assert numbers(data) == before
    everything = snapshot.queries.all()[0]
    assert len(snapshot.fetch(snapshot.newest(everything, 1000))) == 300
    index(data)
    assert numbers(data) == before


def test_small_index_segments_are_merged(tmp_path):
    data = DataDirectory(tmp_path)
    write(data, 400, segment_bytes_max=500)
    index(data)
    many = sum(len(e.tantivy) for e in sealed(data))
    assert many >= 8
    rewrite.compact(data.stream("main"), sealed(data))
    assert sum(len(e.tantivy) for e in sealed(data)) <= 7
    assert sorted(numbers(data)) == list(range(1, 401))
    names = {p.name.partition(".")[0] for p in data.stream("main").segment(1, 1).index.glob("*.idx")}
    assert names == {name.replace("-", "") for name in sealed(data)[0].tantivy}


def test_deleted_records_are_in_neither_data_nor_index(data):
    before = numbers(data)
    stream = data.stream("main")
    for entry in sealed(data):
        rewrite.delete(stream, entry, lambda number, _time, _line: number % 3 != 0)
    last = sealed(data)[-1].until
    want = {n: line for n, line in before.items() if n % 3 != 0 or n >= last}
    assert numbers(data) == want
    assert live(data).records == len(want)
    assert folders(data)
    shutil.rmtree(stream.view)
    stream.catalog.unlink()
    for path in stream.segments.glob("*/index"):
        shutil.rmtree(path)
    index(data)
    assert numbers(data) == want
    raw = b"".join(p.read_bytes() for p in stream.segments.glob("*/data.log"))
    assert b"KLOMPLOG" in raw


def test_deleting_everything_of_a_segment_leaves_none_of_it(data):
    stream = data.stream("main")
    gone = sealed(data)[1]
    rewrite.delete(stream, gone, lambda *_: False)
    assert set(numbers(data)) == set(range(1, 301)) - set(range(gone.first, gone.until))
    rewrite.compact(stream, sealed(data))
    assert set(numbers(data)) == set(range(1, 301)) - set(range(gone.first, gone.until))


STEPS = {
    "data": ("_write_data", "storage.rewrite"),
    "index": ("_link_index", "storage.rewrite"),
    "seal": ("seal", "storage.rewrite"),
    "before the edit": ("edit_locked", "storage.rewrite"),
    "while publishing": ("_publish", "storage.publication"),
    "after the edit": ("edit_locked", "storage.rewrite"),
    "while retiring": ("retire", "storage.rewrite"),
    "while removing": ("remove_retired", "storage.rewrite"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing(data, monkeypatch, step):
    before = numbers(data)
    name, module = STEPS[step]

    class Crash(BaseException):
        pass

    def crash(*args, **kwargs):
        if step == "after the edit":
            publication.edit_locked(*args, **kwargs)
        raise Crash

    stream = data.stream("main")
    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.{name}", crash)
        with pytest.raises(Crash):
            rewrite.compact(stream, sealed(data))
    assert numbers(data) == before
    write(data, 20, start=300)
    index(data)
    after = numbers(data)
    assert {n: line for n, line in after.items() if n <= 300} == before
    assert sorted(after) == list(range(1, 321))
    rewrite.compact(stream, sealed(data))
    assert numbers(data) == after
    drop.collect(stream, time.time() + 2 * drop.UNFINISHED_S_MAX)
    assert folders(data)
    assert numbers(data) == after


def test_a_segment_that_was_replaced_meanwhile_is_not_put_back(data):
    stream = data.stream("main")
    entries = sealed(data)
    rewrite.compact(stream, entries)
    before = numbers(data)
    with pytest.raises((rewrite.SegmentGone, FileNotFoundError)):
        rewrite.compact(stream, entries)
    assert numbers(data) == before


def test_an_indexer_that_runs_keeps_what_others_did(data):
    stream = data.stream("main")
    indexer = Indexer(data)
    indexer.catch_up()
    rewrite.compact(stream, sealed(data))
    write(data, 100, start=300, segment_bytes_max=500)
    indexer.catch_up()
    indexer.close()
    assert sorted(numbers(data)) == list(range(1, 401))
    assert live(data).segments[0].generation == 1


def test_tickets_outlive_compaction(tmp_path):
    from storage.format import Ticket
    from storage.log import StreamLog
    from tests.storage.test_log import Waiter, append

    data = DataDirectory(tmp_path)
    stream = data.stream("main")
    ticket = Ticket("key", b"d" * 16, time.time_ns() // 1000, 2)
    log = StreamLog(stream, segment_bytes_max=60)
    append(log, b"{}")
    waiter = Waiter()
    log.append([1, 2], [b"{}", b"{}"], waiter, ticket)
    waiter.wait()
    append(log, b"{}")
    log.close()
    index(data)
    rewrite.compact(stream, sealed(data))
    log = StreamLog(stream)
    assert log.seen("key") == (ticket, 2)
    assert log.next_number == 5
    log.close()


@pytest.mark.parametrize("where", ["frame", "header", "last"])
def test_damage_that_nobody_knew_of_is_set_aside_before_the_file_goes(data, where):
    stream = data.stream("main")
    entries = load_catalog(stream.catalog).segments[:2]
    segment = stream.segment(entries[0].first)
    found = headers(segment.data, segment.first)
    bad = found[-1] if where == "last" else found[1]
    flip(segment.data, bad.offset + (60 if where == "frame" else 5))
    damaged = segment.data.read_bytes()[bad.offset : bad.end]
    made = compact(stream, entries)
    new = stream.segment(made.first, made.generation)
    (aside,) = new.root.glob("damaged-*.bin")
    assert aside.read_bytes() == damaged
    assert (made.damaged, made.damaged_bytes) == (1, len(damaged))
    assert "are damaged" in load_catalog(stream.catalog).incomplete
    lost = set(range(bad.first, bad.until))
    assert set(numbers(data)) == set(range(1, 301)) - lost


@pytest.mark.parametrize("how", ["flipped", "gone", "meta"])
def test_a_damaged_index_is_made_anew_before_it_is_put_together_with_others(data, how):
    stream = data.stream("main")
    entries = load_catalog(stream.catalog).segments[:2]
    segment = stream.segment(entries[1].first)
    path = segment.meta if how == "meta" else next(segment.index.glob("*.term"))
    if how == "gone":
        path.unlink()
    else:
        flip(path, 30)
    with pytest.raises(IndexDamaged):
        compact(stream, entries)
    assert load_catalog(stream.catalog).is_mending
    index(data)
    compact(stream, load_catalog(stream.catalog).segments[:2])
    assert set(numbers(data)) == set(range(1, 301))
    assert {finding.code for finding in check(data).findings} == set()
