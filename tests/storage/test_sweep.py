"""Going through many records: lines are cut out of frames as they are, in threads or not, and damage is told."""

from __future__ import annotations

import os
import threading
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import ahead as ahead_module
from storage import snapshot as snapshot_module
from storage.ahead import ahead
from storage.errors import FrameDamaged
from storage.format import (
    FEW_LINES_MAX,
    FrameEncoder,
    FrameRecords,
    frame_is_valid,
    read_frame_header,
    unpack_frame,
)
from storage.paths import DataDirectory
from storage.store import Store
from tests.storage.test_check import headers
from tests.storage.test_indexer import index, numbers, write


@given(st.lists(st.sampled_from([b"", b"{}", b'{"a":1}', b"x" * 300]), min_size=1, max_size=60), st.data())
def test_the_lines_that_are_picked_are_those_of_all(lines, data):
    raw = b"times\n" + b"\n".join(lines) + b"\n"
    wanted = sorted(data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=1)))
    frame = FrameRecords(7, array("q", range(len(lines))), raw, 6)
    assert frame.pick(wanted) == [lines[i] for i in wanted]
    assert [frame.line(i) for i in wanted[:3]] == [lines[i] for i in wanted[:3]]


@pytest.mark.parametrize("wanted", [[4], list(range(FEW_LINES_MAX + 1))])
def test_fewer_lines_than_promised_are_damage(wanted):
    frame = FrameRecords(1, array("q", range(30)), b"{}\n{}\n{}\n")
    with pytest.raises(FrameDamaged, match="does not hold the 30 records"):
        frame.pick(wanted)
    with pytest.raises(FrameDamaged):
        frame.count()


def test_every_changed_byte_is_seen_without_counting_too():
    frame = FrameEncoder().encode(7, [1, 2, 3], [b'{"a":1}', b'{"b":2}', b'{"c":3}'])
    header = read_frame_header(frame, 0)
    for at in range(len(frame)):
        damaged = bytearray(frame)
        damaged[at] ^= 0x10
        assert not frame_is_valid(damaged)
        with pytest.raises(FrameDamaged):
            unpack_frame(header, bytes(damaged))


@pytest.mark.parametrize("readers", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_order_and_few_are_made_ahead(monkeypatch, readers, count):
    monkeypatch.setattr(ahead_module, "READERS", readers)
    made, taken, threads = [], [], set()

    def work(task):
        threads.add(threading.get_ident())
        return -task

    def tasks():
        for task in range(count):
            made.append(task)
            assert len(made) - len(taken) <= readers + 2
            yield task

    for result in ahead(work, tasks()):
        taken += [result]
    assert taken == [-task for task in range(count)]
    if readers == 0 or count < 2:
        assert threads <= {threading.get_ident()}
    else:
        assert threading.get_ident() not in threads


def test_what_fails_ahead_is_raised_in_its_turn(monkeypatch):
    monkeypatch.setattr(ahead_module, "READERS", 2)
    results = ahead(lambda task: 1 // task, [1, 1, 0, 1])
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.fixture(params=[0, 2])
def readers(request, monkeypatch):
    monkeypatch.setattr(ahead_module, "READERS", request.param)
    monkeypatch.setattr("storage.datafiles.BATCH_RAW_BYTES", 1)
    return request.param


@pytest.mark.usefixtures("readers")
@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_a_sweep_has_every_record_once_whatever_is_asked_for_at_once(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(snapshot_module, "SCAN_FIRST", chunk)
    monkeypatch.setattr(snapshot_module, "SCAN_CHUNK", chunk)
    data = DataDirectory(tmp_path)
    write(data, 60, segment_bytes_max=1500)
    write(data, 40, stream="other")
    index(data)
    store = Store(data)
    snapshot = store.snapshot(["main", "other"])
    found = {}
    for swept in snapshot.sweep(snapshot.queries.all()[0], lambda swept: swept):
        for number, line in zip(swept.numbers, swept.lines, strict=True):
            assert (swept.stream, number) not in found
            found[swept.stream, number] = line
    want = {("main", number): line for number, line in numbers(data).items()}
    assert {key: line for key, line in found.items() if key[0] == "main"} == want
    assert len(found) == 100
    assert snapshot.work.fetched == 100
    assert snapshot.work.fetched_bytes == sum(map(len, found.values()))


@pytest.mark.usefixtures("readers")
def test_damaged_frames_cost_their_records_and_are_told(tmp_path, caplog):
    data = DataDirectory(tmp_path)
    write(data, 100)
    index(data)
    path = data.stream("main").segment(1).data
    bad = headers(path, 1)[4]
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b"\x00" * 8, bad.offset + 60)
    os.close(fd)
    snapshot = Store(data).snapshot(["main"])
    for _ in range(2):
        found = [
            n
            for swept in snapshot.sweep(snapshot.queries.all()[0], lambda swept: swept)
            for n in swept.numbers
        ]
        assert set(found) == set(range(1, 101)) - set(range(bad.first, bad.until))
    assert f"{bad.until - bad.first} records that match cannot be read" in snapshot.incomplete
    assert caplog.text.count("does not match its checksum") == 1
