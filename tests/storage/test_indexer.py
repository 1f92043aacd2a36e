"""The indexer: what is on disk becomes searchable, once, whatever happens between."""

import errno
import itertools
import os
import shutil
import threading
import time

import pytest

from storage import stream_indexer
from storage.catalog import load_catalog
from storage.drop import orphans
from storage.errors import StoreLocked, UnknownStream
from storage.format import FRAME_HEADER, FrameHeader
from storage.indexer import Indexer
from storage.log import StreamLog
from storage.paths import DataDirectory
from storage.publication import edit
from storage.rebuild import mark, rebuild
from storage.rewrite import compact
from storage.scan import frames
from storage.store import Store
from storage.stream_indexer import StreamIndexer
from tests.support.failing_disk import Unreadable


@pytest.fixture
def data(tmp_path):
    return DataDirectory(tmp_path)


def write(data, count, *, stream="main", start=0, segment_bytes_max=1 << 30, batch=10):
    log = StreamLog(data.stream(stream), segment_bytes_max=segment_bytes_max)
    done = threading.Semaphore(0)
    for i in range(start, start + count, batch):
        many = range(i, min(i + batch, start + count))
        lines = [
            b'{"i":%d,"level":"%s","message":"record %d"}' % (n, b"error" if n % 7 == 0 else b"info", n)
            for n in many
        ]
        log.append([1_000_000 * n for n in many], lines, lambda _: done.release())
        done.acquire()  # a frame for each batch
    log.close()


def index(data):
    indexer = Indexer(data)
    indexer.catch_up()
    indexer.close()


def numbers(data, stream="main"):
    """Every record that a search finds, with its stored line."""
    snapshot = Store(data).snapshot([stream])
    if snapshot.queries is None:
        return {}
    found = [a for chunk in snapshot.scan(snapshot.queries.all()[0]) for a in chunk]
    assert len(found) == len(set(found))
    return {stored.number: stored.line for stored in snapshot.fetch(found)}


def check(data, count, stream="main"):
    found = numbers(data, stream)
    assert sorted(found) == list(range(1, count + 1))
    assert all(line.startswith(b'{"i":%d,' % (number - 1)) for number, line in found.items())


def commits(data, monkeypatch, records):
    """How many are made of fifty frames that take a second each, while far behind."""
    write(data, 500)
    monkeypatch.setattr(stream_indexer, "BEHIND_BYTES", 0)
    monkeypatch.setattr(stream_indexer, "COMMIT_BEHIND_RECORDS", records)
    ticks = itertools.count()
    indexer = StreamIndexer(data.stream("main"), lambda: next(ticks) / 2)
    before = load_catalog(data.stream("main").catalog).generation
    while indexer.step():
        pass
    made = load_catalog(data.stream("main").catalog).generation - before
    indexer.close()
    check(data, 500)
    return made


def test_far_behind_it_waits_for_records_but_not_for_ever(tmp_path, monkeypatch):
    at_once, waiting = (
        commits(DataDirectory(tmp_path / str(records)), monkeypatch, records) for records in (1, 1_000_000)
    )
    assert 2 * waiting <= at_once
    assert waiting >= 5


def test_everything_is_found_once_across_segments(data):
    write(data, 500, segment_bytes_max=2000)
    index(data)
    check(data, 500)
    catalog = load_catalog(data.stream("main").catalog)
    assert len(catalog.segments) > 3
    assert [s.sealed for s in catalog.segments] == [True] * (len(catalog.segments) - 1) + [False]
    assert catalog.records == 500
    assert (catalog.min_us, catalog.max_us) == (0, 499_000_000)


def test_indexing_goes_on_where_it_stopped(data):
    for start in range(0, 200, 40):
        write(data, 40, start=start, segment_bytes_max=3000)
        index(data)
        check(data, start + 40)


