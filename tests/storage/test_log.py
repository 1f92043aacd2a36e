"""The log's promise: what was acknowledged is there after any cut, and nothing is there twice or out of place."""

import errno
import os
import threading
import time

import pytest

from storage.catalog import SegmentEntry
from storage.errors import LogClosed, LogUnwritable
from storage.format import FILE_HEADER, FrameHeader, Ticket
from storage.log import IDEMPOTENCY_WINDOW_S, Rotation, StreamLog
from storage.paths import DataDirectory
from storage.scan import Damage, FrameDirectory, frames
from storage.segment import seal


@pytest.fixture
def stream(tmp_path):
    return DataDirectory(tmp_path).stream("main")


class Waiter:
    """Collects what the log says of batches."""

    def __init__(self):
        self.results = []
        self._arrived = threading.Semaphore(0)

    def __call__(self, result):
        self.results.append(result)
        self._arrived.release()

    def wait(self, count=1):
        for _ in range(count):
            assert self._arrived.acquire(timeout=20)
        return self.results[-1]


def append(log, *lines):
    waiter = Waiter()
    log.append(list(range(len(lines))), list(lines), waiter)
    return waiter.wait()


def read_all(stream):
    """Every record of a stream: number -> line."""
    found = {}
    for first in stream.segment_firsts():
        fd = os.open(stream.segment(first).data, os.O_RDONLY)
        directory = FrameDirectory(fd, first)
        for header in frames(fd, verify=True, expect=first):
            if isinstance(header, FrameHeader):
                [records] = directory.load([header])
                for i, line in enumerate(records.lines):
                    assert records.first + i not in found
                    found[records.first + i] = line
        os.close(fd)
    return found


def test_numbers_rise_across_batches_segments_and_restarts(stream):
    log = StreamLog(stream, segment_bytes_max=200)
    firsts = [append(log, b'{"i":%d}' % i, b"{}") for i in range(20)]
    log.close()
    assert firsts == list(range(1, 41, 2))
    assert len(stream.segment_firsts()) > 3
    log = StreamLog(stream, segment_bytes_max=200)
    assert append(log, b'{"again":1}') == 41
    log.close()
    found = read_all(stream)
    assert sorted(found) == list(range(1, 42))
    assert found[41] == b'{"again":1}'


def test_many_waiters_share_a_commit_and_each_hears_its_own_number(stream, monkeypatch):
    syncs = []
    slow = threading.Event()
    real = os.fdatasync

    def fdatasync(fd):
        syncs.append(fd)
        slow.wait(0.05)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    log = StreamLog(stream)
    waiters = [Waiter() for _ in range(200)]
    for i, waiter in enumerate(waiters):
        log.append([i], [b'{"i":%d}' % i], waiter)
    numbers = [waiter.wait() for waiter in waiters]
    log.close()
    assert numbers == list(range(1, 201))
    assert len(syncs) < 20
    assert read_all(stream)[numbers[77]] == b'{"i":77}'


def test_acknowledged_only_after_the_sync(stream, monkeypatch):
    log = StreamLog(stream)
    append(log, b"{}")
    gate = threading.Event()
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (gate.wait(10), real(fd)))
    waiter = Waiter()
    log.append([1], [b"{}"], waiter)
    assert not waiter._arrived.acquire(timeout=0.2)
    gate.set()
    assert waiter.wait() == 2
    log.close()


def test_a_cut_at_every_byte_of_the_last_frames_loses_only_what_was_cut(tmp_path, stream):
    log = StreamLog(stream)
    for i in range(6):
        append(log, b'{"i":%d}' % i, b'{"text":"some words to fill a frame %d"}' % i)
    log.close()
    path = stream.segment(1).data
    whole = path.read_bytes()
    fd = os.open(path, os.O_RDONLY)
    ends = [h.end for h in frames(fd, verify=True, expect=1)]
    os.close(fd)
    assert len(ends) == 6
    for cut in range(ends[2], len(whole) + 1):
        target = DataDirectory(tmp_path / str(cut)).stream("main")
        target.segment(1).root.mkdir(parents=True)
        target.segment(1).data.write_bytes(whole[:cut])
        log = StreamLog(target)
        survived = sum(end <= cut for end in ends)
        assert append(log, b'{"new":1}') == 2 * survived + 1, cut
        log.close()
        assert sorted(read_all(target)) == list(range(1, 2 * survived + 2))
        aside = list(target.segment(1).root.glob("torn-*.bin"))
        torn = cut - ends[survived - 1]
        assert [len(p.read_bytes()) for p in aside] == ([torn] if torn else [])


