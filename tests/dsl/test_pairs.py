"""How pairs of index queries are put together, with real queries on a real index of a few numbers."""

from collections.abc import Sequence
from typing import Any

import pytest
import tantivy
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import NOW_US, analyse

from dsl.compile import Pair, compile_predicate, is_exact
from dsl.evaluate import matches
from dsl.nodes import Predicate
from dsl.operators.and_ import And
from dsl.operators.equal import Equal
from dsl.operators.not_ import Not
from dsl.operators.not_equal import NotEqual
from dsl.operators.or_ import Or
from dsl.parse import parse
from dsl.record import Record

NUMBERS = range(8)


class Few:
    """An index of one field `a` with the numbers above, which answers for odd values only roughly."""

    def __init__(self) -> None:
        builder = tantivy.SchemaBuilder()
        self.schema = builder.add_integer_field("a", indexed=True, fast=True, stored=True).build()
        index = tantivy.Index(self.schema)
        writer = index.writer(15_000_000, 1)
        for number in NUMBERS:
            writer.add_document(tantivy.Document(a=number))
        writer.commit()
        index.reload()
        self.searcher = index.searcher()

    def found(self, query: tantivy.Query) -> set[int]:
        hits = self.searcher.search(query, limit=100).hits
        return {self.searcher.doc(address)["a"][0] for _, address in hits}

    def all(self) -> Pair:
        query = tantivy.Query.all_query()
        return query, query

    def none(self) -> Pair:
        query = tantivy.Query.empty_query()
        return query, query

    def equal(self, _: str, value: Any) -> Pair:
        query = tantivy.Query.term_query(self.schema, "a", value)
        if value % 2 == 0:
            return query, query
        wide = tantivy.Query.term_set_query(self.schema, "a", [value, (value + 1) % 8])
        return wide, self.none()[0]

    def any_of(self, _: str, values: Sequence[Any]) -> Pair:
        query = tantivy.Query.term_set_query(self.schema, "a", list(values))
        return query, query

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


FEW = Few()

parts = st.recursive(
    st.builds(Equal, field=st.just("a"), value=st.sampled_from(NUMBERS))
    | st.builds(NotEqual, field=st.just("a"), value=st.sampled_from(NUMBERS)),
    lambda inner: st.one_of(
        st.builds(And, parts=st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, parts=st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, part=inner),
    ),
    max_leaves=8,
)


@settings(max_examples=200)
@given(parts)
def test_the_answer_lies_between_lower_and_upper(predicate: Predicate) -> None:
    upper, lower = compile_predicate(predicate, FEW, NOW_US)
    holds = matches(predicate, analyse, NOW_US)
    want = {number for number in NUMBERS if holds(Record(0, "main", number, {"a": number}))}
    assert FEW.found(lower) <= want <= FEW.found(upper)
    if upper is lower:
        assert FEW.found(upper) == want


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("[:= :a 2]", True),
        ("[:= :a 1]", False),
        ("[:not [:= :a 2]]", True),
        ("[:not [:= :a 1]]", False),
        ("[:not [:not [:= :a 2]]]", True),
        ("[:!= :a 2]", True),
        ("[:and]", True),
        ("[:or]", True),
        ("[:and [:= :a 2]]", True),
        ("[:and [:= :a 2] [:= :a 4]]", True),
        ("[:and [:= :a 2] [:not [:= :a 4]]]", True),
        ("[:and [:!= :a 2]]", True),
        ("[:and [:= :a 2] [:not [:= :a 1]]]", False),
        ("[:or [:= :a 2] [:= :a 1]]", False),
        ("[:or [:= :a 2] [:in :a [4 6]]]", True),
        ("[:in :a []]", True),
    ],
)
def test_what_is_made_of_exact_parts_is_exact(text: str, exact: bool) -> None:
    assert is_exact(compile_predicate(parse(f"{{:where {text}}}").where, FEW, NOW_US)) is exact


def test_no_predicate_is_every_record() -> None:
    assert FEW.found(compile_predicate(None, FEW, NOW_US)[0]) == set(NUMBERS)