@pytest.mark.parametrize("lost", ["index", "view", "catalog.json", "meta.json"])
def test_what_is_derived_is_made_again(data, lost):
    write(data, 300, segment_bytes_max=3000)
    index(data)
    stream = data.stream("main")
    for path in sorted(stream.root.rglob(lost)):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
    index(data)
    check(data, 300)


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_catalog_that_is_lost_under_a_running_indexer_is_made_again(data, how):
    write(data, 300, segment_bytes_max=3000)
    indexer = Indexer(data)
    indexer.catch_up()
    stream = data.stream("main")
    if how == "gone":
        stream.catalog.unlink()
    else:
        stream.catalog.write_bytes(b"{" + stream.catalog.read_bytes()[1:-9])
    indexer.step()
    check(data, 300)
    write(data, 50, start=300, segment_bytes_max=3000)
    indexer.catch_up()
    indexer.close()
    check(data, 350)


def test_whoever_edits_a_damaged_catalog_loses_no_segment(data):
    """An edit that began with nothing would leave the sealed segments to be collected as orphans."""
    write(data, 300, segment_bytes_max=3000)
    index(data)
    stream = data.stream("main")
    stream.catalog.write_bytes(b"{")
    edit(stream, lambda catalog: catalog)
    assert not orphans(stream, time.time())
    index(data)
    check(data, 300)


def test_a_segment_that_replaced_others_is_found_without_its_word_and_the_catalog(data):
    write(data, 300, segment_bytes_max=1000)
    index(data)
    stream = data.stream("main")
    sealed = [s for s in load_catalog(stream.catalog).segments if s.sealed]
    assert len(sealed) >= 3
    made = compact(stream, sealed[:2])
    stream.segment(made.first, made.generation).meta.unlink()
    stream.segment(sealed[2].first).meta.unlink()
    stream.catalog.unlink()
    index(data)
    check(data, 300)


def test_an_index_of_garbage_is_made_again(data):
    write(data, 100)
    index(data)
    (data.stream("main").segment(1).index / "meta.json").write_bytes(b"{")
    index(data)
    check(data, 100)


def cut_off_three_batches(data):
    """What a disk may do that lied about a sync; the number of the first record that it lost."""
    write(data, 100)
    index(data)
    path = data.stream("main").segment(1).data
    fd = os.open(path, os.O_RDWR)
    headers = [h for h in frames(fd, verify=True, expect=1) if isinstance(h, FrameHeader)]
    os.ftruncate(fd, headers[-3].offset)
    os.close(fd)
    return headers[-3].first


def test_numbers_that_the_disk_lost_are_not_given_to_others(data):
    lost = cut_off_three_batches(data)
    write(data, 30, start=100)
    index(data)
    found = numbers(data)
    assert sorted(found) == [*range(1, lost), *range(101, 131)]
    assert all(line.startswith(b'{"i":%d,' % (number - 1)) for number, line in found.items())
    assert "damaged" in load_catalog(data.stream("main").catalog).incomplete


def test_an_index_ahead_of_its_data_is_made_again(data):
    """Where the log does not say how far it was, the numbers that were lost are given again."""
    lost = cut_off_three_batches(data)
    data.stream("main").synced.unlink()
    write(data, 30, start=lost - 1)
    index(data)
    check(data, lost - 1 + 30)


def test_a_file_that_is_cut_under_a_running_indexer_costs_what_was_cut(data):
    write(data, 100)
    indexer = Indexer(data)
    indexer.catch_up()
    path = data.stream("main").segment(1).data
    fd = os.open(path, os.O_RDWR)
    headers = [h for h in frames(fd, verify=True, expect=1) if isinstance(h, FrameHeader)]
    os.ftruncate(fd, headers[4].offset)
    os.close(fd)
    indexer.catch_up()
    assert sorted(numbers(data)) == list(range(1, headers[4].first))
    indexer.close()


