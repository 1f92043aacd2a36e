"""What the store relies on in its search engine, and the traps it goes around: an upgrade must pass here first.

Each test is about the engine alone. A trap that is gone is as good to know as one that is new.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import tantivy
from tantivy import FieldType, Occur, Order, Query

from dsl.distance import is_near
from storage import index as ix
from storage.view import publish, read_meta, segment_ids

HEAP_BYTES = 16 << 20
LAST = "\U0010ffff"


class Probe:
    """An index of raw documents, to be asked in the engine's own words."""

    def __init__(self, path: Path, *commits: Sequence[dict[str, Any]]) -> None:
        self.path = path
        self.index = ix.create_index(path)
        writer = self.index.writer(HEAP_BYTES, 1)
        number = 0
        for documents in commits:
            for document in documents:
                fields = {ix.TIMESTAMP: number, ix.NUMBER: number, ix.STREAM: "main", **document}
                writer.add_json(orjson.dumps(fields).decode())
                number += 1
            writer.commit()
        writer.wait_merging_threads()
        self.index.reload()
        self.schema = self.index.schema
        self.searcher = self.index.searcher()

    def find(self, query: Query | str) -> list[int]:
        """The numbers of the documents that match."""
        if isinstance(query, str):
            query = self.index.parse_query(query, [ix.MESSAGE])
        hits = self.searcher.search(
            query, limit=10_000, count=False, order_by_field=ix.NUMBER, order=Order.Asc
        ).hits
        return [int(number) for number, _ in hits]

    def term(self, path: str, value: Any) -> list[int]:
        return self.find(Query.term_query(self.schema, f"{ix.ATTRIBUTES}.{path}", value))

    def exists(self, path: str, *, below: bool) -> list[int]:
        return self.find(Query.exists_query(f"{ix.ATTRIBUTES}.{path}", below))

    def aggregate(self, kind: str, path: str, **options: Any) -> Any:
        question = {"a": {kind: {"field": f"{ix.ATTRIBUTES}.{path}", **options}}}
        return self.searcher.aggregate(Query.all_query(), question)["a"]

    def terms(self, path: str, **options: Any) -> list[tuple[Any, int]]:
        return [(b["key"], b["doc_count"]) for b in self.aggregate("terms", path, **options)["buckets"]]


@pytest.fixture
def probe(tmp_path: Path) -> Any:
    """Makes an index of attributes, one commit."""

    def make(*attributes: Any, name: str = "index") -> Probe:
        return Probe(tmp_path / name, [{ix.ATTRIBUTES: one} for one in attributes])

    return make


# -- values


def test_strings_that_look_like_times_become_dates(probe: Any) -> None:
    """Hence the mark before them."""
    found = probe({"x": "2024-01-01T00:00:00Z"}, {"x": "\ue0002024-01-01T00:00:00Z"}, {"x": "2024-01-01"})
    assert found.term("x", "2024-01-01T00:00:00Z") == []
    assert found.term("x", "\ue0002024-01-01T00:00:00Z") == [1]
    assert found.term("x", "2024-01-01") == [2]


def test_whole_floats_are_integers_and_truths_are_not(probe: Any) -> None:
    found = probe({"x": 1}, {"x": 1.0}, {"x": True}, {"x": "1"}, {"x": -0.0}, {"x": 0})
    assert found.term("x", 1) == found.term("x", 1.0) == [0, 1]
    assert found.term("x", True) == [2]
    assert found.term("x", "1") == [3]
    assert found.term("x", 0) == found.term("x", -0.0) == [4, 5]


def test_floats_past_the_last_integer_become_that_integer(probe: Any) -> None:
    """Hence equality there is checked on the records."""
    found = probe({"x": 2.0**64}, {"x": 2**64 - 1}, {"x": 2.0**63}, {"x": 2**63 - 1})
    assert found.term("x", 2**64 - 1) == [0, 1]
    assert found.term("x", 2**63 - 1) == [2, 3]


