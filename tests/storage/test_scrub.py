"""The scrub: all that is sealed is read once a round; what went bad is found, told once, and mended where it can be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import scrub as scrub_module
from storage.catalog import load_catalog
from storage.check import check
from storage.drop import drop
from storage.indexer import Indexer
from storage.metadata import Metadata
from storage.paths import DataDirectory
from storage.rebuild import live_segments
from storage.scrub import ROUND_S, Place, Scrub
from storage.scrub_tables import ScrubTables
from storage.segment import load_meta
from storage.store import Store
from tests.storage.test_check import flip, headers
from tests.storage.test_indexer import index, numbers, write
from tests.support.failing_disk import Unreadable
from tests.support.stores import temporary_folder

NOW_US = 1_767_225_600_000_000
EVERY_S = 600
WEEK_US = ROUND_S * 1_000_000


@pytest.fixture
def data(tmp_path):
    data = DataDirectory(tmp_path)
    write(data, 300, segment_bytes_max=2500)
    write(data, 100, stream="other", segment_bytes_max=1000)
    index(data)
    return data


def scrub(data, place=None, now_us=NOW_US, **options):
    one = Scrub(data, place, now_us, EVERY_S, sleep=lambda _: None, **options)
    one.run()
    return one


def whole_round(data):
    """A round at once, as after a week without the server."""
    begun = Place(NOW_US - WEEK_US + 1)
    return scrub(data, begun)


def sealed(data):
    """All sealed segments, and the sizes of their files."""
    return [
        (data.stream(name).segment(entry.first, entry.generation), entry)
        for name in data.stream_names()
        for entry in live_segments(data.stream(name))
        if entry.sealed
    ]


def size_of(data):
    return sum(size for folder, _ in sealed(data) for size, _ in load_meta(folder).files.values())


def test_a_round_reads_all_that_is_sealed_once_and_finds_nothing(data):
    one = whole_round(data)
    assert one.found == []
    assert one.place.whole
    assert one.place.read_bytes == size_of(data)
    assert len(one.well) == len(set(one.well)) == sum(len(load_meta(f).files) for f, _ in sealed(data))
    # Then there is nothing to do until the week is over.
    assert scrub(data, one.place).place == one.place
    again = scrub(data, one.place, NOW_US + WEEK_US)
    assert again.place.begun_us == NOW_US + WEEK_US
    assert 0 < again.place.read_bytes < size_of(data)


def test_a_round_is_spread_over_a_week(data):
    write(data, 300, stream="third", segment_bytes_max=500)
    index(data)
    place, read = None, []
    for now_us in range(NOW_US, NOW_US + WEEK_US, WEEK_US // 20):
        place = Scrub(data, place, now_us, WEEK_US / 20e6, sleep=lambda _: None)
        place.run()
        place = place.place
        read.append(place.read_bytes)
    assert place.whole
    assert read[-1] == size_of(data)
    assert read[4] < read[9] < read[14] < read[-1]
    assert read[9] < 0.8 * size_of(data)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=30))
def test_a_round_of_many_short_runs_is_as_one_of_a_long_one(budgets):
    with temporary_folder() as root, pytest.MonkeyPatch.context() as patch:
        data = DataDirectory(root)
        write(data, 120, segment_bytes_max=700)
        index(data)
        patch.setattr(scrub_module, "PIECE_BYTES", 512)
        folder, _ = sealed(data)[1]
        flip(folder.data, 200)
        place, found, well, runs = Place(NOW_US - WEEK_US + 1), [], [], 0
        while not place.whole:
            patch.setattr(scrub_module, "RUN_BYTES_MAX", budgets[runs % len(budgets)])
            one = scrub(data, place)
            place, runs = one.place, runs + 1
            found += one.found
            well += one.well
            assert runs < 10_000
        assert [one.code for one in found] == ["data-damaged"]
        assert place.read_bytes == size_of(data)
        assert len(well) == len(set(well)) == sum(len(load_meta(f).files) for f, _ in sealed(data)) - 1


def test_a_flipped_byte_in_the_data_is_set_aside_counted_and_told_once(data):
    folder, entry = sealed(data)[1]
    header = headers(folder.data, entry.first)[1]
    flip(folder.data, header.offset + 70)
    (found,) = whole_round(data).found
    assert (found.code, found.path) == ("data-damaged", folder.data.relative_to(data.root).as_posix())
    assert (folder.root / f"damaged-{header.offset}-{header.end}.bin").stat().st_size == (
        header.end - header.offset
    )
    told = next(one for one in live_segments(data.stream("main")) if one.first == entry.first)
    assert (told.damaged, told.damaged_bytes) == (1, header.end - header.offset)
    assert "are damaged" in Store(data).snapshot(["main"]).incomplete
    assert set(range(1, 301)) - set(numbers(data)) == set(range(header.first, header.until))
    # It is told once, and by a check and after a restart as well.
    assert whole_round(data).found == []
    assert {finding.code for finding in check(data, ["main"]).findings} == {"data-damaged"}
    index(data)
    assert told in live_segments(data.stream("main"))
    # What goes bad later is told anew.
    other = headers(folder.data, entry.first)[0]
    flip(folder.data, other.offset + 70)
    assert [one.code for one in whole_round(data).found] == ["data-damaged"]


@pytest.mark.parametrize("where", ["index", "meta.json", "gone"])
def test_an_index_that_went_bad_is_made_anew_while_queries_go_on(data, where):
    folder, entry = sealed(data)[1]
    path = folder.meta if where == "meta.json" else next(folder.index.glob("*.term"))
    store = Store(data)
    before = store.snapshot(["main"])
    indexer = Indexer(data)
    indexer.catch_up()
    if where == "gone":
        path.unlink()
    else:
        flip(path, 30)
    (found,) = whole_round(data).found
    assert found.path == path.relative_to(data.root).as_posix()
    assert "the index is made anew" in found.message
    assert not found.stays
    snapshot = store.snapshot(["main"])
    assert "is being made anew" in snapshot.incomplete
    assert snapshot.records == 300 - entry.records
    assert before.count(before.queries.all()[0]) == 300
    indexer.catch_up()
    after = store.snapshot(["main"])
    assert after.incomplete is None
    assert after.records == 300
    assert whole_round(data).found == []
    assert check(data).findings == []
    indexer.close()
    store.close()


def test_what_the_disk_cannot_read_is_told_as_long_as_it_is_so(data, tmp_path):
    metadata = Metadata(data.metadata)
    tables = ScrubTables(metadata)
    folder, entry = sealed(data)[1]
    bad = Unreadable(folder.data, 300, 301)
    with pytest.MonkeyPatch.context() as patch:
        bad.install(patch)
        one = whole_round(data)
        assert [(f.code, f.stays) for f in one.found] == [("unreadable", True)]
        assert "Input/output error" in one.found[0].message
        assert tables.note(one.place, one.found, one.well, one.live) == one.found
        again = whole_round(data)
        assert tables.note(again.place, again.found, again.well, again.live) == []
        assert tables.findings() == one.found
    # The rest of the segment and of the store was read all the same.
    assert len(one.well) == sum(len(load_meta(f).files) for f, _ in sealed(data)) - 1
    well = whole_round(data)
    tables.note(well.place, well.found, well.well, well.live)
    assert tables.findings() == []
    # What is told of a segment goes with it.
    tables.note(one.place, one.found, one.well, one.live)
    drop(data.stream("main"), lambda catalog: [s for s in catalog.segments if s.first == entry.first])
    gone = whole_round(data)
    tables.note(gone.place, gone.found, gone.well, gone.live)
    assert tables.findings() == []
    metadata.close()


def test_an_index_that_the_disk_cannot_read_is_made_anew(data, monkeypatch):
    folder, _ = sealed(data)[1]
    path = next(folder.index.glob("*.term"))
    Unreadable(path, 0, 1 << 20).install(monkeypatch)
    monkeypatch.setattr(scrub_module, "_is_whole", lambda *_: False)  # which reads it in another way
    assert [one.code for one in whole_round(data).found] == ["index-damaged"]
    index(data)
    assert len(numbers(data)) == 300
    assert not path.exists()


def test_data_that_are_gone_are_told(data):
    folder, _ = sealed(data)[1]
    folder.data.unlink()
    (found,) = whole_round(data).found
    assert (found.code, found.stays) == ("data-missing", True)


def test_a_byte_that_means_nothing_is_told_and_costs_nothing(data):
    folder, _ = sealed(data)[1]
    flip(folder.data, 12)
    (found,) = whole_round(data).found
    assert (found.code, found.stays) == ("checksum-differs", True)
    assert load_catalog(data.stream("main").catalog).incomplete is None
    assert len(numbers(data)) == 300


def test_where_it_is_survives_a_restart(data, monkeypatch):
    monkeypatch.setattr(scrub_module, "RUN_BYTES_MAX", 3000)
    metadata = Metadata(data.metadata)
    tables = ScrubTables(metadata)
    assert tables.place() is None
    one = scrub(data, Place(NOW_US - WEEK_US + 1))
    tables.note(one.place, (), (), one.live)
    metadata.close()
    metadata = Metadata(data.metadata)
    assert ScrubTables(metadata).place() == one.place
    assert one.place.file
    metadata.close()


def test_a_clock_that_was_set_back_begins_no_other_round(data):
    one = scrub(data)
    back = scrub(data, one.place, NOW_US - WEEK_US)
    assert back.place.begun_us == NOW_US - WEEK_US
    assert back.place.read_bytes >= one.place.read_bytes


def test_a_run_that_has_to_end_ends_at_the_next_piece(data):
    asked = iter([False, False, True, True, True])
    one = scrub(data, Place(NOW_US - WEEK_US + 1), stopping=lambda: next(asked))
    assert not one.place.whole
    assert 0 < one.place.read_bytes <= sealed(data)[0][0].data.stat().st_size
