r"""Globs: `*` is any run of characters, `?` is one, `[a-z]` one of some, `[!a-z]` one of the others, `\*` the sign.

They are held against a whole text, case kept; `*` and `?` take every character, a `/` and a line's end too. A glob is
turned into a regular expression, and into the pieces between its wildcards.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dsl.patterns.pieces import Needs, Piece, clauses

_NEGATIONS = "!^"


class BadGlob(ValueError):
    """No glob.

    Attributes:
        hint: a way out.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Glob:
    """A glob that was read.

    Attributes:
        expression: the same as a regular expression, to be searched for.
        needs: the pieces that a text must have.
    """

    expression: str
    needs: Needs


def read_glob(text: str) -> Glob:
    """A glob from its text.

    Raises:
        BadGlob: it is none.
    """
    expression: list[str] = []
    pieces: list[Piece] = []
    run: list[str] = []
    left = True
    for sign, literal in _tokens(text):
        if literal:
            run.append(sign)
            expression.append(_quoted(sign))
            continue
        pieces.append(Piece("".join(run), left=left))
        run, left = [], False
        if sign != ".*" or expression[-1:] != [".*"]:
            expression.append(sign)
    pieces.append(Piece("".join(run), left=left, right=True))
    needs = clauses((piece,) for piece in pieces if piece.text)
    return Glob(rf"(?s)\A{''.join(expression)}\z", needs)


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Characters that stand for themselves, and the expressions of wildcards."""
    at = 0
    while at < len(text):
        sign = text[at]
        if sign == "*":
            yield ".*", False
        elif sign == "?":
            yield ".", False
        elif sign == "[":
            end = _class_end(text, at)
            yield _class(text[at + 1 : end]), False
            at = end
        elif sign == "\\":
            at += 1
            if at == len(text):
                raise BadGlob("a glob ends in a backslash", "write two for the sign itself: four in EDN")
            yield text[at], True
        else:
            yield sign, True
        at += 1


def _class_end(text: str, start: int) -> int:
    at = start + 1
    if text[at : at + 1] and text[at] in _NEGATIONS:
        at += 1
    first = at
    while at < len(text) and (text[at] != "]" or at == first):
        at += 2 if text[at] == "\\" else 1
    if at >= len(text):
        raise BadGlob("a [ without its ]", r"for the sign itself write \[, in EDN \\[")
    return at


def _class(inner: str) -> str:
    """What stands between the brackets, as a class of a regular expression."""
    negated = inner[0] in _NEGATIONS
    characters = re.findall(r"\\?(?s:.)", inner[1:] if negated else inner)
    parts: list[str] = []
    at = 0
    while at < len(characters):
        low = characters[at][-1]
        if characters[at + 1 : at + 2] == ["-"] and at + 2 < len(characters):
            high = characters[at + 2][-1]
            if low > high:
                raise BadGlob(f"a range from {low} down to {high}", "write the lower end first")
            parts.append(f"{_quoted(low)}-{_quoted(high)}")
            at += 3
        else:
            parts.append(_quoted(low))
            at += 1
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _quoted(character: str) -> str:
    """A character as an expression has it, within a class or not."""
    if character.isalnum() or not character.isascii():
        return character
    return f"\\x{ord(character):02x}"