def test_a_frame_that_is_still_being_written_waits(data):
    write(data, 50)
    path = data.stream("main").segment(1).data
    whole = path.read_bytes()
    fd = os.open(path, os.O_RDONLY)
    last = [h for h in frames(fd, verify=True, expect=1) if isinstance(h, FrameHeader)][-1]
    os.close(fd)
    path.write_bytes(whole[: last.offset + 60])
    indexer = Indexer(data)
    indexer.catch_up()
    assert sorted(numbers(data)) == list(range(1, last.first))
    path.write_bytes(whole)
    indexer.catch_up()
    indexer.close()
    check(data, 50)


def test_damage_costs_its_frame_and_the_rest_is_found(data):
    write(data, 100)
    path = data.stream("main").segment(1).data
    fd = os.open(path, os.O_RDWR)
    headers = [h for h in frames(fd, verify=True, expect=1) if isinstance(h, FrameHeader)]
    os.pwrite(fd, b"\x00" * 8, headers[4].offset + 60)
    os.close(fd)
    index(data)
    lost = set(range(headers[4].first, headers[4].until))
    assert set(numbers(data)) == set(range(1, 101)) - lost


def test_damage_is_kept_beside_counted_and_told(data):
    write(data, 100)
    path = data.stream("main").segment(1).data
    fd = os.open(path, os.O_RDWR)
    headers = [h for h in frames(fd, verify=True, expect=1) if isinstance(h, FrameHeader)]
    os.pwrite(fd, b"\x00" * 8, headers[4].offset + 60)
    os.pwrite(fd, b"\x00" * 8, headers[6].offset)
    damaged = [os.pread(fd, h.end - h.offset, h.offset) for h in (headers[4], headers[6])]
    os.close(fd)
    index(data)
    aside = [path.parent / f"damaged-{h.offset}-{h.end}.bin" for h in (headers[4], headers[6])]
    assert [p.read_bytes() for p in aside] == damaged
    entry = load_catalog(data.stream("main").catalog).segments[0]
    assert (entry.damaged, entry.damaged_bytes) == (2, sum(map(len, damaged)))
    assert entry.records == 80
    assert "in 2 places are damaged" in load_catalog(data.stream("main").catalog).incomplete
    index(data)
    assert load_catalog(data.stream("main").catalog).records == 80
    assert len(list(path.parent.glob("damaged-*"))) == 2


def test_data_that_is_damaged_after_it_was_indexed_costs_its_rows_and_is_told(data):
    write(data, 100)
    index(data)
    fd = os.open(data.stream("main").segment(1).data, os.O_RDWR)
    headers = [h for h in frames(fd, verify=True, expect=1) if isinstance(h, FrameHeader)]
    os.pwrite(fd, b"\x00" * 8, headers[4].offset + 60)
    os.close(fd)
    snapshot = Store(data).snapshot(["main"])
    everything = snapshot.queries.all()[0]
    assert snapshot.incomplete is None
    found = snapshot.fetch(snapshot.newest(everything, 100))
    assert {s.number for s in found} == set(range(1, 101)) - set(range(headers[4].first, headers[4].until))
    snapshot.fetch(snapshot.newest(everything, 100))
    assert "10 records that match cannot be read" in snapshot.incomplete


def test_a_lost_index_is_made_again_while_the_others_serve(data):
    write(data, 200, segment_bytes_max=1000)
    index(data)
    stream = data.stream("main")
    sealed = [s for s in load_catalog(stream.catalog).segments if s.sealed]
    assert len(sealed) >= 2
    lost = sealed[1]
    next(stream.segment(lost.first).index.glob("*.term")).unlink()
    StreamIndexer(stream, time.monotonic).close()
    snapshot = Store(data).snapshot(["main"])
    assert "1 of the" in snapshot.incomplete
    assert "is being made anew" in snapshot.incomplete
    assert snapshot.records == 200 - lost.records
    indexer = Indexer(data)
    indexer.catch_up()
    indexer.close()
    assert Store(data).snapshot(["main"]).incomplete is None
    check(data, 200)


