"""Conditions on texts: words and phrases of messages, pieces of strings.

A message is indexed by its words; every other string is one term. So the words of messages are looked up, and those of
other fields are sought in the distinct values of the column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tantivy import Query

from storage import index as ix
from storage.columns import ColumnQueries, Pair
from storage.combining import all_of, any_of

# What else has these letters in lower case: the Kelvin sign, and the capital I with a dot, an `i` and the dot.
_LOWERED_TO = {"k": "\u212a", "i": "\u0130"}


class TextQueries(ColumnQueries):
    """Queries for texts."""

    def analyse(self, text: str) -> list[str]:
        """The words of a text, as the index makes them."""
        return ix.analyse(text)

    def words(self, path: str, words: Sequence[str], *, every: bool) -> Pair:
        """A text of the field has all, or any, of these words."""
        if path == ix.MESSAGE:
            terms = [Query.term_query(self._schema, ix.MESSAGE, word) for word in words]
            return self._message(all_of(terms) if every else any_of(terms))
        join = all if every else any

        def fits(value: str) -> bool:
            have = set(ix.analyse(value))
            return join(word in have for word in words)

        pattern = f".*{_any_case(max(words, key=len))}.*" if every else ".*"
        return self._by_value(path, pattern, fits)

    def phrase(self, path: str, words: Sequence[str], *, prefix: bool) -> Pair:
        """A text of the field has these words in a row; with `prefix` the last is the beginning of a word."""
        if path == ix.MESSAGE:
            if not prefix:
                return self._message(*self._phrase_pair(words))
            begins = Query.regex_query(self._schema, ix.MESSAGE, re.escape(words[-1]) + ".*")
            if len(words) == 1:
                return self._message(begins)
            before, _ = self._phrase_pair(words[:-1])
            upper, _ = self._message(all_of([before, begins]))
            return upper, self._none
        count = len(words)

        def fits(value: str) -> bool:
            have = ix.analyse(value)
            if not prefix:
                return any(have[i : i + count] == list(words) for i in range(len(have) - count + 1))
            head, tail = list(words[:-1]), words[-1]
            return any(
                have[i : i + count - 1] == head and have[i + count - 1].startswith(tail)
                for i in range(len(have) - count + 1)
            )

        return self._by_value(path, f".*{_any_case(max(words, key=len))}.*", fits)

    def substring(self, path: str, text: str) -> Pair:
        """A string of the field contains this text, case kept."""
        return self._pieces(path, text, f".*{_literal(text)}.*", lambda value: text in value)

    def starts_with(self, path: str, text: str) -> Pair:
        """A string of the field begins with this text, case kept."""
        return self._pieces(
            path, text, f"{_literal(text)}.*", lambda value: value.startswith(text), left=True
        )

    def ends_with(self, path: str, text: str) -> Pair:
        """A string of the field ends with this text, case kept."""
        return self._pieces(path, text, f".*{_literal(text)}", lambda value: value.endswith(text), right=True)

    def _message(self, upper: Query, lower: Query | None = None) -> Pair:
        """A condition on the message's words, where records may have other things than a text as `message`."""
        lower = upper if lower is None else lower
        if self._has_column(ix.MESSAGE):
            return any_of([upper, self._column(ix.MESSAGE)]), lower
        return upper, lower

    def _phrase_pair(self, words: Sequence[str]) -> Pair:
        """Words in a row; where a word too long for the index stood between two, the engine sees a gap."""
        pair = self._exact(self._phrase(words))
        if len(words) == 1:
            return pair
        terms = [Query.term_query(self._schema, ix.MESSAGE, word) for word in words]
        return self._or_some(pair, [self._flag(ix.LONG_WORD), *terms])

    def _phrase(self, words: Sequence[str]) -> Query:
        if len(words) == 1:
            return Query.term_query(self._schema, ix.MESSAGE, words[0])
        return Query.phrase_query(self._schema, ix.MESSAGE, list(words))

    def _whole_message(self, text: str) -> Query:
        """Records whose message may be exactly this text."""
        words = ix.analyse(text)
        return self._phrase_pair(words)[0] if words else self._all

    def _pieces(
        self,
        path: str,
        text: str,
        pattern: str,
        fits: Callable[[str], bool],
        *,
        left: bool = False,
        right: bool = False,
    ) -> Pair:
        """Strings around a text; in messages, the words that it implies narrow the candidates."""
        if path != ix.MESSAGE:
            return self._by_value(path, pattern, fits)
        implied = self._implied_words(text, left=left, right=right)
        upper = all_of(implied) if implied else self._all
        if implied:
            upper = any_of([upper, self._flag(ix.LONG_WORD)])
        if self._has_column(ix.MESSAGE):
            upper = any_of([upper, self._column(ix.MESSAGE)])
        return upper, self._none

    def _implied_words(self, text: str, *, left: bool, right: bool) -> list[Query]:
        """What the words of a message must be like when it contains this text.

        Inner words are whole; the first may be the end of a longer one and the last the beginning of one.
        """
        words = ix.analyse(text)
        if not words or len(words) > 32:
            words = words[:32]
            right = right and len(words) < 32
        if not words:
            return []
        open_left = not left and text[:1].isalnum()
        open_right = not right and text[-1:].isalnum()
        if not text.isascii():
            # Letters of other scripts may combine across the edge: trust inner words only.
            return [Query.term_query(self._schema, ix.MESSAGE, word) for word in words[1:-1]]
        queries: list[Query] = []
        for i, word in enumerate(words):
            before = open_left and i == 0
            after = open_right and i == len(words) - 1
            if not before and not after:
                queries.append(Query.term_query(self._schema, ix.MESSAGE, word))
            elif not before or len(words) == 1:
                shape = (".*" if before else "") + re.escape(word) + (".*" if after else "")
                queries.append(Query.regex_query(self._schema, ix.MESSAGE, shape))
            # An end of a word beside whole ones would cost a walk over all words and narrow little.
        return queries


def _literal(text: str) -> str:
    r"""A text as a regular expression of the engine's, which knows `\n` and punctuation escapes."""
    return "".join(f"\\{c}" if c in "\\.+*?()|[]{}^$#&-~" else c for c in text)


def _any_case(word: str) -> str:
    """A pattern for all strings whose lower case may contain this word; everything where letters are not plain."""
    if not word.isascii():
        return ""
    return "".join(f"[{c}{c.upper()}{_LOWERED_TO.get(c, '')}]" if c.isalpha() else c for c in word)
