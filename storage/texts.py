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

EVERY = "*"  # the path of every string of a record
_IMPLIED_WORDS_MAX = 32  # of one piece; more narrow little
_PART_CHARACTERS_MIN = 2  # a shorter part of a word is in most texts
# What else is, or has in lower case, one of these letters: the Kelvin sign, the capital I with a dot, the long s.
_KIN = {"k": "\u212a", "i": "\u0130", "s": "\u017f"}

Test = Callable[[str], bool]


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
        join = all if every else any

        def test(value: str) -> bool:
            have = set(ix.analyse(value))
            return join(word in have for word in words)

        def message() -> Pair:
            terms = [self._word(word) for word in words]
            return self._exact(all_of(terms) if every else any_of(terms))

        patterns = [_within(any_case(word)) for word in words]
        return self._texts(path, test, patterns if every else [_one_of(patterns)], message)

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
            if not head:
                return self._exact(begins)
            return all_of([self._phrase_pair(head)[0], begins]), self._none

        return self._texts(path, test, [_within(any_case(word)) for word in words], message)

    def scattered(self, path: str, words: Sequence[str], test: Test, *, prefix: bool) -> Pair:
        """A text of the field has these words nearly in a row; in a row is near enough."""

        def message() -> Pair:
            last = self._begins(words[-1]) if prefix else self._word(words[-1])
            sure = self._none if prefix else self._phrase(words)
            return all_of([*map(self._word, words[:-1]), last]), sure

        return self._texts(path, test, [_within(any_case(word)) for word in words], message)

    def near(self, path: str, words: Sequence[str], distance: int, test: Test) -> Pair:
        """A text of the field has, for each word, one within so many edits."""

        def message() -> Pair:
            return self._exact(
                all_of([Query.fuzzy_term_query(self._schema, ix.MESSAGE, word, distance) for word in words])
            )

        return self._texts(path, test, [_nearly(word, distance) for word in words], message)

    def passing(self, path: str, test: Test, needs: Sequence[Sequence[Piece]]) -> Pair:
        """A string of the field passes a test, which needs one piece of each clause to be there."""
        patterns = [_one_of([_around(piece) for piece in clause]) for clause in needs]
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
        sure = ix.MARK not in piece.text
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
        like = [query for query in map(self._terms_like, patterns) if query is not None]
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

    def _begins(self, word: str) -> Query:
        return Query.regex_query(self._schema, ix.MESSAGE, re.escape(word) + EVERYTHING)

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
        for clause in needs:
            implied = [self._implied_words(piece) for piece in clause]
            if all(implied):
                narrowed.append(any_of([all_of(queries) for queries in implied]))
        if not narrowed:
            return self._unknown()
        return any_of([all_of(narrowed), self._flag(ix.LONG_WORD)]), self._none

    def _implied_words(self, piece: Piece) -> list[Query]:
        """What the words of a message must be like when it has this piece.

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
            return self._row(words[1:-1])
        shape_of = any_case if piece.fold else re.escape
        queries: list[Query] = []
        row: list[str] = []
        for i, word in enumerate(words):
            before = open_left and i == 0
            after = open_right and i == len(words) - 1
            if not before and not after and not (piece.fold and "s" in word):
                row.append(word)
                continue
            queries += self._row(row)
            row = []
            if not before or len(words) == 1:
                shape = (EVERYTHING if before else "") + shape_of(word) + (EVERYTHING if after else "")
                queries.append(Query.regex_query(self._schema, ix.MESSAGE, shape))
            # An end of a word beside whole ones would cost a walk over all words and narrow little.
        return [*queries, *self._row(row)]

    def _row(self, words: Sequence[str]) -> list[Query]:
        """Words in a row, as far as there are any; what stands around a word too long for the index has a gap there."""
        return [self._phrase(words)] if words else []


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


def _around(piece: Piece) -> str:
    """A pattern for strings that have this piece."""
    text = any_case(piece.text) if piece.fold else literal(piece.text)
    return ("" if piece.left else EVERYTHING) + text + ("" if piece.right else EVERYTHING)


def _one_of(patterns: Sequence[str]) -> str:
    """A pattern for strings that match one of these; a mark before the string is allowed for."""
    if EVERYTHING in patterns:
        return EVERYTHING
    if len(patterns) == 1:
        return patterns[0]
    return f"(?:{'|'.join(patterns)})"


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
    return _one_of([_within(any_case(part)) for part in parts])