def test_a_lost_index_of_the_segment_that_is_written_to_is_told_until_it_has_caught_up(data, monkeypatch):
    write(data, 200)
    index(data)
    stream = data.stream("main")
    shutil.rmtree(stream.segment(1).index)
    monkeypatch.setattr("storage.stream_indexer.COMMIT_AFTER_S", -1)  # a frame a step
    indexer = Indexer(data)
    indexer.step()
    incomplete = [load_catalog(stream.catalog).incomplete]
    indexer.catch_up()
    incomplete.append(load_catalog(stream.catalog).incomplete)
    indexer.close()
    assert [bool(reason) for reason in incomplete] == [True, False]
    check(data, 200)


def test_what_is_new_is_not_called_lost(data):
    indexer = Indexer(data)
    indexer.step()
    incomplete = []
    for start in (0, 100):
        write(data, 100, start=start, segment_bytes_max=500)
        while indexer.step():
            incomplete.append(load_catalog(data.stream("main").catalog).incomplete)
    log = StreamLog(data.stream("main"))
    done = threading.Semaphore(0)
    log.rotate(lambda _: done.release())
    done.acquire()
    log.close()
    indexer.catch_up()
    incomplete.append(load_catalog(data.stream("main").catalog).incomplete)
    indexer.close()
    assert set(incomplete) == {None}
    check(data, 200)


def test_a_snapshot_keeps_answering_from_its_moment(data):
    write(data, 50)
    index(data)
    snapshot = Store(data).snapshot(["main"])
    write(data, 50, start=50)
    index(data)
    shutil.rmtree(data.stream("main").view)
    assert snapshot.count(snapshot.queries.all()[0]) == 50
    assert [a.number for a in snapshot.newest(snapshot.queries.all()[0], 2)] == [50, 49]


def test_one_indexer_at_a_time(data):
    first = Indexer(data)
    with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
        Indexer(data)
    first.close()
    Indexer(data).close()


def test_streams_are_apart_and_together(data):
    write(data, 30, stream="a")
    write(data, 20, stream="b")
    index(data)
    check(data, 30, "a")
    check(data, 20, "b")
    store = Store(data)
    both = store.snapshot(["a", "b"])
    everything = both.queries.all()[0]
    assert both.count(everything) == 50
    assert {(a.stream, a.number) for chunk in both.scan(everything) for a in chunk} == {
        *(("a", n) for n in range(1, 31)),
        *(("b", n) for n in range(1, 21)),
    }
    newest = both.newest(everything, 50)
    assert newest == sorted(newest, key=lambda a: (-a.time_us, a.stream, -a.number))
    assert both.newest(everything, 50, oldest_first=True) == newest[::-1]
    walked, after = [], None
    while page := both.newest(everything, 7, after=after):
        walked += page
        after = page[-1]
    assert walked == newest
    store.close()


def test_a_stream_that_is_not_there_is_named_with_those_that_are(data):
    write(data, 1, stream="nginx")
    with pytest.raises(UnknownStream) as caught:
        Store(data).snapshot(["ngins"])
    assert (caught.value.message, caught.value.hint) == ("no stream 'ngins'", "did you mean nginx?")
    with pytest.raises(UnknownStream, match="no stream 'app'") as caught:
        Store(data).snapshot(["app"])
    assert caught.value.hint == "there are: nginx"


def test_a_start_hides_nothing(data):
    """Between the start of the indexer and its first step, what was found before is found."""
    write(data, 200, segment_bytes_max=1000)
    index(data)
    indexer = StreamIndexer(data.stream("main"), time.monotonic)
    snapshot = Store(data).snapshot(["main"])
    assert snapshot.records == 200
    assert snapshot.incomplete is None
    indexer.close()


def flip_header_of(data, header, byte):
    """Flip one bit of a frame's header."""
    with data.stream("main").segment(1).data.open("r+b") as file:
        file.seek(header.offset + byte)
        (was,) = file.read(1)
        file.seek(header.offset + byte)
        file.write(bytes([was ^ 1 << byte % 8]))