def test_a_batch_of_many_frames_is_kept_whole_or_not_at_all(tmp_path, stream):
    log = StreamLog(stream)
    append(log, b"{}")
    append(log, *[b'{"text":"%s"}' % (b"%d " % i * 300) for i in range(400)])
    log.close()
    path = stream.segment(1).data
    whole = path.read_bytes()
    fd = os.open(path, os.O_RDONLY)
    headers = list(frames(fd, verify=True, expect=1))
    os.close(fd)
    assert len(headers) > 4
    assert [h.continues for h in headers] == [False] + [True] * (len(headers) - 2) + [False]
    for i, cut in enumerate([h.end for h in headers[:-1]] + [len(whole) - 1, len(whole)]):
        target = DataDirectory(tmp_path / str(i)).stream("main")
        target.segment(1).root.mkdir(parents=True)
        target.segment(1).data.write_bytes(whole[:cut])
        log = StreamLog(target)
        assert log.next_number == (402 if cut == len(whole) else 2)
        log.close()


def test_a_key_is_remembered_with_its_batch_across_restarts(stream):
    ticket = Ticket("order-1", b"d" * 16, time.time_ns() // 1000, 2)
    old = Ticket("order-0", b"o" * 16, ticket.arrived_us - (IDEMPOTENCY_WINDOW_S + 1) * 1_000_000, 1)
    log = StreamLog(stream, segment_bytes_max=100)
    waiter = Waiter()
    log.append([1], [b"{}"], waiter, old)
    waiter.wait()
    assert log.seen("order-0") == (old, 1)
    log.append([1, 2], [b"{}", b"{}"], waiter, ticket)
    waiter.wait()
    append(log, b"{}")
    log.close()
    newest = stream.segment(99).root
    for crashed in (False, False, True):
        if crashed:
            newest.mkdir()  # and no file in it yet
        log = StreamLog(stream, segment_bytes_max=100)
        assert log.seen("order-1") == (ticket, 2)
        assert log.seen("order-0") is None
        assert log.seen("order-2") is None
        append(log, b"{}")
        log.close()


@pytest.mark.parametrize("keep", range(FILE_HEADER.size))
def test_a_file_cut_within_its_header_is_begun_again(stream, keep):
    stream.segment(1).root.mkdir(parents=True)
    stream.segment(1).data.write_bytes(b"KLOMPLOG\x01\0\0\0\0\0\0\0"[:keep])
    log = StreamLog(stream)
    assert append(log, b"{}") == 1
    log.close()
    assert read_all(stream) == {1: b"{}"}


def test_damage_in_the_middle_costs_its_frame_only(stream):
    log = StreamLog(stream)
    for i in range(5):
        append(log, b'{"i":%d}' % i)
    log.close()
    path = stream.segment(1).data
    fd = os.open(path, os.O_RDWR)
    headers = list(frames(fd, verify=True, expect=1))
    os.pwrite(fd, b"\xff\xff", headers[2].offset + 50)
    os.close(fd)
    log = StreamLog(stream)
    assert append(log, b'{"i":5}') == 6
    log.close()
    fd = os.open(path, os.O_RDONLY)
    found = list(frames(fd, verify=True, expect=1))
    os.close(fd)
    assert [d for d in found if isinstance(d, Damage)] == [Damage(headers[2].offset, headers[2].end)]
    assert sorted(read_all(stream)) == [1, 2, 4, 5, 6]


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EIO, False)])
def test_a_refusing_disk_keeps_nothing_of_the_batch_and_writing_resumes(stream, monkeypatch, number, full):
    log = StreamLog(stream)
    append(log, b'{"i":0}')
    size = stream.segment(1).data.stat().st_size
    real = os.pwrite

    def half_written(fd, data, at):
        real(fd, bytes(data)[:20], at)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", half_written)
    error = append(log, b'{"lost":1}')
    assert isinstance(error, LogUnwritable)
    assert error.out_of_space is full
    assert os.strerror(number) in error.message
    assert stream.segment(1).data.stat().st_size == size
    monkeypatch.setattr(os, "pwrite", real)
    assert append(log, b'{"i":1}') == 2
    log.close()
    assert read_all(stream) == {1: b'{"i":0}', 2: b'{"i":1}'}


def test_a_segment_ends_when_asked_to_unless_it_is_empty(stream):
    log = StreamLog(stream)
    waiter = Waiter()
    log.rotate(waiter)
    assert waiter.wait() == 1
    append(log, b"{}", b"{}")
    for _ in range(2):
        log.rotate(waiter)
        assert waiter.wait() == 3
    assert append(log, b"{}") == 3
    log.close()
    assert stream.segment_firsts() == [1, 3]
    with pytest.raises(LogClosed):
        log.rotate(waiter)