def test_its_json_reader_misses_the_last_bit_of_some_floats(tmp_path: Path) -> None:
    """Hence records with many digits go in as documents."""
    value = 5.695020721853396e46
    found = Probe(tmp_path / "json", [{ix.ATTRIBUTES: {"x": value}}])
    assert found.terms("x")[0][0] != value
    index = ix.create_index(tmp_path / "document")
    writer = index.writer(HEAP_BYTES, 1)
    fields = {ix.TIMESTAMP: 1, ix.NUMBER: 1, ix.STREAM: "main", ix.ATTRIBUTES: {"x": value}}
    writer.add_document(tantivy.Document.from_dict(fields, ix.schema()))
    writer.commit()
    index.reload()
    question = {"a": {"terms": {"field": f"{ix.ATTRIBUTES}.x"}}}
    assert index.searcher().aggregate(Query.all_query(), question)["a"]["buckets"][0]["key"] == value


def test_a_column_of_floats_rounds_its_large_integers(probe: Any) -> None:
    """Hence ranges and keys past 2**53 are worked out from the records."""
    found = probe({"x": 2**53 + 1}, {"x": 0.5})
    assert (float(2**53), 1) in found.terms("x")
    assert found.term("x", 2**53 + 1) == [0]


def test_a_column_of_floats_has_two_zeros(probe: Any) -> None:
    """Hence -0.0 goes in as 0."""
    found = probe({"x": -0.0}, {"x": 0.0}, {"x": 0.5})
    assert found.find("attributes.x:>=0") == [1, 2]
    assert found.find("attributes.x:<0") == [0]


def test_long_strings_are_no_terms_and_are_cut_in_columns(probe: Any) -> None:
    found = probe({"x": "y" * 65_000}, {"x": "y" * 65_531}, {"x": "y" * 70_000})
    assert found.term("x", "y" * 65_000) == [0]
    assert found.term("x", "y" * 65_531) == []
    assert sorted(len(key) for key, _ in found.terms("x")) == [65_000, 65_531, ix.COLUMN_BYTES_MAX]


def test_columns_end_twenty_levels_down(probe: Any) -> None:
    """Hence deeper records are flattened; names with dots go as deep as they like."""
    shallow: Any = 1
    for _ in range(ix.COLUMN_DEPTH_MAX):
        shallow = {"a": shallow}
    found = probe(shallow, {"a": shallow}, {".".join("a" * 40): 1})
    names = [".".join("a" * levels) for levels in (ix.COLUMN_DEPTH_MAX, ix.COLUMN_DEPTH_MAX + 1, 40)]
    assert [found.exists(name, below=False) for name in names] == [[0], [], [2]]
    assert found.term(names[1], 1) == [1]


# -- names


def test_dots_in_names_are_levels(probe: Any) -> None:
    found = probe({"a.b": 1}, {"a": {"b": 1}}, {"a": [{"b": [[1]]}]}, {"ab": 1})
    assert found.term("a.b", 1) == [0, 1, 2]
    assert found.exists("a", below=True) == [0, 1, 2]
    assert found.exists("a", below=False) == []


def test_its_own_separators_in_names(probe: Any) -> None:
    """Hence they are replaced: U+0001 parts levels, and U+0000 ends a path."""
    found = probe({"a\x01b": 1}, {"a\x00b": 1}, {"a": {"b": 1}})
    assert 0 in found.term("a.b", 1)


def test_names_that_cannot_be_asked_about(probe: Any) -> None:
    found = probe({"": 1}, {"a.": 1}, {"a": 1})
    with pytest.raises(ValueError, match="Json"):
        found.term("", 1)
    assert not ix.path_is_indexed("")
    assert not ix.path_is_indexed("a.")
    assert found.exists("a", below=True) == [1, 2]


