"""The check: a byte that flips anywhere is found, and a store that is well has no findings, whatever it is doing."""

import contextlib
import os
import shutil
import sqlite3
import threading
import time

import orjson
import pytest

from storage import rewrite
from storage.catalog import load_catalog
from storage.check import check
from storage.checked import add_checksum
from storage.errors import FormatUnknown, UnknownStream
from storage.findings import Severity
from storage.format import FILE_HEADER, FrameHeader
from storage.indexer import Indexer
from storage.log import StreamLog
from storage.metadata import Metadata
from storage.paths import DataDirectory
from storage.scan import frames
from storage.versions import refuse_unknown_versions
from tests.storage.test_indexer import index, write

FLIPS_A_FILE = int(os.environ.get("KLOMP_FLIPS", "6"))

# Nothing depends on these files: the engine's list of what to remove, ours of links to remove at the next publication,
# and locks; nor on such links, nor on the engine's count of operations.
FREE = ("previous.txt", ".managed.json", ".lock")


@pytest.fixture
def data(tmp_path):
    """Two sealed segments, one of them rewritten without some records, and one that is written to."""
    data = DataDirectory(tmp_path)
    write(data, 300, segment_bytes_max=2500)
    index(data)
    stream = data.stream("main")
    rewrite.delete(
        stream, load_catalog(stream.catalog).segments[0], lambda number, _time, _line: number % 5 != 0
    )
    return data


def codes(data, **options):
    return [(finding.severity, finding.code) for finding in check(data, **options).findings]


def headers(path, first):
    fd = os.open(path, os.O_RDONLY)
    try:
        return [found for found in frames(fd, verify=True, expect=first) if isinstance(found, FrameHeader)]
    finally:
        os.close(fd)


