r"""The pieces that a regular expression requires: for `^GET /a(b|c) .* 5\d$`, `GET /ab ` or `GET /ac `, and ` 5`.

It reads RE2's syntax, and gives up on whatever it is not sure of: what it says must be so, but it need not say all. An
expression is taken apart into pieces that follow one another. As long as each can only be one of a few texts, they are
joined; where one can be anything, what was joined so far is required, and joining begins anew.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from dsl.patterns.pieces import ALTERNATIVES_MAX, Clause, Needs, Piece, clauses, join

_DEPTH_MAX = 40  # groups within one another; what is deeper is not looked into
_LISTED_MAX = 4  # characters of a class that are tried one by one
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_EMPTY_ESCAPES = frozenset("bB")  # they match between characters
_ANY_ESCAPES = frozenset("dDsSwWC")  # one of many characters
_SURROGATES = re.compile(r"[\ud800-\udfff]")  # no text has them
_REPEAT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")
_GROUP = re.compile(r"\(\?(?:P?<\w+>|([imsU]*)(?:-([imsU]+))?([:)]))")
_HEX = re.compile(r"\\x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))")
_PROPERTY = re.compile(r"\\[pP](?:\{[^}]*\}|.)", re.DOTALL)


class _UnsureError(Exception):
    """There is something here that is not understood."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an expression: all texts that it matches, where they are few; else what each of them has."""

    exact: Clause | None
    needs: tuple[Clause, ...] = ()

    @property
    def required(self) -> tuple[Clause, ...]:
        """What each of its texts has."""
        return self.needs if self.exact is None else _telling(self.exact)


_ANYTHING: Final = _Part(None)
_NOTHING: Final = _Part((Piece(""),))


def required(pattern: str) -> Needs:
    """What every text has in which the expression is found; nothing where that is not known.

    Args:
        pattern: an expression that RE2 takes, to be searched for.
    """
    try:
        part = _Reader(pattern).read()
    except _UnsureError:
        return ()
    return clauses(part.required)


@dataclass(frozen=True, slots=True)
class _Flags:
    fold: bool = False
    lines: bool = False


