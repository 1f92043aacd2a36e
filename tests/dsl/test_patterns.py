"""Patterns against plain implementations of themselves, and what they are said to need against what they match."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.distance import is_near
from dsl.errors import QueryError
from dsl.evaluate import matches
from dsl.limits import DEFAULT
from dsl.parse import parse
from dsl.patterns.glob import BadGlob, read_glob
from dsl.patterns.pieces import Needs, Piece
from dsl.patterns.regex import BadPattern, check, searcher
from dsl.patterns.required import required
from dsl.patterns.scattered import is_scattered
from dsl.printer import to_edn
from dsl.record import Record
from tests.support import patterns

KIN = str.maketrans("\u017f\u212a", "sk")

texts = st.text(st.sampled_from("abcAKk\u017f\u212aé日.*+?^$|()[]{}\\-_ /\n019"), max_size=12)
words = st.text(st.sampled_from("abcé"), max_size=6)


def has(text: str, piece: Piece) -> bool:
    wanted = piece.text
    if piece.fold:
        text, wanted = text.translate(KIN).lower(), wanted.lower()
        assert wanted.isascii()
    if piece.left and not text.startswith(wanted):
        return False
    if piece.right and not text.endswith(wanted):
        return False
    return wanted in text


def holds(needs: Needs, text: str) -> bool:
    return all(any(has(text, piece) for piece in clause) for clause in needs)


@st.composite
def expressions(draw: Any) -> tuple[str, str]:
    text = draw(texts)
    return text, patterns.regex(draw, text)


@given(expressions(), texts)
@settings(max_examples=500)
def test_what_an_expression_is_found_in_has_what_it_needs(pair: tuple[str, str], other: str) -> None:
    text, expression = pair
    needs = required(expression)
    find = searcher(expression)
    for one in (text, other, text.swapcase(), other + text):
        assert not find(one) or holds(needs, one), (expression, needs, one)


@given(st.text(st.sampled_from("ab\\QEdzA.*+?^$|()[]{}:imsU-P<>,1x é"), max_size=20), texts)
@settings(max_examples=1000)
def test_any_expression_that_is_one_says_no_more_than_it_needs(expression: str, text: str) -> None:
    try:
        find = searcher(expression)
    except BadPattern:
        required(expression)
        return
    needs = required(expression)
    for one in (text, text + expression, expression):
        assert not find(one) or holds(needs, one), (expression, needs, one)


def piece(text: str) -> Piece:
    """`^ab` is at the left end, `ab$` at the right, `~ab` in any case."""
    return Piece(text.strip("^$~"), left=text.startswith("^"), right=text.endswith("$"), fold="~" in text[:2])


NEEDED: list[tuple[str, list[list[str]]]] = [
    ("abc", [["abc"]]),
    ("^GET .* 5\\d\\d$", [["^GET "], [" 5"]]),
    ("^GET /a(b|c) x", [["^GET /ab x", "^GET /ac x"]]),
    ("(GET|POST) +/api", [["GET", "POST"], [" "], ["/api"]]),
    ("colou?r", [["colour", "color"]]),
    ("ab+c", [["a"], ["b"], ["c"]]),
    ("ab*c", [["a"], ["c"]]),
    ("a{2}b", [["a"], ["b"]]),
    ("(?i)error", [["~error"]]),
    ("(?i:e)rror", [["~error"]]),
    ("(?i)größe", [["~gr"], ["~e"]]),
    ("[0-9]+", []),
    ("a[xy]b", [["axb", "ayb"]]),
    ("a[^x]b", [["a"], ["b"]]),
    ("a\\.b", [["a.b"]]),
    ("a\\x2eb\\x{65e5}", [["a.b日"]]),
    ("\\Qa.*\\Eb", [["a.*b"]]),
    ("\\btimeout\\b", [["timeout"]]),
    ("\\Aa\\z", [["^a$"]]),
    ("^$", []),
    ("(?m)^a$", [["a"]]),
    ("a|", []),
    ("(a.*b|cd)e", [["a", "cde"], ["e"]]),
    ("(?P<name>ab)c", [["abc"]]),
    ("a^b", [["a"], ["^b"]]),
    ("(" * 60 + "a" + ")" * 60, []),
]


@pytest.mark.parametrize(("expression", "needs"), NEEDED)
def test_what_an_expression_needs(expression: str, needs: list[list[str]]) -> None:
    searcher(expression)
    found = required(expression)
    if expression == "(a.*b|cd)e":  # the longest of a branch stands for it
        assert found == ((piece("a"), piece("cd")), (piece("e"),))
        return
    assert found == tuple(tuple(map(piece, clause)) for clause in needs)


@cache
def like(glob: str, text: str) -> bool:
    """Whether a text is like a glob of `*`, `?`, `[ab]`, `[!a-c]` and escapes, worked out the obvious way."""
    if not glob:
        return not text
    if glob[0] == "*":
        return like(glob[1:], text) or (bool(text) and like(glob, text[1:]))
    if not text:
        return False
    if glob[0] == "?":
        return like(glob[1:], text[1:])
    if glob[0] == "[":
        end = glob.index("]", 3 if glob[1] == "!" else 2)
        inner = glob[1:end].removeprefix("!")
        among = (
            any(chr(code) == text[0] for code in range(ord(inner[0]), ord(inner[2]) + 1))
            if inner[1:2] == "-" and len(inner) == 3
            else text[0] in inner
        )
        return among != (glob[1] == "!") and like(glob[end + 1 :], text[1:])
    if glob[0] == "\\":
        return glob[1] == text[0] and like(glob[2:], text[1:])
    return glob[0] == text[0] and like(glob[1:], text[1:])


globs = st.lists(
    st.sampled_from(
        ["*", "**", "?", "[ab]", "[!ab]", "[a-c]", "[!a-c]", "[]]", "\\*", "\\[", "a", "b", "é", "\n", "."]
    ),
    max_size=6,
).map("".join)


@given(globs, st.text(st.sampled_from("abcdé日\n*[].^"), max_size=6))
@settings(max_examples=500)
def test_globs_are_like_a_plain_implementation(glob: str, text: str) -> None:
    read = read_glob(glob)
    assert searcher(read.expression)(text) == like(glob, text)
    assert not like(glob, text) or holds(read.needs, text)


@given(st.data(), texts)
@settings(max_examples=200)
def test_globs_made_of_a_text_need_what_it_has(data: Any, text: str) -> None:
    try:
        read = read_glob(patterns.glob(data.draw, text))
    except BadGlob:
        return
    assert not searcher(read.expression)(text) or holds(read.needs, text)


def distance(word: str, other: str) -> int:
    rows = [[i + j if not i or not j else 0 for j in range(len(other) + 1)] for i in range(len(word) + 1)]
    for i in range(1, len(word) + 1):
        for j in range(1, len(other) + 1):
            differ = word[i - 1] != other[j - 1]
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + differ)
            if i > 1 and j > 1 and word[i - 2 : i] == other[j - 2 : j][::-1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


@given(words, words, st.integers(1, 2))
@settings(max_examples=500)
def test_words_are_near_as_a_plain_implementation_says(word: str, other: str, most: int) -> None:
    assert is_near(word, other, most) == (distance(word, other) <= most)


@pytest.mark.parametrize(
    ("word", "other", "edits"), [("ca", "abc", 3), ("ab", "ba", 1), ("a", "", 1), ("timeout", "tmieuot", 2)]
)
def test_an_edit_is_one_of_four(word: str, other: str, edits: int) -> None:
    assert distance(word, other) == edits
    assert [is_near(word, other, most) for most in (1, 2)] == [edits <= most for most in (1, 2)]


def nearly_in_a_row(wanted: Sequence[str], found: Sequence[str], slop: int, *, prefix: bool) -> bool:
    def fits(i: int, place: int) -> bool:
        return found[place] == wanted[i] or (
            prefix and i == len(wanted) - 1 and found[place].startswith(wanted[i])
        )

    for places in permutations(range(len(found)), len(wanted)):
        shifts = [place - i for i, place in enumerate(places)]
        if max(shifts) - min(shifts) <= slop and all(fits(i, place) for i, place in enumerate(places)):
            return True
    return False


some_words = st.sampled_from(["a", "ab", "abc", "b", "c"])


@given(
    st.lists(some_words, min_size=1, max_size=4),
    st.lists(some_words, max_size=6),
    st.integers(0, 6),
    st.booleans(),
)
@settings(max_examples=500)
def test_words_are_scattered_as_a_plain_implementation_says(
    wanted: list[str], found: list[str], slop: int, prefix: bool
) -> None:
    assert is_scattered(wanted, found, slop, prefix=prefix) == nearly_in_a_row(
        wanted, found, slop, prefix=prefix
    )


@pytest.mark.parametrize(
    ("wanted", "found", "slop"),
    [("a b", "a b", 0), ("a b", "a x b", 1), ("a b", "b a", 2), ("a b c", "a x b y c", 2)],
)
def test_slop_is_what_others_call_so(wanted: str, found: str, slop: int) -> None:
    assert is_scattered(wanted.split(), found.split(), slop)
    assert not slop or not is_scattered(wanted.split(), found.split(), slop - 1)


def test_many_places_of_few_words_are_no_trouble() -> None:
    assert not is_scattered(["a"] * 500 + ["b"], ["a"] * 20_000, 100)
    assert not is_scattered(["a"] * 50 + ["b"], (["a"] * 40 + ["b"] * 40) * 250, 1)


BLOW_UPS = st.recursive(
    st.sampled_from(["a", ".", "[^a]", "\\pL", "\\w", "(?i:\\pL)", "é", "", "\\b", "^", "$"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{1000}", "{0,1000}", "{500,}", "*?", "{30}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
        st.lists(inner, min_size=1, max_size=3).map("|".join),
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, st.sampled_from([2, 50, 400, 3000])).map(lambda p: "(" * p[1] + p[0] + ")" * p[1]),
        st.tuples(inner, st.sampled_from([3, 30, 300])).map(lambda p: p[0] * p[1]),
    ),
    max_leaves=6,
).filter(lambda expression: len(expression) < DEFAULT.text_characters_max // 2)

ADVERSE = ["a" * 3000, "é" * 1000 + "!", "a!" * 1000]


@given(BLOW_UPS, st.sampled_from(["", "(?s)^", "(x+x+)+y|"]))
@settings(max_examples=120)
def test_an_expression_that_would_blow_up_is_refused_or_answered(expression: str, before: str) -> None:
    text = '{:where [:regex :m "' + (before + expression).replace("\\", "\\\\") + '"]}'
    query = None
    with suppress(QueryError):
        query = parse(text)
    if query is None:
        with pytest.raises(QueryError) as caught:
            parse(text)
        codes = {mistake.code for mistake in caught.value.mistakes}
        assert codes <= {"regex-too-large", "bad-pattern", "text-too-long"}
        return
    assert parse(to_edn(query)) == query
    needs = required(before + expression)
    holds_for = matches(query.where, str.split, 0)
    for adverse in ADVERSE:
        if holds_for(Record(0, "main", 0, {"m": adverse})):
            assert holds(needs, adverse)


@given(st.text(max_size=30))
@settings(max_examples=500)
def test_no_text_upsets_the_reading_of_patterns(text: str) -> None:
    required(text)
    found: list[BadPattern | BadGlob] = []
    try:
        check(text, DEFAULT)
        searcher(text)("abc")
    except BadPattern as error:
        found.append(error)
    try:
        read_glob(text)
    except BadGlob as error:
        found.append(error)
    assert all(error.hint for error in found)
    assert all(
        error.code in {"bad-pattern", "regex-too-large"} for error in found if isinstance(error, BadPattern)
    )
