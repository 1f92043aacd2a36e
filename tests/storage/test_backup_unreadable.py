"""Backups of a disk that cannot read all of it: what it can read is there, what it cannot is told, then and later."""

import itertools
import os

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from server.cli.backup import backup as backup_command
from server.cli.backup import restore as restore_command
from storage.backup import backup
from storage.catalog import load_catalog
from storage.check import check
from storage.format import FrameEncoder, FrameHeader
from storage.log import StreamLog
from storage.paths import DataDirectory
from storage.restore import restore, verify
from storage.salvage import BLOCK_BYTES, copy_readable
from storage.scan import frames
from storage.synced import load_synced
from tests.storage.test_indexer import index, numbers, write
from tests.support.failing_disk import Unreadable

NOW_US = 1_767_225_600_000_000


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path / "data")
    write(data, 3000, segment_bytes_max=30_000)
    write(data, 100, stream="other")
    index(data)
    return data


def segments(data):
    """The folder of a sealed segment, and of the one that is written to."""
    stream = data.stream("main")
    entries = load_catalog(stream.catalog).segments
    assert (entries[0].sealed, entries[-1].sealed) == (True, False)
    return stream.segment(entries[0].first), stream.segment(entries[-1].first)


def records_in(path, first, start, end):
    """The numbers of records whose frames touch some bytes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return {
            number
            for found in frames(fd, verify=True, expect=first)
            if isinstance(found, FrameHeader) and found.offset < end and found.end > start
            for number in range(found.first, found.until)
        }
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["backup", "backup.tar.zst"])
@pytest.mark.parametrize("which", ["sealed", "written to"])
@pytest.mark.parametrize("at", [0, 5000])
def test_what_can_be_read_is_there_and_the_rest_is_told(data, tmp_path, which, at, name):
    segment = segments(data)[0 if which == "sealed" else 1]
    block = at // BLOCK_BYTES * BLOCK_BYTES, at // BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES
    lost = records_in(segment.data, segment.first, *block)
    assert 0 < len(lost) < 500
    with pytest.MonkeyPatch.context() as patch:
        Unreadable(segment.data, at, at + 1).install(patch)
        outcome = backup(data, tmp_path / name, NOW_US)
    path = segment.data.relative_to(data.root).as_posix()
    told = outcome.manifest.lost[0]
    assert told.startswith(path)
    assert f"{BLOCK_BYTES} bytes of it, at {block[0]} to {block[1]}" in told
    assert set(outcome.manifest.lost) <= set(outcome.problems)
    assert verify(tmp_path / name).problems == []
    again = DataDirectory(tmp_path / "again")
    assert restore(tmp_path / name, again).lost == outcome.manifest.lost
    index(again)
    assert set(range(1, 3001)) - set(numbers(again)) == lost
    assert len(numbers(again, "other")) == 100
    assert "data-damaged" in {finding.code for finding in check(again, ["main"]).findings}


def test_an_index_that_cannot_be_read_is_left_out_and_costs_nothing(data, tmp_path, monkeypatch):
    path = next(segments(data)[0].index.glob("*.term"))
    Unreadable(path, 10, 11).install(monkeypatch)
    outcome = backup(data, tmp_path / "backup", NOW_US)
    assert outcome.manifest.lost == ()
    assert any("the index is made again" in problem for problem in outcome.problems)
    again = DataDirectory(tmp_path / "again")
    restore(tmp_path / "backup", again)
    index(again)
    assert set(numbers(again)) == set(range(1, 3001))
    assert check(again).findings == []


def test_what_the_backup_before_could_read_is_kept(data, tmp_path, monkeypatch):
    assert backup(data, tmp_path / "backup", NOW_US).problems == []
    Unreadable(segments(data)[0].data, 0, 1 << 20).install(monkeypatch)
    assert backup(data, tmp_path / "backup", NOW_US).problems == []
    assert verify(tmp_path / "backup").problems == []


def test_the_commands_say_so_too_and_by_their_exit_code(data, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        Unreadable(segments(data)[0].data, 5000, 5001).install(patch)
        made = CliRunner().invoke(backup_command, [str(tmp_path / "backup"), "--data", str(data.root)])
    assert made.exit_code == 1
    assert "at 4096 to 8192; they are zeros in the backup" in made.output
    for arguments in (["--verify"], ["--data", str(tmp_path / "again")]):
        read = CliRunner().invoke(restore_command, [str(tmp_path / "backup"), *arguments])
        assert read.exit_code == 1
        assert "lost before the backup: streams/main/segments/" in read.output


def test_nothing_is_copied_that_its_writer_may_take_back(data, tmp_path):
    """Bytes behind what was synced: of a batch that is being written, or that the disk has just refused."""
    log = StreamLog(data.stream("main"))
    try:
        write_to = segments(data)[1].data
        synced = load_synced(data.stream("main").synced)
        assert synced.end == write_to.stat().st_size
        frames_behind = b"".join(FrameEncoder().split(synced.until, [1], [b'{"i":1}'], None))
        with write_to.open("ab") as file:
            file.write(frames_behind)
        backup(data, tmp_path / "backup", NOW_US)
        assert (tmp_path / "backup" / write_to.relative_to(data.root)).stat().st_size == synced.end
    finally:
        log.close()


@settings(max_examples=60)
@given(st.integers(1, 5 * BLOCK_BYTES), st.integers(0, 5 * BLOCK_BYTES), st.integers(1, 2 * BLOCK_BYTES))
def test_a_copy_differs_by_the_blocks_that_cannot_be_read(tmp_path_factory, size, start, length):
    folder = tmp_path_factory.getbasetemp()
    path, copy = folder / "file", folder / "copy"
    content = os.urandom(1) * size if size < 2 else (os.urandom(size - 1) + b"x")
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file, copy.open("wb") as out:
        Unreadable(path, start, start + length).install(patch)
        unreadable = copy_readable(out, file.fileno(), size)
    want = bytearray(content)
    for block in range(0, size, BLOCK_BYTES):
        if block < start + length and min(block + BLOCK_BYTES, size) > start:
            want[block : block + BLOCK_BYTES] = bytes(min(BLOCK_BYTES, size - block))
    assert copy.read_bytes() == bytes(want)
    assert sum(end - begin for begin, end in unreadable) == sum(
        min(BLOCK_BYTES, size - block)
        for block in range(0, size, BLOCK_BYTES)
        if block < start + length and min(block + BLOCK_BYTES, size) > start
    )
    assert all(a[1] < b[0] for a, b in itertools.pairwise(unreadable))
