"""Patterns that texts are sought by in the index: they must let through every text that a condition holds for."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.distance import is_near
from dsl.patterns.pieces import Piece
from storage import texts
from storage.index import analyse

KIN = str.maketrans("\u017f\u212a", "sk")

words = st.text(st.sampled_from("abks\u0130\u212aé"), min_size=1, max_size=14)
pieces = st.builds(
    Piece,
    st.text(st.sampled_from("aAkKsS.*|(\\ "), min_size=1, max_size=90),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


def like(pattern: str, text: str) -> bool:
    """Whether the whole of a text is like a pattern, as the engine has it."""
    return re.fullmatch(pattern, text, re.DOTALL) is not None


@given(words, words, st.integers(1, 2), st.sampled_from(["", "x ", "\n"]))
@settings(max_examples=500)
def test_a_text_with_a_word_like_this_one_is_let_through(
    word: str, other: str, most: int, before: str
) -> None:
    for wanted in analyse(word):
        if any(is_near(wanted, found, most) for found in analyse(other)):
            assert like(texts._nearly(wanted, most), f"{before}{other}.")


@given(
    st.lists(pieces, min_size=1, max_size=20), st.text(st.sampled_from("ab.*|\\ "), max_size=5), st.booleans()
)
@settings(max_examples=500)
def test_a_text_with_one_of_some_pieces_is_let_through(some: list[Piece], other: str, turn: bool) -> None:
    pattern = texts._one_of([texts._around(piece, len(some)) for piece in some])
    for piece in some:
        text = piece.text.swapcase().replace("s", "\u017f") if piece.fold and turn else piece.text
        whole = ("" if piece.left else other) + text + ("" if piece.right else other)
        assert like(pattern, whole)


@given(pieces, st.text(st.sampled_from("aAkKsS.*|(\\ "), max_size=6))
@settings(max_examples=300)
def test_a_short_piece_lets_nothing_else_through(piece: Piece, text: str) -> None:
    wanted = piece.text[:3]
    pattern = texts._around(Piece(wanted, piece.left, piece.right, piece.fold))
    found, sought = (text.lower(), wanted.lower()) if piece.fold else (text, wanted)
    whole = piece.left and piece.right  # one piece is at both ends: it is all there is
    there = found == sought if whole else sought in found
    there = (
        there and (not piece.left or found.startswith(sought)) and (not piece.right or found.endswith(sought))
    )
    assert like(pattern, text) == there


def test_many_alternatives_are_no_pattern() -> None:
    assert texts._one_of([f".*{n}.*" for n in range(17)]) == ".*"
    assert texts._one_of([f".*{n}.*" for n in range(3)]) == ".*(?:0|1|2).*"
    assert texts._one_of(["a.*", ".*b.*"]) == "(?:a.*|.*b.*)"
    assert texts._one_of(["a.*", ".*"]) == ".*"


@pytest.mark.parametrize("word", ["a", "timeout", "é", "k" * 300])
def test_a_word_in_any_case_is_let_through(word: str) -> None:
    (pattern,) = texts._patterns([word])
    assert like(pattern, f"x {word.upper()}!")
    assert like(pattern, word)