ODD_NAMES = [
    *(
        " ",
        "a b",
        "a:b",
        'a"b',
        "a'b",
        "a[0]",
        "a(b)",
        "a{b}",
        "-a",
        "+a",
        "!a",
        "~a",
        "a/b",
        "*",
        "a*",
        "^2",
    ),
    *(
        "1",
        "AND",
        "NOT",
        "TO",
        "`",
        "a\nb",
        "\t",
        "%",
        "$ref",
        "@x",
        "#x",
        "=",
        "<a",
        ">=1",
        ",",
        ";",
        "|",
        "&&",
    ),
    *(".b", "a..b", "é", "日本", "😀"),
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_can_be_asked_about(probe: Any, name: str) -> None:
    from storage.columns import escaped

    found = probe({name: 5}, {"other": 5})
    assert found.term(name, 5) == [0]
    assert found.exists(name, below=True) == found.exists(name, below=False) == [0]
    assert found.terms(name) == [(5, 1)]
    assert found.find(f"{escaped(name)}:>=5") == found.find(f"{escaped(name)}:[4 TO 6]") == [0]


# -- ranges


def test_a_range_of_an_integer_and_a_fraction_panics(probe: Any) -> None:
    """Hence whole bounds are moved to the nearest fraction."""
    found = probe({"x": 10}, {"x": 15.5}, {"x": 20})
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - it is no Exception
        found.find("attributes.x:[10.5 TO 20]")
    assert type(caught.value).__name__ == "PanicException"
    assert not isinstance(caught.value, Exception)
    assert found.find("attributes.x:[10.5 TO 20.000000000000004]") == [1, 2]


def test_unsigned_columns_take_negative_fractions_for_no_bound(probe: Any) -> None:
    """Hence a whole bound beside them."""
    found = probe({"x": 2**63}, {"x": 1})
    assert found.find("attributes.x:<=-0.5") == [0, 1]
    assert found.find("attributes.x:<0") == []


def test_ranges_of_columns_of_several_types(probe: Any) -> None:
    found = probe({"x": 1}, {"x": 2.5}, {"x": "2"}, {"x": True}, {"x": [0, 9]}, {"x": 2**63})
    assert found.find("attributes.x:>=2.5") == [1, 4, 5]
    assert found.find("attributes.x:<2") == [0, 4]
    assert found.find("attributes.x:[1 TO 3]") == [0, 1]


def test_a_range_of_strings_finds_all_strings_and_nothing_else(probe: Any) -> None:
    found = probe(
        {"x": ""}, {"x": "z"}, {"x": LAST + "z"}, {"x": 5}, {"x": False}, {"x": ["\x02", 1]}, {"y": "s"}
    )
    below, above = found.find(f"attributes.x:<{LAST}"), found.find(f"attributes.x:>={LAST}")
    assert sorted(below + above) == [0, 1, 2, 5]


def test_range_query_knows_typed_fields_with_care(probe: Any) -> None:
    found = probe({}, {}, {})
    assert found.find(
        Query.range_query(found.schema, ix.NUMBER, FieldType.Unsigned, 1, None, True, True)
    ) == [1, 2]
    assert found.find(
        Query.range_query(found.schema, ix.TIMESTAMP, FieldType.Integer, None, 2, True, False)
    ) == [0, 1]
    with pytest.raises(ValueError, match="At least one"):
        Query.range_query(found.schema, ix.NUMBER, FieldType.Unsigned, None, None, True, True)
    with pytest.raises(ValueError, match="include_upper"):
        Query.range_query(found.schema, ix.NUMBER, FieldType.Unsigned, 1, None, True, False)


# -- words


def test_words_are_runs_of_letters_and_digits_in_lower_case() -> None:
    assert ix.analyse("Foo_bar-BAZ 42, straße/İX ÄÖ 日本 \u212a") == [
        *["foo", "bar", "baz", "42", "straße", "i\u0307x", "äö", "日本", "k"]
    ]
    assert ix.analyse("w" * ix.WORD_BYTES_MAX + " x") == ["w" * ix.WORD_BYTES_MAX, "x"]
    assert ix.analyse("w" * (ix.WORD_BYTES_MAX + 1) + " x") == ["x"]


def test_a_long_word_leaves_a_gap_in_a_phrase(tmp_path: Path) -> None:
    """Hence messages with one are looked at again."""
    found = Probe(tmp_path / "index", [{ix.MESSAGE: f"one {'w' * 300} two"}, {ix.MESSAGE: "one two two"}])

    def phrase(*words: str) -> list[int]:
        return found.find(Query.phrase_query(found.schema, ix.MESSAGE, list(words)))

    assert phrase("one", "two") == [1]
    assert phrase("two", "two") == [1]
    assert found.find(Query.term_query(found.schema, ix.MESSAGE, "two")) == [0, 1]


def test_a_pattern_is_of_the_whole_word(tmp_path: Path) -> None:
    found = Probe(tmp_path / "index", [{ix.MESSAGE: "Errors"}, {ix.MESSAGE: "no terror"}])
    assert found.find(Query.regex_query(found.schema, ix.MESSAGE, "error.*")) == [0]
    assert found.find(Query.regex_query(found.schema, ix.MESSAGE, ".*error")) == [1]


def test_likeness_counts_edits_and_swaps_but_edits_no_part_twice(tmp_path: Path) -> None:
    chosen = random.Random(7)
    words = sorted({"".join(chosen.choices("abcé日", k=chosen.randint(1, 6))) for _ in range(400)})
    found = Probe(tmp_path / "index", [{ix.MESSAGE: word} for word in words])
    for word in ["ca", "abc", "éab日", *chosen.sample(words, 20)]:
        for most in (1, 2):
            got = found.find(Query.fuzzy_term_query(found.schema, ix.MESSAGE, word, most))
            assert [words[number] for number in got] == [one for one in words if is_near(word, one, most)]


def test_a_pattern_over_attributes_is_of_the_path_and_the_text(probe: Any) -> None:
    """A term of a JSON field is its path, U+0000, the letter of its type and the text: patterns know all of it."""
    found = probe(
        {"a": {"b": "xyz"}}, {"a": ["no", "xyz\n"]}, {"xyz": 1}, {"c": "2024-01-01T00:00:00Z", "xyz": "b"}
    )

    def like(pattern: str) -> list[int]:
        return found.find(Query.regex_query(found.schema, ix.ATTRIBUTES, pattern))

    assert like("(?s).*xyz.*") == [0, 1, 3]  # the bytes of a number are no text
    assert like("[^\x00]*\x00s(?s:.*xyz.*)") == [0, 1]
    assert like("a\x01b\x00s(?s:xyz)") == [0]
    assert like("a\x00s(?s:.*)") == [1]
    assert like("c\x00s(?s:.*)") == []  # a date, of another type


def test_a_pattern_over_attributes_may_be_too_large(probe: Any) -> None:
    found = probe({"a": "b"})
    with pytest.raises(ValueError, match="regex"):
        found.find(Query.regex_query(found.schema, ix.ATTRIBUTES, "(?:a{1000}){1000}"))


def test_an_index_that_is_opened_has_lost_its_analyzer(tmp_path: Path) -> None:
    Probe(tmp_path / "index", [{ix.MESSAGE: "x"}])
    with pytest.raises(ValueError, match="tokenizer"):
        tantivy.Index.open(str(tmp_path / "index")).parse_query("x", [ix.MESSAGE])
    assert ix.open_index(tmp_path / "index").parse_query("x", [ix.MESSAGE])


# -- searching


def test_nothing_but_exclusion_finds_nothing(probe: Any) -> None:
    """Hence what is left out is left out of everything."""
    found = probe({"x": 1}, {})
    unwanted = Query.term_query(found.schema, f"{ix.ATTRIBUTES}.x", 1)
    assert found.find(Query.boolean_query([(Occur.MustNot, unwanted)])) == []
    assert found.find(Query.boolean_query([(Occur.Must, Query.all_query()), (Occur.MustNot, unwanted)])) == [
        1
    ]


def test_order_by_a_field_goes_both_ways(probe: Any) -> None:
    found = probe({}, {}, {})
    for order, want in ((Order.Desc, [2, 1]), (Order.Asc, [0, 1])):
        hits = found.searcher.search(
            Query.all_query(), limit=2, count=False, order_by_field=ix.TIMESTAMP, order=order
        ).hits
        assert [time for time, _ in hits] == want


# -- aggregations


def test_terms_count_a_record_once_for_each_value(probe: Any) -> None:
    found = probe({"x": [1, 1, 1.0, 2]}, {"x": 1})
    assert sorted(found.terms("x")) == [(1, 2), (2, 1)]


def test_terms_of_truths_come_with_their_names(probe: Any) -> None:
    buckets = probe({"x": True}, {"x": False}, {"x": 1}).aggregate("terms", "x")["buckets"]
    assert {(bucket["key"], bucket.get("key_as_string")) for bucket in buckets} == {
        (1, "true"),
        (0, "false"),
        (1, None),
    }


def test_terms_take_a_pattern_of_the_whole_value(probe: Any) -> None:
    found = probe({"x": "abc"}, {"x": "a\nc"}, {"x": "bc"}, {"x": 5})
    assert [key for key, _ in found.terms("x", include="a.*") if type(key) is str] == ["abc"]
    assert sorted(key for key, _ in found.terms("x", include="(?s)a.*") if type(key) is str) == [
        "a\nc",
        "abc",
    ]


def test_statistics_are_of_numbers_only(probe: Any) -> None:
    found = probe({"x": [1, 1, 2.5]}, {"x": True}, {"x": "7"}, {})
    stats = found.aggregate("stats", "x")
    assert (stats["count"], stats["sum"], stats["min"], stats["max"]) == (3, 4.5, 1, 2.5)
    assert found.aggregate("max", "none")["value"] is None


def test_too_many_groups_are_an_error(probe: Any) -> None:
    found = probe({"x": list(range(65_100))})
    assert found.aggregate("terms", "x", size=10)["sum_other_doc_count"] == 65_090
    with pytest.raises(ValueError, match="bucket"):
        found.aggregate("terms", "x", size=66_000, segment_size=66_000)


# -- one index over many


def test_a_view_of_links_answers_for_all_in_the_order_of_its_list(tmp_path: Path) -> None:
    first = Probe(tmp_path / "first", [{ix.ATTRIBUTES: {"x": 1}}], [{ix.ATTRIBUTES: {"x": 2}}])
    second = Probe(tmp_path / "second", [{ix.ATTRIBUTES: {"x": 30}, ix.STREAM: "other"}])
    sources = [(probe.path, read_meta(probe.path)) for probe in (first, second)]
    publish(tmp_path / "view", sources, sources[0][1])
    assert segment_ids(read_meta(tmp_path / "view")) == tuple(
        segment for _, meta in sources for segment in segment_ids(meta)
    )
    index = ix.open_index(tmp_path / "view")
    searcher = index.searcher()
    assert searcher.num_docs == first.searcher.num_docs + second.searcher.num_docs == 3
    owners = ["main"] * len(sources[0][1]["segments"]) + ["other"]
    for name in ("main", "other"):
        of_one = Query.term_query(index.schema, ix.STREAM, name)
        for _, place in searcher.search(of_one, limit=10, count=False, order_by_field=ix.NUMBER).hits:
            assert owners[place.segment_ord] == name
    numbers = {"a": {"stats": {"field": f"{ix.ATTRIBUTES}.x"}}}
    assert searcher.aggregate(Query.all_query(), numbers)["a"]["sum"] == 33


def test_a_searcher_outlives_the_files_it_has_opened(tmp_path: Path) -> None:
    found = Probe(tmp_path / "index", [{ix.MESSAGE: "x", ix.ATTRIBUTES: {"x": 1}}])
    for name in os.listdir(found.path):
        os.unlink(found.path / name)
    assert found.find(Query.term_query(found.schema, ix.MESSAGE, "x")) == [0]
    assert found.terms("x") == [(1, 1)]