def rotate(data):
    log = StreamLog(data.stream("main"))
    done = threading.Event()
    log.rotate(lambda _: done.set())
    assert done.wait(10)
    log.close()


@pytest.mark.parametrize("when", ["not indexed yet", "indexed", "sealed", "made anew"])
def test_a_bit_of_a_frame_header_costs_the_records_of_that_frame_and_no_others(data, tmp_path, when):
    """Lengths and numbers in a header say where the others are: none of them is believed by itself."""
    write(data, 60)
    if when != "not indexed yet":
        index(data)
    if when in ("sealed", "made anew"):
        rotate(data)
        index(data)
    path = data.stream("main").segment(1).data
    with path.open("rb") as file:
        headers = list(frames(file.fileno(), verify=True, expect=1))
    assert len(headers) == 6
    hit = headers[2]
    for byte in range(FRAME_HEADER.size):
        copy = DataDirectory(tmp_path / f"copy{byte}")
        shutil.copytree(data.root / "streams", copy.streams)
        flip_header_of(copy, hit, byte)
        log = StreamLog(copy.stream("main"))  # it opens, and knows where it was
        assert log.next_number == 61
        log.close()
        if when == "made anew":
            rebuild(copy, "main")
        elif when != "sealed":
            index(copy)
        store = Store(copy)
        snapshot = store.snapshot(["main"])
        asked = [a for chunk in snapshot.scan(snapshot.queries.all()[0]) for a in chunk]
        found = {stored.number for stored in snapshot.fetch(asked) if stored is not None}
        assert found == set(range(1, 61)) - set(range(hit.first, hit.until)), byte
        store.close()


def readable(data):
    """The numbers of all records that a search finds and can read; whether the answer counts as complete."""
    store = Store(data)
    snapshot = store.snapshot(["main"])
    asked = [a for chunk in snapshot.scan(snapshot.queries.all()[0]) for a in chunk]
    found = {stored.number for stored in snapshot.fetch(asked) if stored is not None}
    complete = len(found) == len(asked) and store.catalog("main").incomplete is None
    store.close()
    return found, complete


@pytest.mark.parametrize("what", ["gone", "empty", "no whole header", "with its folder", "header damaged"])
def test_a_data_file_that_is_lost_costs_its_records_and_is_told(data, what):
    write(data, 300, segment_bytes_max=900)
    index(data)
    catalog = load_catalog(data.stream("main").catalog)
    hit = catalog.segments[2]
    assert hit.sealed
    segment = data.stream("main").segment(hit.first)
    match what:
        case "gone":
            segment.data.unlink()
        case "empty":
            os.truncate(segment.data, 0)
        case "no whole header":
            os.truncate(segment.data, 7)
        case "with its folder":
            shutil.rmtree(segment.root)
        case "header damaged":  # and all behind it
            segment.data.write_bytes(bytes(hit.data_bytes))
    left = set(range(1, 301)) - set(range(hit.first, hit.until))
    assert readable(data) == (left, False)
    if what not in ("gone", "with its folder"):  # which is seen at once; the others are found by the scrub
        mark(data.stream("main"), {(hit.first, 0)})
    index(data)
    assert readable(data) == (left, False)
    catalog = load_catalog(data.stream("main").catalog)
    (told,) = [one for one in catalog.segments if one.first == hit.first]
    assert (told.damaged_bytes, told.rebuilding) == (hit.data_bytes, False)
    write(data, 50, start=300, segment_bytes_max=900)
    index(data)
    assert readable(data) == (left | set(range(301, 351)), False)


def test_new_records_are_found_where_the_data_file_before_them_is_gone(data):
    write(data, 100)
    index(data)
    data.stream("main").segment(1).data.unlink()
    write(data, 50, start=100)
    index(data)
    assert readable(data) == (set(range(101, 151)), False)


