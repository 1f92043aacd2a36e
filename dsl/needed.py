"""What the stored line of a record must have for a predicate to hold: a look that spares parsing those that lack it.

A line is a record's JSON. Where no backslash is in it, no string in it is escaped, and each stands there in UTF-8 as it
is: so a text that a predicate requires of one of the record's strings is in the line, or the predicate does not hold.
"""

from collections.abc import Callable
from typing import Final

from dsl.nodes import Predicate
from dsl.operators import BY_NODE
from dsl.patterns.pieces import Clause, Needs, least

_CHARACTERS_MIN: Final = 2  # a single character is in most lines


def needs_of(predicate: Predicate) -> Needs:
    """Of each clause, one piece is in one of the strings of a record that the predicate holds for."""
    needs = BY_NODE[type(predicate)].needs
    return () if needs is None else needs(predicate, needs_of)


def may_hold(predicate: Predicate | None) -> Callable[[bytes], bool] | None:
    """Whether a predicate may hold for the record of a line; None where it may for every one, as far as is known."""
    clauses = (
        [] if predicate is None else [clause for clause in needs_of(predicate) if _can_be_sought(clause)]
    )
    if not clauses:
        return None
    best = max(clauses, key=least)
    needles = [piece.text.encode() for piece in best]
    if len(needles) == 1:
        needle = needles[0]
        return lambda line: needle in line or b"\\" in line
    return lambda line: any(needle in line for needle in needles) or b"\\" in line


def _can_be_sought(clause: Clause) -> bool:
    return all(
        len(piece.text) >= _CHARACTERS_MIN
        and not piece.fold
        and not any("\ud800" <= c <= "\udfff" for c in piece.text)
        for piece in clause
    )
