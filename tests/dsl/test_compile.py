"""What each operator asks of an index."""

from typing import Any

import pytest
import tantivy
from strategies import NOW_US, analyse

from dsl.compile import compile_predicate
from dsl.parse import parse
from dsl.patterns.pieces import Piece


class Asked:
    """An index that writes down what it is asked, and knows nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def analyse(self, text: str) -> list[str]:
        return [word for word in analyse(text) if len(word) < 10]

    def all(self) -> tuple[tantivy.Query, tantivy.Query]:
        query = tantivy.Query.all_query()
        return query, query

    def none(self) -> tuple[tantivy.Query, tantivy.Query]:
        query = tantivy.Query.empty_query()
        return query, query

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: Any, **options: Any) -> tuple[tantivy.Query, tantivy.Query]:
            given = [one for one in (*arguments, *options.values()) if not callable(one)]
            self.calls.append((name, *given))
            return self.all()

        return ask


AT = 1_767_312_000_000_000  # 2026-01-02

ASKED: list[tuple[str, list[tuple[Any, ...]]]] = [
    ('[:= :a "x"]', [("equal", "a", "x")]),
    ("[:!= :a.b 1.5]", [("equal", "a.b", 1.5)]),
    ("[:= :_number 5]", [("equal", "_number", 5)]),
    ('[:= :timestamp "2026-01-02"]', [("instants", AT, AT + 1)]),
    ('[:< :timestamp "2026-01-02"]', [("instants", None, AT)]),
    ('[:<= :timestamp "2026-01-02"]', [("instants", None, AT + 1)]),
    ('[:> :timestamp "2026-01-02"]', [("instants", AT + 1, None)]),
    ('[:>= :timestamp "now-1h"]', [("instants", NOW_US - 3_600_000_000, None)]),
    ('[:between :timestamp "2026-01-02" "2026-01-02"]', [("instants", AT, AT + 1)]),
    ('[:between :timestamp nil "2026-01-02"]', [("instants", None, AT + 1)]),
    ('[:in :timestamp ["2026-01-02"]]', [("instants", AT, AT + 1)]),
    ("[:exists :timestamp]", []),
    ("[:< :a 5]", [("numbers", "a", None, 5, True, False)]),
    ("[:<= :a 5]", [("numbers", "a", None, 5, True, True)]),
    ("[:> :a 5]", [("numbers", "a", 5, None, False, True)]),
    ("[:>= :a 5]", [("numbers", "a", 5, None, True, True)]),
    ('[:< :a "x"]', [("strings", "a", None, "x", True, False)]),
    ('[:>= :a "x"]', [("strings", "a", "x", None, True, True)]),
    ("[:between :a 1 2.5]", [("numbers", "a", 1, 2.5, True, True)]),
    ('[:between :a nil "x"]', [("strings", "a", None, "x", True, True)]),
    ('[:in :a #{"x" 1 true}]', [("any_of", "a", [True, 1, "x"])]),
    ('[:in :a #{"x" #inst "2026"}]', [("any_of", "a", ["x"]), ("strings", "a", "0", ":", True, False)]),
    ("[:in :a #{}]", []),
    ('[:= :a #inst "2026"]', [("strings", "a", "0", ":", True, False)]),
    ('[:< :a #inst "2026"]', [("strings", "a", "0", ":", True, False)]),
    ('[:between :a #inst "2026" nil]', [("strings", "a", "0", ":", True, False)]),
    ("[:exists :a]", [("exists", "a")]),
    ("[:missing :a]", [("exists", "a")]),
    ('[:match :m "Time out"]', [("words", "m", ["time", "out"], True)]),
    ('[:match-any :m "Time out"]', [("words", "m", ["time", "out"], False)]),
    ('[:phrase :m "Time out"]', [("phrase", "m", ["time", "out"], False)]),
    ('[:phrase :m "Time o*"]', [("phrase", "m", ["time", "o"], True)]),
    ('[:match :m "abcdefghijkl"]', []),  # a word that the index does not keep
    ('[:match-any :m "abcdefghijkl"]', []),
    ('[:phrase :m "abcdefghijkl"]', []),
    ('[:phrase :m "Time out" {:slop 2}]', [("scattered", "m", ["time", "out"], False)]),
    ('[:phrase :m "Time o*" {:slop 2}]', [("scattered", "m", ["time", "o"], True)]),
    ('[:phrase :m "Time" {:slop 2}]', [("phrase", "m", ["time"], False)]),
    ('[:fuzzy :m "Time"]', [("near", "m", ["time"], 1)]),
    ('[:fuzzy :* "Time" {:distance 2}]', [("near", "*", ["time"], 2)]),
    ('[:fuzzy :m "abcdefghijkl"]', []),
    (
        '[:glob :m "/a?/*/b"]',
        [("passing", "m", ((Piece("/a", left=True),), (Piece("/"),), (Piece("/b", right=True),)))],
    ),
    ('[:glob :m "a"]', [("passing", "m", ((Piece("a", left=True, right=True),),))]),
    ('[:regex :m "^ab.c"]', [("passing", "m", ((Piece("ab", left=True),), (Piece("c"),)))]),
    (
        '[:cidr :m "10.1.0.0/16"]',
        [("passing", "m", ((Piece("10.1.", left=True), Piece("ffff", fold=True)),))],
    ),
    ('[:cidr :m "0.0.0.0/0"]', [("passing", "m", ())]),
    ('[:cidr :m "fe80::/10"]', [("passing", "m", ((Piece("fe", left=True, fold=True),),))]),
    ('[:contains :m "A b"]', [("substring", "m", "A b")]),
    ('[:starts-with :m "A b"]', [("starts_with", "m", "A b")]),
    ('[:ends-with :m "A b"]', [("ends_with", "m", "A b")]),
]


@pytest.mark.parametrize(("text", "calls"), ASKED)
def test_what_an_operator_asks(text: str, calls: list[tuple[Any, ...]]) -> None:
    index = Asked()
    compile_predicate(parse(f"{{:where {text}}}").where, index, NOW_US)
    assert index.calls == calls


@pytest.mark.parametrize("text", ['[:= :a #inst "2026"]', '[:< :a #inst "2026"]', '[:in :a [#inst "2026"]]'])
def test_times_in_other_fields_are_left_to_the_evaluator(text: str) -> None:
    upper, lower = compile_predicate(parse(f"{{:where {text}}}").where, Asked(), NOW_US)
    assert upper is not lower
