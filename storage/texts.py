"""Conditions on texts: words and phrases of messages, pieces of strings.

A message is indexed by its words; every other string is one term. So the words of messages are looked up, and those of
other fields are sought in the distinct values of the column. Where the field is `*` both are done: messages by their
words, all other strings by a walk over their terms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tantivy import Query

from storage import index as ix
from storage.columns import EVERYTHING, ColumnQueries, Pair, literal
from storage.combining import all_of, any_of
from storage.weight import NEAR_NS

EVERY = "*"  # the path of every string of a record
_WALKS_MAX = 2  # over all terms for one condition: each takes long, and more narrow little
_FEW_SHARE = 50  # one record of so many: reading those takes less time than walking over the words of all
_ALTERNATIVES_MAX = 16  # in one pattern; the engine gives up on large ones
_PATTERN_CHARACTERS_MAX = 64  # of a text within a pattern, for the same reason; shared by alternatives
_PART_CHARACTERS_MAX = 8  # of a part of a word
_IMPLIED_WORDS_MAX = 32  # of one piece; more narrow little
_PART_CHARACTERS_MIN = 2  # a shorter part of a word is in most texts
# What else is, or has in lower case, one of these letters: the Kelvin sign, the capital I with a dot, the long s.
_KIN = {"k": "\u212a", "i": "\u0130", "s": "\u017f"}

Test = Callable[[str], bool]
_Implied = tuple[list[Sequence[str]], list[str]]
"""What a piece implies of a message's words: some in a row, each whole, and patterns of single ones."""


class Piece(Protocol):
    """A text within another: perhaps at its left or right end, perhaps in any case (then it is ASCII)."""

    @property
    def text(self) -> str:
        """What is there."""
        ...

    @property
    def left(self) -> bool:
        """It is at the beginning."""
        ...

    @property
    def right(self) -> bool:
        """It is at the end."""
        ...

    @property
    def fold(self) -> bool:
        """It may be in any case."""
        ...


