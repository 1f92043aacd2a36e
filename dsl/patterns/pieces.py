"""What a test of a text implies: pieces that every text it holds for has, by which a search is narrowed first."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

ALTERNATIVES_MAX = 16  # pieces of which one is there; each is looked up
CLAUSES_MAX = 8  # of one test: more narrow little, and each is a search
_PIECE_CHARACTERS_MAX = 64  # a longer one is cut: its beginning narrows as well as all of it


@dataclass(frozen=True, slots=True)
class Piece:
    """A text within another.

    Attributes:
        text: where `fold`, ASCII.
        left: it is at the beginning.
        right: it is at the end.
        fold: in any case, in which the long s is an `s` too, and the Kelvin sign a `k`.
    """

    text: str
    left: bool = False
    right: bool = False
    fold: bool = False


Clause: TypeAlias = tuple[Piece, ...]
"""One of these is there."""

Needs: TypeAlias = tuple[Clause, ...]
"""Of each clause one piece is there."""


def join(before: Iterable[Piece], after: Iterable[Piece]) -> Clause | None:
    """Each of the first followed at once by each of the second; None where that cannot be said or is too much."""
    before, after = list(before), list(after)
    if len(before) * len(after) > ALTERNATIVES_MAX:
        return None
    joined: dict[Piece, None] = {}
    for one in before:
        for other in after:
            if (one.text and other.left) or (one.right and other.text):
                continue  # nothing stands before the beginning, nor behind the end
            text = one.text + other.text
            fold = one.fold or other.fold
            if len(text) > _PIECE_CHARACTERS_MAX or (fold and not text.isascii()):
                return None
            joined[Piece(text, one.left or other.left, one.right or other.right, fold)] = None
    return tuple(joined) or None


def clauses(needs: Iterable[Clause]) -> Needs:
    """The most telling ones of some clauses, in their order: those whose least piece is longest."""
    distinct = {
        tuple(_cut(piece) for piece in clause): None for clause in needs if all(p.text for p in clause)
    }
    best = sorted(distinct, key=lambda clause: -min(len(piece.text) for piece in clause))[:CLAUSES_MAX]
    return tuple(clause for clause in distinct if clause in best)


def either(needs: Iterable[Needs]) -> Needs:
    """What is needed where one of some needs, none of them empty, is met: the most telling clause of each, together."""
    chosen: dict[Piece, None] = {}
    for clauses_of_one in needs:
        clause: Clause = max(clauses_of_one, key=least)
        chosen.update(dict.fromkeys(clause))
    return (tuple(chosen),) if len(chosen) <= ALTERNATIVES_MAX else ()


def least(clause: Clause) -> int:
    """The length of the shortest piece of a clause: the greater, the more it tells."""
    return min(len(piece.text) for piece in clause)


def _cut(piece: Piece) -> Piece:
    if len(piece.text) <= _PIECE_CHARACTERS_MAX:
        return piece
    if piece.right and not piece.left:
        return Piece(piece.text[-_PIECE_CHARACTERS_MAX:], right=True, fold=piece.fold)
    return Piece(piece.text[:_PIECE_CHARACTERS_MAX], piece.left, right=False, fold=piece.fold)
