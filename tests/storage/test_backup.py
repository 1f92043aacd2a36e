"""Backup and restore: what comes back is what was there, whatever happened meanwhile; a damaged backup is refused."""

import itertools
import os
import shutil
import threading

import pytest

from storage import backup as backup_module
from storage import rewrite
from storage.backup import backup
from storage.catalog import load_catalog
from storage.check import check
from storage.drop import drop
from storage.errors import FormatUnknown
from storage.indexer import Indexer
from storage.manifest import (
    MANIFEST,
    README,
    BackedUpFile,
    BackedUpStream,
    BackupError,
    Manifest,
    load_manifest,
)
from storage.metadata import Metadata
from storage.paths import DataDirectory
from storage.restore import restore, verify
from tests.docs.blocks import ROOT, code, table
from tests.storage.test_check import flip
from tests.storage.test_indexer import index, numbers, write

NOW_US = 1_767_225_600_000_000


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path / "data")
    write(data, 300, segment_bytes_max=2500)
    write(data, 40, stream="other")
    index(data)
    stream = data.stream("main")
    rewrite.delete(
        stream, load_catalog(stream.catalog).segments[0], lambda number, _time, _line: number % 5 != 0
    )
    Metadata(data.metadata).close()
    return data


def everything(data):
    return {name: numbers(data, name) for name in data.stream_names()}


def restored(source, tmp_path, **options):
    data = DataDirectory(tmp_path / f"restored{next(counter)}")
    restore(source, data, **options)
    index(data)
    return data


counter = itertools.count()


def files(folder):
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["backup", "backup.tar", "backup.tar.zst"])
def test_what_is_restored_is_what_was_there(data, tmp_path, name):
    outcome = backup(data, tmp_path / name, NOW_US)
    assert outcome.problems == []
    assert {stream.name: stream.records for stream in outcome.manifest.streams} == {
        stream: len(found) for stream, found in everything(data).items()
    }
    assert verify(tmp_path / name).problems == []
    again = restored(tmp_path / name, tmp_path)
    assert everything(again) == everything(data)
    assert check(again).findings == []
    assert again.metadata.exists()
    write(again, 10, start=300)
    index(again)
    assert max(numbers(again)) == 310
    assert not (data.root / backup_module.STAGING).exists()


def test_a_check_of_what_was_restored_just_now_finds_nothing(data, tmp_path):
    backup(data, tmp_path / "backup", NOW_US)
    again = DataDirectory(tmp_path / "again")
    restore(tmp_path / "backup", again)
    assert check(again).findings == []


def test_what_is_not_indexed_yet_is_in_it(data, tmp_path):
    write(data, 60, start=300, segment_bytes_max=800)
    write(data, 5, stream="new")
    backup(data, tmp_path / "backup", NOW_US)
    again = restored(tmp_path / "backup", tmp_path)
    index(data)
    assert everything(again) == everything(data)
    assert len(numbers(again, "new")) == 5


def test_a_second_backup_copies_only_what_changed(data, tmp_path):
    first = backup(data, tmp_path / "backup", NOW_US)
    assert first.linked > 10
    same = backup(data, tmp_path / "backup", NOW_US)
    assert (same.linked, same.copied) == (0, 0)
    write(data, 10, start=300, segment_bytes_max=1 << 20)
    index(data)
    second = backup(data, tmp_path / "backup", NOW_US)
    assert second.linked == 0
    assert second.copied == 1  # the file that is written to
    again = restored(tmp_path / "backup", tmp_path)
    assert everything(again) == everything(data)


def test_sealed_files_are_links_and_others_are_not(data, tmp_path):
    backup(data, tmp_path / "backup", NOW_US)
    stream = data.stream("main")
    sealed = stream.segment(1, 1).data
    active = stream.segment(stream.segment_firsts()[-1]).data
    assert (tmp_path / "backup" / sealed.relative_to(data.root)).samefile(sealed)
    assert not (tmp_path / "backup" / active.relative_to(data.root)).samefile(active)