class TextQueries(ColumnQueries):
    """Queries for texts. A `test` is the condition itself, on one string."""

    def analyse(self, text: str) -> list[str]:
        """The words of a text, as the index makes them."""
        return ix.analyse(text)

    def words(self, path: str, words: Sequence[str], *, every: bool) -> Pair:
        """A text of the field has all, or any, of these words."""
        wanted = frozenset(words)

        def test(value: str) -> bool:
            have = ix.analyse(value)
            return wanted.issubset(have) if every else not wanted.isdisjoint(have)

        def message() -> Pair:
            terms = [self._word(word) for word in words]
            return self._exact(all_of(terms) if every else any_of(terms))

        patterns = _patterns(words) if every else [_one_of(_patterns(words, len(words)))]
        return self._texts(path, test, patterns, message)

    def phrase(self, path: str, words: Sequence[str], *, prefix: bool) -> Pair:
        """A text of the field has these words in a row; with `prefix` the last is the beginning of a word."""
        count = len(words)
        head, tail = list(words[:-1]), words[-1]

        def test(value: str) -> bool:
            have = ix.analyse(value)
            return any(
                have[i : i + count - 1] == head
                and (have[i + count - 1] == tail or (prefix and have[i + count - 1].startswith(tail)))
                for i in range(len(have) - count + 1)
            )

        def message() -> Pair:
            if not prefix:
                return self._phrase_pair(words)
            begins = self._begins(tail)
            if head:
                return all_of([self._phrase_pair(head)[0], *begins]), self._none
            return self._exact(begins[0]) if begins else self._unknown()

        return self._texts(path, test, _patterns(words), message)

    def scattered(self, path: str, words: Sequence[str], test: Test, *, prefix: bool) -> Pair:
        """A text of the field has these words nearly in a row; in a row is near enough."""

        def message() -> Pair:
            last = self._begins(words[-1]) if prefix else [self._word(words[-1])]
            sure = self._none if prefix else self._phrase(words)
            return all_of([*map(self._word, words[:-1]), *last]), sure

        return self._texts(path, test, _patterns(words), message)

    def near(self, path: str, words: Sequence[str], distance: int, test: Test) -> Pair:
        """A text of the field has, for each word, one within so many edits."""

        def message() -> Pair:
            self.record_ns += NEAR_NS * len(words)
            return self._exact(
                all_of([Query.fuzzy_term_query(self._schema, ix.MESSAGE, word, distance) for word in words])
            )

        return self._texts(path, test, [_nearly(word, distance) for word in words], message)

    def passing(self, path: str, test: Test, needs: Sequence[Sequence[Piece]]) -> Pair:
        """A string of the field passes a test, which needs one piece of each clause to be there."""
        patterns = [_one_of([_around(piece, len(clause)) for piece in clause]) for clause in needs]
        return self._texts(path, test, patterns, lambda: self._pieces(needs))

    def substring(self, path: str, text: str) -> Pair:
        """A string of the field contains this text, case kept."""
        return self._piece(path, _Text(text), lambda value: text in value)

    def starts_with(self, path: str, text: str) -> Pair:
        """A string of the field begins with this text, case kept."""
        return self._piece(path, _Text(text, left=True), lambda value: value.startswith(text))

    def ends_with(self, path: str, text: str) -> Pair:
        """A string of the field ends with this text, case kept."""
        return self._piece(path, _Text(text, right=True), lambda value: value.endswith(text))

    # -- how

    def _piece(self, path: str, piece: _Text, test: Test) -> Pair:
        # The engine's marks stand before some strings: only what has none is where the walk over terms finds it.
        sure = ix.MARK not in piece.text and len(piece.text) <= _PATTERN_CHARACTERS_MAX
        return self._texts(path, test, [_around(piece)], lambda: self._pieces([[piece]]), sure=sure)

    def _texts(
        self,
        path: str,
        test: Test,
        patterns: Sequence[str],
        message: Callable[[], Pair],
        *,
        sure: bool = False,
    ) -> Pair:
        """Records by a condition on a field's strings, each kind of field in its own way.

        Args:
            path: The field.
            test: The condition.
            patterns: Regular expressions that each string that passes matches, all of them, as a whole.
            message: The condition put to the words of messages.
            sure: Every string that matches the patterns passes, when there is one.
        """
        if path not in {ix.MESSAGE, EVERY}:
            return self._by_value(path, max(patterns, key=len, default=EVERYTHING), test)
        upper, lower = message()
        if path == ix.MESSAGE:
            return self._message(upper, lower)
        longest = sorted(patterns, key=len, reverse=True)[:_WALKS_MAX]
        like = [query for query in map(self._terms_like, longest) if query is not None]
        others = all_of(like) if like else Query.exists_query(ix.ATTRIBUTES, True)
        certain = any_of([lower, others]) if sure and len(like) == 1 else lower
        return any_of([upper, others, self._flag(ix.LONG_TEXT)]), certain

    def _message(self, upper: Query, lower: Query) -> Pair:
        """A condition on the message's words, where records may have other things than a text as `message`."""
        if self._has_column(ix.MESSAGE):
            return any_of([upper, self._column(ix.MESSAGE)]), lower
        return upper, lower

    def _word(self, word: str) -> Query:
        return Query.term_query(self._schema, ix.MESSAGE, word)

    def _begins(self, word: str) -> list[Query]:
        """Messages with a word that begins so, where the engine can look for it."""
        return self._like_all([re.escape(word) + EVERYTHING])

    def _phrase_pair(self, words: Sequence[str]) -> Pair:
        """Words in a row; where a word too long for the index stood between two, the engine sees a gap."""
        pair = self._exact(self._phrase(words))
        if len(words) == 1:
            return pair
        return self._or_some(pair, [self._flag(ix.LONG_WORD), *map(self._word, words)])

    def _phrase(self, words: Sequence[str]) -> Query:
        if len(words) == 1:
            return self._word(words[0])
        return Query.phrase_query(self._schema, ix.MESSAGE, list(words))

    def _whole_message(self, text: str) -> Query:
        """Records whose message may be exactly this text."""
        words = ix.analyse(text)
        return self._phrase_pair(words)[0] if words else self._all

    def _pieces(self, needs: Sequence[Sequence[Piece]]) -> Pair:
        """Messages with one piece of each clause: the words that they imply narrow the candidates."""
        narrowed: list[Query] = []
        walked: list[Sequence[_Implied]] = []
        whole: list[str] = []
        # Those of long pieces first: they narrow most, and only so many walks over all words are worth while.
        for clause in sorted(needs, key=lambda clause: -min(len(piece.text) for piece in clause)):
            implied = [self._implied_words(piece, _room(len(clause))) for piece in clause]
            if not all(rows or shapes for rows, shapes in implied):
                continue
            if any(shape.startswith(EVERYTHING) for _, shapes in implied for shape in shapes):
                walked.append(implied)
                continue
            if len(implied) == 1:
                whole += [word for row in implied[0][0] for word in row]
            query = self._one_implied(implied)
            if query is not None:
                narrowed.append(query)
        if not (narrowed and walked and (self._is_rare(whole) or self._are_few(all_of(narrowed)))):
            queries = [self._one_implied(implied) for implied in walked[:_WALKS_MAX]]
            narrowed += [query for query in queries if query is not None]
        if not narrowed:
            return self._unknown()
        return any_of([all_of(narrowed), self._flag(ix.LONG_WORD)]), self._none

    def _is_rare(self, words: Sequence[str]) -> bool:
        """Whether so few messages have one of these words, which the dictionary knows without a search."""
        most = self._searcher.num_docs // _FEW_SHARE
        return any(self._searcher.doc_freq(ix.MESSAGE, word) <= most for word in words)

    def _are_few(self, query: Query) -> bool:
        """Whether so few records match that reading them costs less than a walk over all words to have fewer."""
        found = self._searcher.search(query, limit=1, count=True).count  # type: ignore[attr-defined]
        return int(found or 0) * _FEW_SHARE <= self._searcher.num_docs

    def _one_implied(self, implied: Sequence[_Implied]) -> Query | None:
        """Messages with the words that one of some pieces implies; None where the engine cannot look for them."""
        if len(implied) > 1 and all(not rows and len(shapes) == 1 for rows, shapes in implied):
            return self._like(ix.MESSAGE, _one_of([shapes[0] for _, shapes in implied]))  # one walk for all
        pieces = [[*map(self._phrase, rows), *self._like_all(shapes)] for rows, shapes in implied]
        return any_of([all_of(parts) for parts in pieces]) if all(pieces) else None

    def _like_all(self, shapes: Sequence[str]) -> list[Query]:
        """Messages with words like these, as far as the engine can look for them."""
        return [query for shape in shapes if (query := self._like(ix.MESSAGE, shape)) is not None]

    def _implied_words(self, piece: Piece, room: int) -> _Implied:
        """What the words of a message must be like when it has this piece: words in a row, and patterns of a word.

        A pattern has at most `room` characters of the word.

        Inner words are whole, and in a row; the first may be the end of a longer one and the last the beginning of one.
        """
        text = piece.text
        words = ix.analyse(text)
        right = piece.right
        if len(words) > _IMPLIED_WORDS_MAX:
            words, right = words[:_IMPLIED_WORDS_MAX], False
        open_left = not piece.left and text[:1].isalnum()
        open_right = not right and text[-1:].isalnum()
        if not text.isascii():
            # Letters of other scripts may combine across the edge: trust inner words only.
            return _row(words[1:-1]), []
        shape_of = any_case if piece.fold else re.escape
        rows: list[Sequence[str]] = []
        shapes: list[str] = []
        row: list[str] = []
        for i, word in enumerate(words):
            before = open_left and i == 0
            after = open_right and i == len(words) - 1
            if not before and not after and not (piece.fold and "s" in word):
                row.append(word)
                continue
            rows += _row(row)
            row = []
            if not before or len(words) == 1:
                shown = word[:room]
                cut = after or len(word) > len(shown)
                shapes.append((EVERYTHING if before else "") + shape_of(shown) + (EVERYTHING if cut else ""))
            # An end of a word beside whole ones would cost a walk over all words and narrow little.
        return [*rows, *_row(row)], shapes


