"""What the pinned index engine does, as `docs/adr/0002-index-traps.md` lists it: when one fails, a detour may go."""

import subprocess
import sys

import orjson
import pytest
import tantivy
from tantivy import FieldType, Occur, Query

from storage.index import create_index, words_analyzer

MICROSECOND_TEXT = "2026-01-02T03:04:05.678901Z"


@pytest.fixture
def indexed(tmp_path):
    """Makes an index of records with these attributes, as the engine takes them without our marks."""
    made = []

    def make(*attributes):
        index = create_index(tmp_path / str(len(made)))
        made.append(index)
        writer = index.writer(15 << 20, 1)
        for number, fields in enumerate(attributes, 1):
            writer.add_json(
                orjson.dumps({"timestamp": 1, "number": number, "stream": "a", "attributes": fields}).decode()
            )
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        return index, index.searcher()

    return make


def count(searcher, query):
    return searcher.search(query, limit=1).count


def terms(searcher, field, **options):
    answer = searcher.aggregate(
        Query.all_query(), {"v": {"terms": {"field": f"attributes.{field}", **options}}}
    )
    return {bucket["key"]: bucket["doc_count"] for bucket in answer["v"]["buckets"]}


def test_the_version_is_the_one_that_was_looked_at():
    assert "v0.27.0" in tantivy.__version__


# -- records going in


def test_dates_keep_whole_seconds():
    builder = tantivy.SchemaBuilder()
    builder.add_date_field("when", fast=True, indexed=True, stored=True)
    index = tantivy.Index(builder.build())
    writer = index.writer(15 << 20, 1)
    writer.add_json(orjson.dumps({"when": MICROSECOND_TEXT}).decode())
    writer.commit()
    index.reload()
    (bucket,) = index.searcher().aggregate(Query.all_query(), {"v": {"terms": {"field": "when"}}})["v"][
        "buckets"
    ]
    assert bucket["key"] == "2026-01-02T03:04:05Z"


def test_a_string_that_looks_like_a_time_is_not_found_as_a_string(indexed):
    index, searcher = indexed({"when": MICROSECOND_TEXT, "day": "2026-01-02"})
    assert count(searcher, Query.term_query(index.schema, "attributes.when", MICROSECOND_TEXT)) == 0
    assert count(searcher, Query.term_query(index.schema, "attributes.day", "2026-01-02")) == 1


@pytest.mark.parametrize("character", ["\x00", "\x01"])
def test_two_control_characters_in_names_mean_something_else(indexed, character):
    index, searcher = indexed({f"a{character}b": "x"})
    try:
        found = count(searcher, Query.term_query(index.schema, f"attributes.a{character}b", "x"))
    except ValueError:
        found = 0
    other = count(searcher, Query.term_query(index.schema, "attributes.a.b", "x"))
    assert not found or other


def test_json_deeper_than_128_is_refused(indexed):
    deep = "x"
    for _ in range(130):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="not valid JSON"):
        indexed(deep)


def test_a_long_string_is_no_term_and_its_column_is_cut(indexed):
    index, searcher = indexed({"long": "x" * 70_000})
    assert count(searcher, Query.term_query(index.schema, "attributes.long", "x" * 70_000)) == 0
    assert terms(searcher, "long") == {"x" * 65_535: 1}


def test_the_default_analyzer_drops_long_words():
    digest = "a1" * 32
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    cut = builder.filter(tantivy.Filter.lowercase()).filter(tantivy.Filter.remove_long(40)).build()
    assert cut.analyze(digest) == []
    assert words_analyzer().analyze(digest) == [digest]


def test_an_analyzer_must_be_registered_again(tmp_path):
    create_index(tmp_path / "index")
    bare = tantivy.Index.open(str(tmp_path / "index"))
    with pytest.raises(ValueError, match="klomp_words"):
        bare.parse_query("message:x", ["message"])


# -- conditions


def test_a_range_from_a_float_to_an_integer_panics(indexed):
    index, searcher = indexed({"n": 10.5}, {"n": 15})
    with pytest.raises(BaseException, match="None") as caught:
        count(searcher, index.parse_query("attributes.n:[10.5 TO 20]", ["message"]))
    assert not isinstance(caught.value, Exception)
    assert count(searcher, index.parse_query("attributes.n:[10.5 TO 20.5]", ["message"])) == 2


def test_json_has_no_range_query_and_no_regular_expressions(indexed):
    index, searcher = indexed({"n": 1, "text": "abc"})
    with pytest.raises(ValueError, match="not defined"):
        Query.range_query(index.schema, "attributes.n", FieldType.Integer, 0, 2)
    with pytest.raises(ValueError, match="not defined"):
        Query.regex_query(index.schema, "attributes.text", "a.*")
    assert terms(searcher, "text", include="a.*") == {"abc": 1}


@pytest.mark.parametrize("bounds", [(None, None, True, True), (1, None, True, False)])
def test_open_ends_are_refused(indexed, bounds):
    index, _ = indexed({})
    with pytest.raises(ValueError, match="bound"):
        Query.range_query(index.schema, "timestamp", FieldType.Integer, *bounds)


def test_large_integers_beside_floats_are_rounded(indexed):
    _, searcher = indexed({"n": 2**53 + 1}, {"n": 0.5})
    assert 2**53 + 1 not in terms(searcher, "n")


# -- results


def test_a_huge_limit_ends_the_process():
    code = (
        "import tantivy\n"
        "builder = tantivy.SchemaBuilder()\n"
        "builder.add_unsigned_field('n', fast=True)\n"
        "index = tantivy.Index(builder.build())\n"
        "writer = index.writer(15 << 20, 1)\n"
        "writer.add_json('{\"n\": 1}')\n"
        "writer.commit()\n"
        "index.reload()\n"
        "index.searcher().search(tantivy.Query.all_query(), limit=10**15)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode < 0


def test_more_than_65_000_groups_are_refused(indexed):
    _, searcher = indexed(*({"n": n} for n in range(65_001)))
    with pytest.raises(ValueError, match=r"(?i)bucket"):
        terms(searcher, "n", size=70_000, segment_size=70_000)


def test_records_without_the_field_are_in_no_group(indexed):
    _, searcher = indexed({"a": "x"}, {"b": "x"})
    assert terms(searcher, "a") == {"x": 1}


def test_a_negation_alone_finds_nothing(indexed):
    index, searcher = indexed({"a": "x"}, {"a": "y"})
    not_x = (Occur.MustNot, Query.term_query(index.schema, "attributes.a", "x"))
    assert count(searcher, Query.boolean_query([not_x])) == 0
    assert count(searcher, Query.boolean_query([(Occur.Must, Query.all_query()), not_x])) == 1