def test_without_links_files_are_copied(data, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        outcome = backup(data, tmp_path / "backup", NOW_US)
    assert outcome.linked == 0
    assert everything(restored(tmp_path / "backup", tmp_path)) == everything(data)


def test_what_was_deleted_before_is_not_in_the_next_backup(data, tmp_path):
    target = tmp_path / "backup"
    backup(data, target, NOW_US)
    stream = data.stream("main")
    drop(stream, lambda catalog: [entry for entry in catalog.segments if entry.sealed])
    shutil.rmtree(data.stream("other").root)
    backup(data, target, NOW_US)
    listed = {file.place for file in load_manifest(target).files}
    assert set(files(target)) == listed | {MANIFEST, README}
    assert not any("/other/" in name or "0001.1/" in name for name in listed)
    assert everything(restored(target, tmp_path)) == everything(data)


def test_an_interrupted_backup_leaves_the_one_before(data, tmp_path, monkeypatch):
    target = tmp_path / "backup"
    backup(data, target, NOW_US)
    before = everything(data)
    write(data, 100, start=300, segment_bytes_max=1500)
    index(data)
    real, calls = os.replace, itertools.count()

    def sometimes(source, to):
        if str(target) in str(to) and next(calls) == fail_at:
            raise OSError(5, "Input/output error")
        real(source, to)

    fail_at = -1
    while True:
        fail_at += 1
        calls = itertools.count()
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", sometimes)
            try:
                backup(data, target, NOW_US)
            except OSError:
                assert verify(target).problems == []
                assert everything(restored(target, tmp_path)) == before
            else:
                break
    assert fail_at > 0
    assert everything(restored(target, tmp_path)) == everything(data)
    assert not [name for name in files(target) if name.endswith(".new")]


def test_a_first_backup_that_was_interrupted_is_refused_and_can_be_begun_again(data, tmp_path, monkeypatch):
    target = tmp_path / "backup"
    with monkeypatch.context() as patched:
        patched.setattr(backup_module.Manifest, "save", lambda *_: (_ for _ in ()).throw(OSError(5, "gone")))
        with pytest.raises(OSError, match="gone"):
            backup(data, target, NOW_US)
    with pytest.raises(BackupError, match=r"it is not whole: it has no manifest\.json"):
        restore(target, DataDirectory(tmp_path / "no"))
    assert not (tmp_path / "no").exists()
    assert everything(restored(target, tmp_path, allow_damage=True)) == everything(data)
    backup(data, target, NOW_US)
    assert verify(target).problems == []


@pytest.mark.parametrize("name", ["backup", "backup.tar", "backup.tar.zst"])
def test_a_flipped_byte_is_found_and_refused(data, tmp_path, name):
    source = tmp_path / name
    backup(data, source, NOW_US)
    if source.is_dir():
        for path in list(files(source).values()):  # so that the store is not hit too
            copy = path.with_name("copy")
            shutil.copy(path, copy)
            copy.replace(path)
    paths = [
        p for p in (source.rglob("*") if source.is_dir() else [source]) if p.is_file() and p.name != README
    ]
    for path in paths:
        size = path.stat().st_size
        for offset in {size // 3, size - 1} if source.is_dir() else {size // 4, size // 2, 3 * size // 4}:
            flip(path, offset)
            try:
                problems = verify(source).problems
            except (BackupError, FormatUnknown) as error:
                problems = [error.message]
            assert problems, (path.name, offset)
            with pytest.raises(BackupError):
                restore(source, DataDirectory(tmp_path / "no"))
            assert not (tmp_path / "no").exists()
            flip(path, offset)
    assert verify(source).problems == []


def test_a_damaged_backup_gives_what_is_left(data, tmp_path):
    source = tmp_path / "backup"
    backup(data, source, NOW_US)
    shutil.copytree(source, tmp_path / "copy")
    shutil.rmtree(source)
    source = tmp_path / "copy"
    stream = source / "streams" / "main" / "segments"
    flip(next((stream / "00000000000000000001.1" / "index").glob("*.term")), 40)
    active = max(stream.iterdir()) / "data.log"
    flip(active, 100)
    again = restored(source, tmp_path, allow_damage=True)
    found, was = numbers(again), numbers(data)
    assert 0 < len(was) - len(found) <= 20
    assert found.items() <= was.items()
    assert len(numbers(again, "other")) == 40


def test_a_cut_archive_is_refused_and_gives_what_is_left(data, tmp_path):
    source = tmp_path / "backup.tar"
    backup(data, source, NOW_US)
    whole = source.read_bytes()
    for part in (0.3, 0.6, 0.9):
        source.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(BackupError, match="damaged"):
            restore(source, DataDirectory(tmp_path / "no"))
        again = restored(source, tmp_path, allow_damage=True)
        assert all(
            numbers(again, name).items() <= numbers(data, name).items() for name in again.stream_names()
        )


def test_a_backup_while_all_changes_is_a_prefix(tmp_path):
    data = DataDirectory(tmp_path / "data")
    write(data, 100, segment_bytes_max=3000)
    stop = threading.Event()

    def keep_writing():
        start = 100
        while not stop.is_set():
            write(data, 40, start=start, segment_bytes_max=3000)
            start += 40

    def keep_indexing():
        indexer = Indexer(data)
        indexer.run(stop.wait)
        indexer.close()

    def keep_compacting():
        stream = data.stream("main")
        while not stop.wait(0.05):
            catalog = load_catalog(stream.catalog)
            runs = rewrite.sealed_runs(catalog) if catalog else []
            if runs and len(runs[0]) >= 3:
                rewrite.compact(stream, runs[0][:3])

    threads = [threading.Thread(target=work) for work in (keep_writing, keep_indexing, keep_compacting)]
    for thread in threads:
        thread.start()
    last = 0
    try:
        for turn in range(6):
            target = tmp_path / ("backup" if turn % 3 else f"backup{turn}.tar")
            outcome = backup(data, target, NOW_US)
            assert outcome.problems == []
            again = restored(target, tmp_path)
            found = sorted(numbers(again))
            assert found == list(range(1, len(found) + 1))
            assert len(found) == outcome.manifest.streams[0].records >= max(last, 100)
            assert check(again).findings == []
            last = len(found)
            shutil.rmtree(again.root)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert last > 100


def test_damage_in_the_store_is_told_and_backed_up_as_it_is(data, tmp_path):
    stream = data.stream("main")
    flip(stream.segment(1, 1).data, 100)
    flip(next(stream.segment(stream.segment_firsts()[0]).index.glob("*.term")), 40)
    outcome = backup(data, tmp_path / "backup", NOW_US)
    assert len(outcome.problems) == 2
    assert verify(tmp_path / "backup").problems == []
    again = restored(tmp_path / "backup", tmp_path)
    codes = {finding.code for finding in check(again).findings}
    assert "data-damaged" in codes
    assert "index-damaged" not in codes


def test_a_segment_that_is_lost_does_not_keep_the_others(data, tmp_path):
    data.stream("main").segment(1, 1).data.unlink()
    outcome = backup(data, tmp_path / "backup", NOW_US)
    assert any("is gone" in problem for problem in outcome.problems)
    again = restored(tmp_path / "backup", tmp_path)
    assert len(numbers(again, "other")) == 40
    assert max(numbers(again)) == 300


@pytest.mark.parametrize("where", ["data/inside", "data", ".", "notes", "file", "old.tar"])
def test_targets_that_are_of_no_use(data, tmp_path, where):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "old.tar").write_text("mine")
    before = {name: path.read_bytes() for name, path in files(tmp_path).items()}
    with pytest.raises(BackupError):
        backup(data, tmp_path / where, NOW_US)
    assert {name: path.read_bytes() for name, path in files(tmp_path).items()} == before


def test_nothing_is_restored_over_something(data, tmp_path):
    backup(data, tmp_path / "backup", NOW_US)
    with pytest.raises(BackupError, match="is not empty"):
        restore(tmp_path / "backup", data)
    with pytest.raises(BackupError, match="there is no"):
        restore(tmp_path / "nope", DataDirectory(tmp_path / "new"))
    with pytest.raises(BackupError, match="holds no backup"):
        restore(data.root, DataDirectory(tmp_path / "new"))
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "backup", DataDirectory(tmp_path / "empty"))
    index(DataDirectory(tmp_path / "empty"))
    assert everything(DataDirectory(tmp_path / "empty")) == everything(data)


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_nothing_is_restored_outside_of_its_place(tmp_path, name):
    import io
    import tarfile

    source = tmp_path / "evil.tar"
    with tarfile.open(source, "w") as archive:
        for member in (README, name):
            about = tarfile.TarInfo(member)
            about.size = 2
            archive.addfile(about, io.BytesIO(b"hi"))
    with pytest.raises(BackupError, match="outside"):
        restore(source, DataDirectory(tmp_path / "deep" / "er" / "data"), allow_damage=True)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "deep" / "er" / "data").exists()


def test_two_backups_to_one_place_do_not_mix(data, tmp_path):
    target = tmp_path / "backup"
    backup(data, target, NOW_US)
    with (target / README).open("rb") as file:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another backup"):
            backup(data, target, NOW_US)


@pytest.mark.parametrize(
    ("column", "model"),
    [("key of the manifest", Manifest), ("key of a stream", BackedUpStream), ("key of a file", BackedUpFile)],
)
def test_every_key_of_the_manifest_is_documented(column, model):
    rows = table(ROOT / "docs" / "formats" / "backup.md", column, "is")
    assert [code(row[column])[0] for row in rows] == list(model.model_fields)
