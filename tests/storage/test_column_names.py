"""The columns that are read from the engine's files are those that its records made; broken files are refused."""

import orjson
import pytest
import tantivy
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.column_names import Column, ColumnsUnknown, read_columns
from storage.index import create_index
from storage.stream_columns import together
from tests.support.stores import temporary_folder

names = st.text(st.characters(exclude_characters="\x00\x01\ue000", exclude_categories=["Cs"]), max_size=12)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(-1e9, 1e9),
    st.sampled_from(["a", "bb", "é"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
records = st.lists(st.dictionaries(names, values, max_size=5), min_size=1, max_size=8)


def built(root, records):
    """The `.fast` files of an index of these attributes."""
    index = create_index(root)
    writer = index.writer(15_000_000, 1)
    for number, attributes in enumerate(records):
        document = {
            "timestamp": number,
            "number": number,
            "stream": "s",
            "message": "m",
            "attributes": attributes,
        }
        writer.add_json(orjson.dumps(document).decode())
    writer.commit()
    writer.wait_merging_threads()
    return sorted(root.glob("*.fast"))


def walked(path, value, kinds, strings):
    if isinstance(value, dict):
        for name, item in value.items():
            walked(name if path is None else f"{path}.{name}", item, kinds, strings)
    elif isinstance(value, list):
        for item in value:
            walked(path, item, kinds, strings)
    elif value is not None:
        kind = {bool: "boolean", str: "string"}.get(type(value), "number")
        kinds.setdefault(path, set()).add(kind)
        if kind == "string":
            strings.setdefault(path, set()).add(value)


@settings(max_examples=150)
@given(records)
def test_the_columns_are_those_of_the_records(records):
    kinds, strings = {}, {}
    for record in records:
        walked(None, record, kinds, strings)
    with temporary_folder() as root:
        found = [column for path in built(root / "index", records) for column in read_columns(path)]
    assert together(found).kinds == {path: frozenset(found) for path, found in kinds.items()}
    assert together(found).strings == {path: len(values) for path, values in strings.items()}


def test_many_names_fill_several_blocks():
    record = {f"field_{place:05d}_{'x' * (place % 40)}": place for place in range(3000)}
    with temporary_folder() as root:
        (path,) = built(root / "index", [record, {"field_00001_x": "text"}])
        found = read_columns(path)
    assert {column.path for column in found} == set(record)
    assert [column for column in found if column.kind == "string"] == [Column("field_00001_x", "string", 1)]


def test_records_without_attributes_have_no_columns():
    with temporary_folder() as root:
        (path,) = built(root / "index", [{}])
        assert read_columns(path) == ()


def test_what_is_above_a_name_is_known_too():
    columns = together([Column("a.b.c", "number"), Column("a.b", "string", 2)])
    assert all(columns.has(path) for path in ("a", "a.b", "a.b.c"))
    assert not any(columns.has(path) for path in ("b", "a.b.c.d", ""))


def test_a_file_that_is_cut_anywhere_is_refused():
    with temporary_folder() as root:
        (path,) = built(root / "index", [{"a": 1, "b": {"c": "x"}}])
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(ColumnsUnknown):
                read_columns(path)


def test_no_byte_of_the_end_that_is_wrong_breaks_more_than_the_reading():
    with temporary_folder() as root:
        (path,) = built(root / "index", [{"a": 1, "b": {"c": "x"}}])
        whole = path.read_bytes()
        for place in range(max(len(whole) - 400, 0), len(whole)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
            try:
                read_columns(path)
            except ColumnsUnknown:
                continue


def test_the_version_of_the_engine_is_the_one_that_is_known():
    assert "index_format v7" in str(tantivy.__version__)