def test_what_is_written_after_the_data_file_was_taken_away_is_kept(data):
    log = StreamLog(data.stream("main"))
    done = threading.Semaphore(0)
    for i in range(3):
        log.append([i], [b'{"i":%d}' % i], lambda _: done.release())
        done.acquire()
        if i == 1:
            data.stream("main").segment(1).data.unlink()
    log.close()
    index(data)
    assert readable(data) == ({3}, False)


def test_a_stream_that_cannot_be_indexed_stops_no_other_and_is_tried_again(data):
    now_s = 100.0
    write(data, 20, stream="aa")
    write(data, 20, stream="zz")
    index(data)
    view = data.stream("aa").view
    shutil.rmtree(view)
    view.write_bytes(b"")  # where there should be a folder
    indexer = Indexer(data, lambda: now_s)
    indexer.catch_up()
    assert list(indexer.failing) == ["aa"]
    assert "view" in indexer.failing["aa"]
    write(data, 20, stream="zz", start=20)
    write(data, 20, stream="aa", start=20)
    indexer.catch_up()
    check(data, 40, stream="zz")
    view.unlink()
    indexer.catch_up()
    assert list(indexer.failing) == ["aa"]  # not yet
    now_s += 5
    indexer.catch_up()
    check(data, 40, stream="aa")
    now_s += 60
    indexer.step()
    assert not indexer.failing
    indexer.close()


def test_an_index_that_cannot_be_made_anew_keeps_no_new_record_waiting(data):
    now_s = 100.0
    write(data, 100, segment_bytes_max=900)
    index(data)
    first, *_ = load_catalog(data.stream("main").catalog).segments
    segment = data.stream("main").segment(first.first)
    mark(data.stream("main"), {(first.first, 0)})
    shutil.rmtree(segment.index)
    segment.index.write_bytes(b"")
    segment.new_index.mkdir()
    segment.root.joinpath("index.new").rmdir()
    segment.new_index.symlink_to(segment.root / "nowhere" / "index")
    indexer = Indexer(data, lambda: now_s)
    indexer.catch_up()
    assert "cannot be made anew" in indexer.failing["main"]
    write(data, 20, start=100, segment_bytes_max=900)
    indexer.catch_up()
    found, complete = readable(data)
    assert (found, complete) == (set(range(first.until, 121)), False)
    segment.new_index.unlink()
    now_s += 60
    indexer.catch_up()
    indexer.close()
    check(data, 120)
    assert not indexer.failing


@pytest.mark.parametrize("when", ["before it is indexed", "before it is indexed again"])
def test_a_block_that_cannot_be_read_costs_what_is_in_it(data, monkeypatch, when):
    write(data, 1000)
    if when != "before it is indexed":
        index(data)
        shutil.rmtree(data.stream("main").segment(1).index)
    path = data.stream("main").segment(1).data
    assert path.stat().st_size > 3 * 4096
    Unreadable(path, 4096 + 100, 4096 + 200).install(monkeypatch)
    with path.open("rb") as file:
        headers = list(frames(file.fileno(), verify=False, expect=1))
    kept = {n for h in headers if isinstance(h, FrameHeader) for n in range(h.first, h.until)}
    log = StreamLog(data.stream("main"))
    assert log.next_number == 1001
    log.close()
    write(data, 50, start=1000)
    index(data)
    found, complete = readable(data)
    assert not complete
    assert found <= kept | set(range(1001, 1051))
    lost = set(range(1, 1051)) - found
    assert lost
    assert len(lost) <= 200, "more than what a block of 4096 bytes touches"
    assert load_catalog(data.stream("main").catalog).segments[0].damaged


def test_a_catalog_that_cannot_be_read_is_made_anew(data, monkeypatch):
    write(data, 300, segment_bytes_max=3000)
    index(data)
    catalog = data.stream("main").catalog
    inode = catalog.stat().st_ino
    read_bytes = type(catalog).read_bytes

    def refuse(path):
        if path.exists() and path.stat().st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_bytes(path)

    monkeypatch.setattr(type(catalog), "read_bytes", refuse)
    index(data)
    check(data, 300)