def flip(path, offset):
    """Change one byte in place, as a disk does: also under hard links."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ (1 << (offset % 8))]))


def test_a_store_that_is_well_has_no_findings(data):
    report = check(data)
    assert report.findings == []
    assert report.exit_code == 0
    (stream,) = report.streams
    assert (stream.name, stream.segments) == ("main", 3)
    assert stream.records == load_catalog(data.stream("main").catalog).records


def test_an_empty_store_is_well(tmp_path):
    assert check(DataDirectory(tmp_path)).findings == []
    log = StreamLog(DataDirectory(tmp_path).stream("main"))
    log.close()
    assert check(DataDirectory(tmp_path)).findings == []


def test_a_flipped_byte_anywhere_is_found(data):
    stream = data.stream("main")
    shown = {name.replace("-", "") for s in load_catalog(stream.catalog).segments for name in s.tantivy}
    files = [
        path
        for path in data.root.rglob("*")
        if path.is_file()
        and not path.name.endswith(FREE)
        and (path.parent != stream.view or path.stem in {"meta", *shown})
    ]
    assert len(files) > 20
    missed = []
    for path in files:
        size = path.stat().st_size
        free = range(0)
        if path.name == "meta.json" and b'"opstamp"' in path.read_bytes():
            at = path.read_bytes().index(b'"opstamp"')
            free = range(at, size)
        for offset in sorted({*range(0, size, max(size // FLIPS_A_FILE, 1)), size - 1} - set(free)):
            flip(path, offset)
            if not check(data).findings:
                missed.append((str(path.relative_to(data.root)), offset))
            flip(path, offset)
    assert missed == []
    assert check(data).findings == []


def test_a_store_that_is_written_to_and_indexed_has_no_findings(tmp_path):
    data = DataDirectory(tmp_path)
    stop = threading.Event()

    def keep_writing():
        start = 0
        while not stop.is_set():
            write(data, 60, start=start, segment_bytes_max=4000)
            start += 60

    def keep_indexing():
        indexer = Indexer(data)
        indexer.run(stop.wait)
        indexer.close()

    threads = [threading.Thread(target=keep_writing), threading.Thread(target=keep_indexing)]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            # The writer of this test holds no lock, so its last batch may look torn.
            assert [c for c in codes(data) if c != (Severity.HARMLESS, "torn-tail")] == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    index(data)
    assert codes(data) == []


def test_damage_is_told_with_the_records_that_it_costs(data):
    stream = data.stream("main")
    active = stream.segment(stream.segment_firsts()[-1])
    frame = headers(active.data, active.first)[1]
    flip(active.data, frame.offset + 60)
    (finding,) = check(data).findings
    assert finding.severity is Severity.DAMAGE
    assert finding.path == f"streams/main/segments/{active.root.name}/data.log"
    assert finding.message == (
        f"bytes {frame.offset} to {frame.end} are damaged: records {frame.first} to {frame.until - 1} are lost"
    )
    index(data)
    shutil.rmtree(active.index)
    index(data)
    (finding,) = check(data).findings
    assert f"(they are kept in damaged-{frame.offset}-{frame.end}.bin)" in finding.message


@pytest.mark.parametrize("where", ["sealed", "active"])
def test_a_damaged_last_frame_is_damage_and_no_torn_tail(data, where):
    stream = data.stream("main")
    entry = load_catalog(stream.catalog).segments[-1 if where == "active" else 0]
    segment = stream.segment(entry.first, entry.generation)
    frame = headers(segment.data, segment.first)[-1]
    flip(segment.data, frame.end - 1)
    found = [finding for finding in check(data).findings if finding.severity == Severity.DAMAGE]
    assert [finding.code for finding in found] == ["data-damaged"]
    assert f"bytes {frame.offset} to {frame.end}" in found[0].message


def test_a_torn_tail_loses_nothing(data):
    stream = data.stream("main")
    path = stream.segment(stream.segment_firsts()[-1]).data
    with path.open("ab") as file:
        file.write(b"half a frame")
    assert codes(data) == [(Severity.HARMLESS, "torn-tail")]
    StreamLog(stream).close()
    (finding,) = check(data).findings
    assert finding.path.endswith(".bin")
    assert (finding.severity, finding.code) == (Severity.HARMLESS, "torn-tail")


def test_records_that_are_not_indexed_yet_are_no_finding(data):
    write(data, 50, start=300, segment_bytes_max=800)
    assert codes(data) == []


def test_a_damaged_file_header_loses_nothing(data):
    stream = data.stream("main")
    active = stream.segment(stream.segment_firsts()[-1])
    flip(active.data, 3)
    assert codes(data) == [(Severity.HARMLESS, "header-damaged")]
    shutil.rmtree(active.index)
    index(data)
    assert codes(data) == [(Severity.HARMLESS, "header-damaged")]
    StreamLog(stream).close()


@pytest.mark.parametrize(
    ("lost", "want"),
    [
        ("index", "index-missing"),
        ("index/meta.json", "index-missing"),
        ("meta.json", "meta-damaged"),
        ("data.log", "data-missing"),
    ],
)
def test_what_is_gone_is_told(data, lost, want):
    stream = data.stream("main")
    path = stream.segment(1, 1).root / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = codes(data)
    assert want in [code for _, code in found]
    assert max(found)[0] == (Severity.DAMAGE if lost == "data.log" else Severity.HARMLESS)


@pytest.mark.parametrize("lost", ["index", "meta.json", "catalog.json", "view"])
def test_what_is_derived_is_well_again_after_a_start(data, lost):
    for path in sorted(data.stream("main").root.rglob(lost)):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
    report = check(data)
    assert report.exit_code == (0 if lost == "view" else 1)  # a restored store has none yet
    index(data)
    assert check(data).findings == []


def test_an_index_that_lacks_a_record_is_told(data):
    stream = data.stream("main")
    active = stream.segment(stream.segment_firsts()[-1])
    shutil.rmtree(stream.root / "kept", ignore_errors=True)
    shutil.copytree(active.index, stream.root / "kept")
    write(data, 20, start=300)
    index(data)
    shutil.rmtree(active.index)
    shutil.move(stream.root / "kept", active.index)
    assert "index-disagrees" in [code for _, code in codes(data)]


def test_folders_that_no_catalog_names_are_told(data):
    stream = data.stream("main")
    shutil.copytree(stream.segment(1, 1).root, stream.segment(1, 2).root)
    (stream.segments / "notes").mkdir()
    (data.streams / "not a stream").mkdir()
    assert sorted(codes(data)) == [
        (Severity.HARMLESS, "orphan-folder"),
        (Severity.HARMLESS, "unknown-name"),
        (Severity.HARMLESS, "unknown-name"),
    ]


def test_segments_of_the_same_numbers_are_told(data):
    write(data, 30, stream="other")
    other = data.stream("other").segment(1).data.read_bytes()
    stream = data.stream("main")
    active = stream.segment(stream.segment_firsts()[-1])
    twice = stream.segment(active.first + 10)
    twice.root.mkdir()
    shutil.copy(active.data, twice.data)
    assert other
    assert Severity.DAMAGE in [severity for severity, _ in codes(data, names=["main"])]


def test_a_version_that_is_not_known_is_refused_by_name(data):
    stream = data.stream("main")
    path = stream.segment(1, 1).data
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\x02")
    catalog = orjson.loads(stream.catalog.read_bytes())
    del catalog["crc32"]
    report = check(data)
    assert report.exit_code == Severity.UNKNOWN
    assert report.findings[0].message == "it has format version 2, this klomp knows version 1"
    stream.catalog.write_bytes(add_checksum(orjson.dumps({**catalog, "version": 7})))
    assert [finding.path for finding in check(data).findings if finding.severity == Severity.UNKNOWN] == [
        "streams/main/catalog.json",
        f"streams/main/segments/{path.parent.name}/data.log",
    ]


def test_the_metadata_are_checked_too(data):
    Metadata(data.metadata).close()
    assert codes(data) == []
    with contextlib.closing(sqlite3.connect(data.metadata)) as database:
        database.execute("PRAGMA user_version = 99")
    assert codes(data) == [(Severity.UNKNOWN, "format-unknown")]
    with pytest.raises(FormatUnknown, match=r"klomp\.db: it has format version 99"):
        refuse_unknown_versions(data)
    data.metadata.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    assert codes(data) == [(Severity.DAMAGE, "metadata-damaged")]
    refuse_unknown_versions(data)


def test_a_stream_that_is_not_there_is_named(data):
    with pytest.raises(UnknownStream):
        check(data, ["nope"])


def test_progress_comes_to_the_size_of_the_data(data):
    read = []
    report = check(data, progress=read.append)
    assert sum(read) == sum(s.data_bytes for s in report.streams) - 3 * FILE_HEADER.size