def test_a_closed_log_takes_nothing(stream):
    log = StreamLog(stream)
    append(log, b"{}")
    log.close()
    with pytest.raises(LogClosed):
        log.append([1], [b"{}"], Waiter())


class Clock:
    """A time of day that stands still until told otherwise."""

    def __init__(self):
        self.now_s = time.time()

    def __call__(self):
        return self.now_s


def eventually(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_segment_ends_by_its_records(stream):
    log = StreamLog(stream, Rotation(records_max=3))
    for _ in range(5):
        append(log, b"{}", b"{}")
    log.close()
    assert stream.segment_firsts() == [1, 5, 9]


def test_an_idle_segment_ends_by_its_age_and_an_empty_one_never(stream):
    clock = Clock()
    rotation = Rotation(age_max_s=3600)
    log = StreamLog(stream, rotation, clock=clock)
    append(log, b"{}", b"{}")
    clock.now_s += 3599
    log.rotate_by(rotation)
    time.sleep(0.05)
    assert stream.segment_firsts() == [1]
    clock.now_s += 1
    log.rotate_by(rotation)
    eventually(lambda: stream.segment_firsts() == [1, 3])
    clock.now_s += 36_000
    log.rotate_by(rotation)
    time.sleep(0.05)
    assert stream.segment_firsts() == [1, 3]
    assert append(log, b"{}") == 3
    log.close()
    assert stream.segment_firsts() == [1, 3]
    assert sorted(read_all(stream)) == [1, 2, 3]


def test_the_age_of_a_segment_goes_on_over_a_restart(stream):
    log = StreamLog(stream)
    append(log, b"{}")
    log.close()
    os.utime(stream.segment(1).root, (time.time() - 7200, time.time() - 7200))
    log = StreamLog(stream, Rotation(age_max_s=3600))
    eventually(lambda: stream.segment_firsts() == [1, 2])
    log.close()


def test_other_rules_count_at_once(stream):
    log = StreamLog(stream)
    for _ in range(3):
        append(log, b"{}")
    assert stream.segment_firsts() == [1]
    log.rotate_by(Rotation(records_max=2))
    append(log, b"{}")
    assert stream.segment_firsts() == [1, 4]
    log.rotate_by(Rotation())
    for _ in range(3):
        append(log, b"{}")
    assert stream.segment_firsts() == [1, 4]
    log.close()


def test_a_segment_that_ended_takes_no_more_though_the_next_could_not_be_begun(stream, monkeypatch):
    """The next folder may be there already, and the indexer seal what lies before it."""
    log = StreamLog(stream, Rotation(records_max=1))
    append(log, b"{}")
    monkeypatch.setattr("storage.log.sync_directory", refuse)
    assert isinstance(append(log, b'{"refused":1}'), LogUnwritable)
    assert stream.segment_firsts() == [1, 2]
    monkeypatch.undo()
    log.rotate_by(Rotation())
    assert append(log, b'{"kept":1}') == 2
    log.close()
    assert stream.segment(2).data.stat().st_size > FILE_HEADER.size
    assert read_all(stream) == {1: b"{}", 2: b'{"kept":1}'}


def test_an_idle_rotation_that_the_disk_refuses_is_tried_again(stream, monkeypatch):
    monkeypatch.setattr("storage.log.ROTATE_RETRY_S", 0.01)
    log = StreamLog(stream, Rotation(age_max_s=3600))
    append(log, b"{}")
    monkeypatch.setattr("storage.log.sync_directory", refuse)
    log.rotate_by(Rotation(age_max_s=0))
    time.sleep(0.05)
    monkeypatch.undo()
    log.rotate_by(Rotation(age_max_s=0))
    eventually(lambda: log._fd >= 0 and log._begun_s is None)
    log.close()
    assert stream.segment_firsts() == [1, 2]


def refuse(path):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_nothing_is_written_behind_what_is_sealed(stream):
    """A loss of power may take the empty folder that came after a sealed one."""
    log = StreamLog(stream)
    append(log, b"{}", b"{}")
    log.close()
    entry = SegmentEntry(first=1, until=3, records=2, sealed=True)
    stream.segment(1).index.mkdir()
    seal(stream.segment(1), entry)
    log = StreamLog(stream)
    assert append(log, b"{}") == 3
    log.close()
    assert stream.segment_firsts() == [1, 3]
