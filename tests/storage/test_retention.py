"""Retention and dropping: what has to go goes, all of it, and nothing else, whatever breaks in between."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import drop as dropping
from storage.catalog import Catalog, SegmentEntry, load_catalog
from storage.drop import collect, delete_stream, disk_bytes, drop, empty_trash, orphans
from storage.errors import UnknownStream
from storage.indexer import Indexer
from storage.log import Rotation, StreamLog
from storage.paths import DataDirectory
from storage.publication import Hold, edit
from storage.retention import decide, end_us
from storage.store import Store
from storage.stream_indexer import StreamIndexer
from storage.stream_settings import RetentionSettings
from tests.storage.test_indexer import index, numbers, write

S = 1_000_000


# -- the choice


def segments():
    """Segments as a catalog lists them, with times and sizes in no order."""
    one = st.tuples(
        st.integers(0, 50),  # records
        st.integers(-100, 200),  # max, s
        st.integers(0, 60),  # spans
        st.integers(0, 150),  # written, s; 0 is unknown
        st.booleans(),  # being made anew
    )

    def build(drawn):
        entries, first = [], 1
        for i, (records, max_s, span_s, written_s, rebuilding) in enumerate(drawn):
            entries.append(
                SegmentEntry(
                    first=first,
                    until=first + records,
                    records=records,
                    min_us=(max_s - span_s) * S if records else None,
                    max_us=max_s * S if records else None,
                    written_s=written_s,
                    sealed=i < len(drawn) - 1,
                    rebuilding=rebuilding and i < len(drawn) - 1,
                )
            )
            first += records + 1
        return entries

    return st.lists(one, max_size=12).map(build)


def retentions():
    some = st.none() | st.integers(60, 200)
    return st.builds(
        lambda age_s, size, records: RetentionSettings(
            age=None if age_s is None else f"{age_s}s", bytes=size, records=records
        ),
        some,
        st.none() | st.integers(1, 4000),
        st.none() | st.integers(1, 200),
    )


def size(entry):
    return 10 + 20 * entry.records


@given(segments(), retentions(), st.integers(0, 300))
def test_what_is_dropped_had_to_go_and_what_stays_may_stay(entries, retention, now_s):
    dropped = decide(entries, retention, now_s * S, size)
    left = [entry for entry in entries if entry not in dropped]
    assert len(dropped) == len(set(map(id, dropped)))
    assert all(entry.sealed and not entry.rebuilding for entry in dropped)
    may_go = [e for e in left if e.sealed and not e.rebuilding and (e.max_us is not None or e.written_s)]
    # Nothing younger goes before something older.
    assert all((end_us(a), a.first) < (end_us(b), b.first) for a in dropped for b in may_go)

    def met(kept):
        return (
            (retention.records_most is None or sum(e.records for e in kept) <= retention.records_most)
            and (retention.bytes_most is None or sum(map(size, kept)) <= retention.bytes_most)
            and (
                retention.age_s is None
                or all(
                    end_us(e) >= (now_s - retention.age_s) * S for e in kept if e in may_go or e in dropped
                )
            )
        )

    # All limits are met, or nothing more can go; and with the last one back they are not met.
    assert met(left) or not may_go
    if dropped:
        assert not met([*left, dropped[-1]])
    assert decide(left, retention, now_s * S, size) == []


@given(segments(), retentions(), st.integers(0, 300), st.integers(0, 100))
def test_later_at_least_as_much_goes(entries, retention, now_s, more_s):
    now = decide(entries, retention, now_s * S, size)
    assert decide(entries, retention, (now_s + more_s) * S, size)[: len(now)] == now


def entry(**given):
    return SegmentEntry(**{"first": 1, "until": 2, "records": 1, "sealed": True, **given})


def test_for_ever_keeps_all():
    old = entry(min_us=0, max_us=0, written_s=1)
    assert decide([old], RetentionSettings(), 10**18, size) == []


def test_a_record_from_the_future_keeps_nothing_alive():
    ahead = entry(min_us=0, max_us=10**15, written_s=100)
    week = RetentionSettings(age="1h")
    assert decide([ahead], week, 3699 * S, size) == []
    assert decide([ahead], week, 3701 * S, size) == [ahead]


def test_late_records_are_as_old_as_they_say():
    late = entry(min_us=0, max_us=10 * S, written_s=1_000_000)
    assert decide([late], RetentionSettings(age="1h"), 1_000_001 * S, size) == [late]


# -- dropping


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    write(data, 300, segment_bytes_max=1500)
    index(data)
    return data


def live(data, stream="main"):
    return load_catalog(data.stream(stream).catalog)


def oldest(count):
    return lambda catalog: catalog.segments[:count]


def is_tidy(data):
    """Whether there are folders of live segments, and no others."""
    stream = data.stream("main")
    listed = {(e.first, e.generation) for e in live(data).segments}
    assert listed == set(stream.segment_folders())
    assert not stream.dropped.exists() or not list(stream.dropped.iterdir())


def test_what_is_dropped_is_gone_from_search_catalog_and_disk(data):
    before = numbers(data)
    stream = data.stream("main")
    used = disk_bytes(stream.root)
    dropped = drop(stream, oldest(3))
    assert len(dropped) == 3
    assert live(data).records == 300 - sum(e.records for e in dropped)
    assert numbers(data) == {n: line for n, line in before.items() if n >= dropped[-1].until}
    is_tidy(data)
    assert disk_bytes(stream.root) < used
    linked = {path.name.partition(".")[0] for path in stream.view.glob("*.idx")}
    assert linked == {name.replace("-", "") for e in live(data).segments for name in e.tantivy}
    index(data)
    assert min(numbers(data)) == dropped[-1].until
    assert live(data).sealed_until == live(data).segments[-1].first


def test_nothing_to_drop_changes_nothing(data):
    generation = live(data).generation
    assert drop(data.stream("main"), lambda _: []) == []
    assert live(data).generation == generation


def test_the_segment_that_is_written_to_is_never_dropped(data):
    dropped = drop(data.stream("main"), lambda catalog: catalog.segments)
    assert len(live(data).segments) == 1
    assert not live(data).segments[0].sealed
    # Not even when it looks sealed, because the folder behind it was lost.
    edit(
        data.stream("main"),
        lambda c: c.with_segment(c.segments[0].model_copy(update={"sealed": True})),
    )
    assert drop(data.stream("main"), lambda catalog: catalog.segments) == []
    log = StreamLog(data.stream("main"))
    assert log.next_number == 301
    log.close()
    assert dropped


def test_numbers_go_on_after_all_was_dropped(data):
    drop(data.stream("main"), lambda catalog: catalog.segments)
    write(data, 100, start=300, segment_bytes_max=1500)
    index(data)
    assert max(numbers(data)) == 400
    assert len(numbers(data)) == live(data).records
    drop(data.stream("main"), lambda catalog: catalog.segments)
    index(data)
    is_tidy(data)


def test_a_query_that_has_begun_finishes_with_what_was_dropped(data):
    store = Store(data)
    snapshot = store.snapshot(["main"])
    everything = snapshot.queries.all()[0]
    first = snapshot.newest(everything, 100)
    assert len(snapshot.fetch(first)) == 100
    drop(data.stream("main"), lambda catalog: catalog.segments)
    after = store.snapshot(["main"])
    assert after.records < 300
    rest = snapshot.newest(everything, 1000, after=first[-1])
    assert len(snapshot.fetch(rest)) == 200
    assert snapshot.incomplete is None
    assert snapshot.count(everything) == 300
    # And when it is done, nothing holds what it read.
    del snapshot, after
    store.snapshot(["main"])
    assert not deleted_files(data)
    store.close()


def test_a_store_that_nobody_asks_lets_go_of_what_was_dropped(data):
    write(data, 10, stream="other")
    index(data)
    store = Store(data)
    for streams in (["main"], ["main", "other"]):
        snapshot = store.snapshot(streams)
        snapshot.fetch(snapshot.newest(snapshot.queries.all()[0], 1000))
    del snapshot
    drop(data.stream("main"), lambda catalog: catalog.segments)
    assert deleted_files(data)
    store.let_go()
    assert not deleted_files(data)
    assert not list(data.views.glob("*/*"))
    assert store.snapshot(["main", "other"]).records == live(data).records + 10
    store.close()


def test_what_is_live_is_kept_open_until_nobody_asks(data):
    write(data, 10, stream="other")
    index(data)
    store = Store(data)
    for streams in (["main"], ["main", "other"]):
        snapshot = store.snapshot(streams)
        snapshot.fetch(snapshot.newest(snapshot.queries.all()[0], 1000))
    kept = dict(store._views)
    write(data, 10, start=400)
    index(data)
    store.let_go()
    assert dict(store._views) == kept
    store.let_go(unused_s=0)
    assert not store._views
    assert not list(data.views.glob("*/*"))
    store.close()
    assert not list(data.views.iterdir())


def deleted_files(data):
    """Files that were removed and still take space, because this process has them open or mapped."""
    held = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if os.path.lexists(fd)]
    maps = Path("/proc/self/maps").read_text().splitlines()
    held += [line.split(maxsplit=5)[5] for line in maps if "/" in line]
    return {path for path in held if path.startswith(str(data.root)) and path.endswith("(deleted)")}


def test_the_indexer_goes_on_while_segments_are_dropped(data):
    stream = data.stream("main")
    indexer = Indexer(data)
    for start in range(300, 600, 100):
        write(data, 100, start=start, segment_bytes_max=1500)
        indexer.catch_up()
        drop(stream, oldest(4))
        indexer.catch_up()
    indexer.close()
    is_tidy(data)
    found = numbers(data)
    assert sorted(found) == list(range(min(found), 601))
    assert all(line.startswith(b'{"i":%d,' % (number - 1)) for number, line in found.items())


def test_a_segment_that_is_dropped_while_its_index_is_made_anew_is_let_go(data, monkeypatch):
    monkeypatch.setattr("storage.stream_indexer.REBUILD_SLICE_S", -1)
    stream = data.stream("main")
    lost = live(data).segments[1]
    shutil.rmtree(stream.segment(lost.first).index)
    indexer = Indexer(data)
    for _ in range(3):
        indexer.step()
    assert indexer._streams["main"]._rebuild is not None
    drop(stream, lambda catalog: [s for s in catalog.segments if s.first == lost.first])
    indexer.catch_up()
    indexer.close()
    is_tidy(data)
    assert live(data).incomplete is None
    assert len(numbers(data)) == 300 - lost.records


class Crash(BaseException):
    """What no code catches."""


def steps(monkeypatch):
    """Every step of a drop that can be the last one: a function to break, and at which of its calls."""
    return [
        *(("edit_locked", n) for n in (1, 2)),
        *(("_rename", n) for n in (1, 2, 3)),
        *(("sync_directory", n) for n in (1, 2)),
        *(("_rmtree", n) for n in (1, 2, 3)),
        ("_half_rmtree", 2),
    ]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("name", "call"), steps(None))
def test_a_crash_at_any_step_of_a_drop_leaves_all_or_nothing(data, monkeypatch, name, call, after):
    before = numbers(data)
    stream = data.stream("main")
    going = live(data).segments[:3]
    calls = 0

    def break_at(real, partly=None):
        def broken(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls != call:
                return real(*args, **kwargs)
            if after:
                real(*args, **kwargs)
            elif partly:
                partly(*args)
            raise Crash

        return broken

    def half(folder, *_):
        os.unlink(folder / "data.log")

    target, attribute, partly = {
        "edit_locked": (dropping, "edit_locked", None),
        "_rename": (type(stream.root), "rename", None),
        "sync_directory": (dropping, "sync_directory", None),
        "_rmtree": (dropping.shutil, "rmtree", None),
        "_half_rmtree": (dropping.shutil, "rmtree", half),
    }[name]
    with monkeypatch.context() as patch:
        patch.setattr(target, attribute, break_at(getattr(target, attribute), partly))
        with pytest.raises(Crash):
            drop(stream, oldest(3))
    # The server starts again.
    happened = name != "edit_locked" or call == 2 or after
    index(data)
    collect(stream, time.time())
    left = {n: line for n, line in before.items() if n >= going[-1].until}
    assert numbers(data) == (left if happened else before)
    is_tidy(data)
    write(data, 50, start=300, segment_bytes_max=1500)
    index(data)
    assert set(numbers(data)) == set(left if happened else before) | set(range(301, 351))
    drop(stream, lambda catalog: catalog.segments)
    is_tidy(data)


def test_what_the_indexer_has_not_come_to_is_no_orphan(data):
    stream = data.stream("main")
    drop(stream, lambda catalog: catalog.segments)
    write(data, 200, start=300, segment_bytes_max=1000)
    waiting = stream.segment_firsts()
    assert len(waiting) > 3
    assert collect(stream, time.time() + 10**6) == 0
    # Nor while the catalog is lost, or has been made anew and not yet got as far.
    catalog = stream.catalog.read_bytes()
    stream.catalog.unlink()
    assert collect(stream, time.time() + 10**6) == 0
    stream.catalog.write_bytes(catalog)
    StreamIndexer(stream, time.monotonic).close()
    assert collect(stream, time.time() + 10**6) == 0
    assert stream.segment_firsts() == waiting
    index(data)
    assert max(numbers(data)) == 500
    assert collect(stream, time.time() + 10**6) == 0


def test_a_dropped_segment_whose_folder_is_still_there_is_not_taken_in_again(data):
    stream = data.stream("main")
    catalog = live(data)
    edit(stream, lambda c: c.model_copy(update={"segments": c.segments[-1:]}))
    assert [s.first for s in orphans(stream, time.time())] == [s.first for s in catalog.segments[:-1]]
    index(data)
    assert min(numbers(data)) == catalog.segments[-1].first
    assert collect(stream, time.time()) == len(catalog.segments) - 1
    is_tidy(data)


def test_an_unfinished_replacement_is_removed_when_nobody_works_on_it(data):
    stream = data.stream("main")
    unfinished = stream.segment(1, 1)
    unfinished.root.mkdir()
    unfinished.data.touch()
    assert collect(stream, time.time() + dropping.UNFINISHED_S_MAX - 60) == 0
    assert collect(stream, time.time() + dropping.UNFINISHED_S_MAX + 60) == 1
    is_tidy(data)
    assert len(numbers(data)) == 300


def test_a_catalog_that_lists_what_is_gone_is_put_right(data):
    stream = data.stream("main")
    lost = live(data).segments[0]
    shutil.rmtree(stream.segment(lost.first).root)
    index(data)
    assert len(numbers(data)) == 300 - lost.records
    is_tidy(data)


# -- whole streams


def test_a_deleted_stream_is_gone_and_its_name_is_free(data):
    store = Store(data)
    before = store.snapshot(["main"])
    everything = before.queries.all()[0]
    assert delete_stream(data, "main")
    store.forget("main")
    assert data.stream_names() == []
    with pytest.raises(UnknownStream):
        store.catalog("main")
    with pytest.raises(UnknownStream):
        delete_stream(data, "main")
    assert len(before.fetch(before.newest(everything, 1000))) == 300
    write(data, 40, segment_bytes_max=1500)
    index(data)
    assert len(numbers(data)) == 40
    snapshot = store.snapshot(["main"])
    assert {s.number for s in snapshot.fetch(snapshot.newest(everything, 1000))} == set(range(1, 41))
    assert empty_trash(data) == 1
    assert not list(data.trash.iterdir())
    store.close()


def test_a_store_that_does_not_hear_of_it_sees_the_new_stream(data):
    """Another process deletes: the same numbers are other records now."""
    store = Store(data)
    snapshot = store.snapshot(["main"])
    everything = snapshot.queries.all()[0]
    snapshot.fetch(snapshot.newest(everything, 1000))
    delete_stream(data, "main")
    write(data, 300, start=1000, segment_bytes_max=1500)
    index(data)
    snapshot = store.snapshot(["main"])
    lines = {s.number: s.line for s in snapshot.fetch(snapshot.newest(everything, 1000))}
    assert lines[1].startswith(b'{"i":1000,')
    assert len(lines) == 300
    store.close()


def test_nothing_is_published_into_a_new_stream_by_those_who_worked_on_the_old(data):
    stream = data.stream("main")
    old = StreamIndexer(stream, time.monotonic)
    hold = Hold(stream)
    waited = []
    deletion = threading.Thread(target=lambda: waited.append(delete_stream(data, "main")))
    deletion.start()
    deadline = time.monotonic() + 10
    while stream.root.exists():
        assert time.monotonic() < deadline
    with pytest.raises(UnknownStream):
        edit(stream, lambda catalog: catalog)
    with pytest.raises(UnknownStream):
        Hold(stream)
    assert not stream.root.exists()
    write(data, 10)
    with pytest.raises(UnknownStream):
        old.step()
    with pytest.raises(UnknownStream):
        old._publish(SegmentEntry(first=7, until=8))
    with pytest.raises(UnknownStream):
        hold.check()
    assert live(data) is None
    assert deletion.is_alive()
    old.abandon()
    hold.release()
    deletion.join(10)
    assert waited == [True]
    index(data)
    assert len(numbers(data)) == 10


@pytest.mark.parametrize("again", [False, True])
def test_the_indexer_lets_go_of_a_deleted_stream_and_takes_up_the_new(data, again):
    indexer = Indexer(data)
    indexer.catch_up()
    write(data, 100, start=300, segment_bytes_max=1500)
    indexer.step()  # it is in the middle of something
    deletion = threading.Thread(target=delete_stream, args=(data, "main"))
    deletion.start()
    deadline = time.monotonic() + 10
    while deletion.is_alive():
        indexer.step()
        assert time.monotonic() < deadline
    assert indexer._streams == {}
    assert not data.stream("main").root.exists()
    empty_trash(data)
    if again:
        write(data, 20)
        indexer.catch_up()
        assert len(numbers(data)) == 20
    else:
        indexer.catch_up()
        assert not data.stream("main").root.exists()
    indexer.close()


def test_a_deletion_that_cannot_be_leaves_the_stream(data, monkeypatch):
    monkeypatch.setattr(type(data.root), "rename", refuse)
    with pytest.raises(OSError, match="no"):
        delete_stream(data, "main")
    assert len(numbers(data)) == 300


def refuse(*_):
    raise OSError("no")


def test_streams_that_come_into_being_at_once_are_all_seen(tmp_path):
    """The file system's clock ticks slowly: two folders may be made within a tick, one of them after a look."""
    data = DataDirectory(tmp_path)
    indexer = Indexer(data)
    for n in range(5):
        write(data, 1, stream=f"s{n}")
        indexer.step()
    indexer.catch_up()
    assert sorted(indexer._streams) == [f"s{n}" for n in range(5)]
    indexer.close()


def test_rotation_makes_room_for_retention(tmp_path):
    """An idle stream: its last segment ends by age, is sealed, and goes."""
    data = DataDirectory(tmp_path)
    log = StreamLog(data.stream("main"), Rotation(age_max_s=0.05))
    done = threading.Event()
    log.append([1_000_000], [b"{}"], lambda _: done.set())
    assert done.wait(10)
    deadline = time.monotonic() + 10
    while len(data.stream("main").segment_firsts()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    index(data)
    kept = RetentionSettings(age="1h")
    drop(data.stream("main"), lambda c: decide(c.segments, kept, time.time_ns() // 1000, size))
    assert live(data).records == 0
    assert isinstance(live(data), Catalog)
    log.close()
