"""Views that readers make for themselves: apart from each other, gone with their reader, without what was deleted."""

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from storage import rewrite
from storage.catalog import load_catalog
from storage.drop import drop
from storage.own_views import OwnViews, remove_stale_links, remove_stale_views
from storage.paths import DataDirectory
from storage.pruning import Within
from storage.publication import edit
from storage.store import Store
from tests.storage.test_indexer import index, numbers, write


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    write(data, 300, segment_bytes_max=2500)
    write(data, 40, stream="other")
    index(data)
    return data


def test_every_reader_has_a_folder_of_its_own(data):
    one, two = OwnViews(data.views), OwnViews(data.views)
    assert not data.views.exists()
    assert one.folder("x").parent != two.folder("x").parent
    assert one.folder("x").parent == one.folder("y").parent
    assert one.has(one.folder("x"))
    assert not one.has(two.folder("x"))
    one.close()
    assert list(data.views.iterdir()) == [two.folder("x").parent]
    two.close()
    assert not list(data.views.iterdir())


def test_views_of_dead_readers_are_removed_and_no_others(data):
    """Whoever has the number of a dead reader now: a lock tells, not the number."""
    mine = OwnViews(data.views)
    mine.folder("x").mkdir()
    program = (
        "import os, sys; from pathlib import Path; from storage.own_views import OwnViews\n"
        "own = OwnViews(Path(sys.argv[1])); own.folder('x').mkdir(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, str(data.views)], check=True)
    (data.views / f"{os.getpid()}.left").mkdir()
    assert len(list(data.views.iterdir())) == 3
    assert remove_stale_views(data) == 2
    assert list(data.views.iterdir()) == [mine.folder("x").parent]
    mine.close()


@contextmanager
def opened(folder):
    """All files below a folder; they stay known as long as this, even without a name."""
    files = [os.open(path, os.O_RDONLY) for path in folder.rglob("*") if path.is_file()]
    try:
        yield files
    finally:
        for fd in files:
            os.close(fd)


def names_of(files):
    """How many names lead to files."""
    return sum(os.fstat(fd).st_nlink for fd in files)


@pytest.mark.parametrize("how", ["drop", "delete"])
def test_no_view_of_any_reader_has_a_name_for_what_is_gone(data, how):
    stream = data.stream("main")
    entry = load_catalog(stream.catalog).segments[0]
    readers = Store(data), Store(data)
    snapshots = [store.snapshot(["main", "other"]) for store in readers]
    low = max(one.max_us for one in load_catalog(stream.catalog).segments[:2])
    snapshots.append(readers[0].snapshot(["main"], within=Within(None, low)))
    want = [snapshot.records for snapshot in snapshots]
    with opened(stream.segment(entry.first).root) as going:
        if how == "drop":
            drop(stream, lambda catalog: catalog.segments[:1])
        else:
            rewrite.delete(stream, entry, lambda number, _time, _line: number != 5)
            edit(stream, lambda catalog: catalog)
        left = names_of(going)
        assert left > 0
        assert remove_stale_links(data) == left
        assert names_of(going) == 0
    # Who had begun finishes, and who asks again sees what is left.
    for snapshot, records in zip(snapshots, want, strict=True):
        everything = snapshot.queries.all()[0]
        assert len(snapshot.fetch(snapshot.newest(everything, 1000))) == records
        assert snapshot.incomplete is None
    rest = len(numbers(data)) + 40
    assert rest < 340
    for store in readers:
        assert store.snapshot(["main", "other"]).records == rest
    assert remove_stale_links(data) == 0
    for store in readers:
        store.close()


def test_a_view_that_lost_files_is_made_anew(data):
    """Another one's search for stale links may come between a view being made and being opened."""
    store = Store(data)
    assert store.snapshot(["main", "other"]).records == 340
    (key,) = store._views
    folder = store._views.pop(key).path
    for path in list(folder.iterdir())[::2]:
        path.unlink()
    again = store.snapshot(["main", "other"])
    assert len(again.fetch(again.newest(again.queries.all()[0], 1000))) == 340
    store.close()
