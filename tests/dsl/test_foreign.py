"""Texts in other languages are told what they are, and nothing that is a query is taken for one."""

import json

import pytest
from hypothesis import given

from dsl.errors import QueryError
from dsl.foreign import bare_words, foreign
from dsl.parse import parse
from dsl.printer import to_edn, to_json
from tests.dsl import strategies


@given(strategies.queries)
def test_no_query_is_taken_for_another_language(query):
    for text, syntax in ((to_edn(query), "edn"), (json.dumps(to_json(query)), "json")):
        assert foreign(text, syntax) is None
        assert bare_words(text) is None


@pytest.mark.parametrize(
    ("text", "syntax", "message", "way_out"),
    [
        (
            '{"where": ["=", "level", "error"]}',
            "edn",
            "this is JSON, and was sent as EDN",
            "application/json",
        ),
        ('{"limit":1}', "edn", "this is JSON, and was sent as EDN", "application/json"),
        ("{:limit 1}", "json", "this is EDN, and was sent as JSON", "application/edn"),
        ('[:= :level "error"]', "json", "this is EDN, and was sent as JSON", "application/edn"),
    ],
)
def test_who_mixes_up_json_and_edn_is_told(text, syntax, message, way_out):
    with pytest.raises(QueryError) as caught:
        parse(text, syntax)
    assert [mistake.message for mistake in caught.value.mistakes] == [message]
    assert way_out in str(caught.value.mistakes[0].hint)


@pytest.mark.parametrize("text", ['{"where" [:= :level "error" }', '{:where [:= :level "error}', "[:= :a 1"])
def test_a_broken_query_is_still_told_where_it_breaks(text):
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert "not-a-map" not in {mistake.code for mistake in caught.value.mistakes}