def _row(words: Sequence[str]) -> list[Sequence[str]]:
    """Words in a row, as far as there are any; what stands around a word too long for the index has a gap there."""
    return [words] if words else []


@dataclass(frozen=True, slots=True)
class _Text:
    """A piece that is one text, case kept."""

    text: str
    left: bool = False
    right: bool = False
    fold: bool = False


def any_case(word: str) -> str:
    """A pattern for all strings whose lower case may contain this word; everything where letters are not plain."""
    if not word.isascii():
        return EVERYTHING
    return "".join(f"[{c}{c.upper()}{_KIN.get(c, '')}]" if c.isalpha() else literal(c) for c in word.lower())


def _within(pattern: str) -> str:
    """A pattern for strings that have a part like this."""
    return EVERYTHING if pattern == EVERYTHING else f"{EVERYTHING}{pattern}{EVERYTHING}"


def _patterns(words: Sequence[str], alternatives: int = 1) -> list[str]:
    """Patterns for strings that have these words; shorter where several are alternatives."""
    room = _room(alternatives)
    return [_within(any_case(word[:room])) for word in words]


def _around(piece: Piece, alternatives: int = 1) -> str:
    """A pattern for strings that have this piece; shorter where it is one of several alternatives."""
    left, right, text = piece.left, piece.right, piece.text
    room = _room(alternatives)
    if len(text) > room:
        text, left, right = (text[-room:], False, True) if right and not left else (text[:room], left, False)
    shape = any_case(text) if piece.fold else literal(text)
    return ("" if left else EVERYTHING) + shape + ("" if right else EVERYTHING)