class _Reader:
    """Reads one expression, from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0
        self._flags = _Flags()

    def read(self) -> _Part:
        """The whole expression."""
        part = self._alternatives()
        if self._at < len(self._pattern):
            raise _UnsureError
        return part

    def _starts(self, text: str) -> bool:
        return self._pattern.startswith(text, self._at)

    def _alternatives(self) -> _Part:
        branches = [self._sequence()]
        while self._starts("|"):
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else _either(branches)

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return _sequence(parts)

    def _repeated(self, part: _Part) -> _Part:
        while self._at < len(self._pattern):
            sign = self._pattern[self._at]
            if sign in "*+?":
                self._at += 1
                least, most = (0 if sign in "*?" else 1), (1 if sign == "?" else None)
            else:
                counted = _REPEAT.match(self._pattern, self._at) if sign == "{" else None
                if counted is None:
                    return part
                self._at = counted.end()
                least = int(counted[1])
                most = least if counted[2] is None else int(counted[3]) if counted[3] else None
            if self._starts("?"):
                self._at += 1
            part = _repeat(part, least, most)
        return part

    def _atom(self) -> _Part:
        character = self._pattern[self._at]
        if character == "(":
            return self._group()
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escape()
        self._at += 1
        if character == ".":
            return _ANYTHING
        if character == "^":
            return _NOTHING if self._flags.lines else _Part((Piece("", left=True),))
        if character == "$":
            return _NOTHING if self._flags.lines else _Part((Piece("", right=True),))
        return self._one(character)

    def _one(self, character: str) -> _Part:
        """A character that stands for itself, or, where case makes no difference, for its kin."""
        if _SURROGATES.match(character):
            return _ANYTHING
        if not self._flags.fold:
            return _Part((Piece(character),))
        if not character.isascii():
            return _ANYTHING
        return _Part((Piece(character, fold=character.isalpha()),))

    def _group(self) -> _Part:
        outer = self._flags
        opening = _GROUP.match(self._pattern, self._at)
        if opening is not None:
            self._at = opening.end()
            self._flags = _flags(outer, opening[1] or "", opening[2] or "")
            if opening[3] == ")":
                return _NOTHING  # the flags are for the rest of the group around it
        elif self._starts("(?"):
            raise _UnsureError
        else:
            self._at += 1
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise _UnsureError
        part = self._alternatives()
        if not self._starts(")"):
            raise _UnsureError
        self._at += 1
        self._depth -= 1
        self._flags = outer
        return part

    def _class(self) -> _Part:
        """One of some characters: a few that are written out one by one, else anything."""
        text = self._pattern
        negated = text.startswith("[^", self._at)
        begin = self._at = self._at + (2 if negated else 1)
        plain = not negated
        characters: list[str] = []
        while True:
            if self._at >= len(text):
                raise _UnsureError
            if text[self._at] == "]" and self._at > begin:
                self._at += 1
                break
            named = text.find(":]", self._at + 2) if text.startswith("[:", self._at) else -1
            if named >= 0:
                self._at, plain = named + 2, False
            elif text[self._at] == "\\":
                self._at, plain = self._at + 2, False
            else:
                plain = plain and text[self._at] != "-"
                characters.append(text[self._at])
                self._at += 1
        if not plain or len(characters) > _LISTED_MAX:
            return _ANYTHING
        return _either([self._one(character) for character in characters])

    def _escape(self) -> _Part:
        text, start = self._pattern, self._at
        if text.startswith("\\Q", start):
            end = text.find("\\E", start + 2)
            end = len(text) if end < 0 else end
            self._at = min(end + 2, len(text))
            if self._at < len(text) and text[self._at] in "*+?{":
                raise _UnsureError  # it repeats the last character only
            return _sequence([self._one(character) for character in text[start + 2 : end]])
        coded = _HEX.match(text, start)
        if coded is not None:
            self._at = coded.end()
            return self._one(chr(int(coded[1] or coded[2], 16)))
        kind = _PROPERTY.match(text, start)
        if kind is not None:
            self._at = kind.end()
            return _ANYTHING
        self._at += 2
        sign = text[start + 1 : start + 2]
        if sign == "A":
            return _Part((Piece("", left=True),))
        if sign == "z":
            return _Part((Piece("", right=True),))
        if sign in _EMPTY_ESCAPES and sign:
            return _NOTHING
        if sign in _ANY_ESCAPES and sign:
            return _ANYTHING
        if sign in _ESCAPED:
            return self._one(_ESCAPED[sign])
        if not sign or sign.isalnum() or not sign.isascii():
            raise _UnsureError
        return self._one(sign)


def _flags(flags: _Flags, on: str, off: str) -> _Flags:
    for signs, value in ((on, True), (off, False)):
        if "i" in signs:
            flags = replace(flags, fold=value)
        if "m" in signs:
            flags = replace(flags, lines=value)
    return flags


def _sequence(parts: Sequence[_Part]) -> _Part:
    """One part after another."""
    needs: list[Clause] = []
    run: Clause = (Piece(""),)
    broken = False
    for part in parts:
        joined = None if part.exact is None else join(run, part.exact)
        if joined is not None:
            run = joined
            continue
        broken = True
        needs += [*_telling(run), *part.needs]
        run = (Piece(""),) if part.exact is None else part.exact
    return _Part(None, (*needs, *_telling(run))) if broken else _Part(run)


def _either(parts: Sequence[_Part]) -> _Part:
    """One part or another."""
    if all(part.exact is not None for part in parts):
        every = tuple({piece: None for part in parts for piece in part.exact or ()})
        if len(every) <= ALTERNATIVES_MAX:
            return _Part(every)
    chosen: dict[Piece, None] = {}
    for part in parts:
        best = clauses(part.required)
        if not best:
            return _ANYTHING
        clause = max(best, key=lambda clause: min(len(piece.text) for piece in clause))
        chosen.update(dict.fromkeys(clause))
    return _Part(None, (tuple(chosen),)) if len(chosen) <= ALTERNATIVES_MAX else _ANYTHING


def _repeat(part: _Part, least: int, most: int | None) -> _Part:
    if least == 0:
        may = None if part.exact is None or most != 1 else (*part.exact, Piece(""))
        return _Part(may) if may is not None and len(may) <= ALTERNATIVES_MAX else _ANYTHING
    if least == 1 and most == 1:
        return part
    return _Part(None, part.required)


def _telling(clause: Clause) -> tuple[Clause, ...]:
    """The clause alone, or nothing where one of its pieces is in every text."""
    return (clause,) if all(piece.text for piece in clause) else ()