def _room(alternatives: int) -> int:
    """Characters for each of some alternatives."""
    return max(_PATTERN_CHARACTERS_MAX // alternatives, _PART_CHARACTERS_MAX)


def _one_of(patterns: Sequence[str]) -> str:
    """A pattern for strings that match one of these; what they begin and end with alike is written once.

    For the engine `.*(?:a|b).*` is small, where `.*a.*|.*b.*` takes a state for every set of those that were found.
    """
    if EVERYTHING in patterns or len(patterns) > _ALTERNATIVES_MAX:
        return EVERYTHING
    groups: dict[tuple[str, str], dict[str, None]] = {}
    for pattern in patterns:
        before = EVERYTHING if pattern.startswith(EVERYTHING) else ""
        after = EVERYTHING if pattern.endswith(EVERYTHING) else ""
        inner = pattern.removeprefix(before).removesuffix(after)
        groups.setdefault((before, after), {})[inner] = None
    written = [
        before + (next(iter(inner)) if len(inner) == 1 else f"(?:{'|'.join(inner)})") + after
        for (before, after), inner in groups.items()
    ]
    return written[0] if len(written) == 1 else f"(?:{'|'.join(written)})"


def _nearly(word: str, distance: int) -> str:
    """A pattern for strings with a word so near.

    An edit changes two neighbouring parts of a word at most: of twice as many parts and one more, one is as it was.
    """
    count = 2 * distance + 1
    size = len(word) // count
    if size < _PART_CHARACTERS_MIN:
        return EVERYTHING
    parts = [word[start : start + size] for start in range(0, size * (count - 1), size)] + [
        word[size * (count - 1) :]
    ]
    return _one_of([_within(any_case(part[:_PART_CHARACTERS_MAX])) for part in parts])
