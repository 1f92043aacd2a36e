"""Index queries for single conditions on a field: where all that is peculiar about the engine is known.

Every method returns a pair (upper, lower): each record that satisfies the condition matches `upper`, and each that
matches `lower` satisfies it. When the index can answer alone both are the same object; otherwise the caller checks the
records between the two. The traps behind the detours are written down in `docs/adr/0002-index-traps.md` and held by
`tests/storage/test_engine.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

import tantivy
from tantivy import FieldType, Occur, Query

from storage import index as ix

Value = str | int | float | bool
Pair = tuple[Query, Query]

NUMBER_EXACT_MAX = 2**53  # beyond it, a column that holds floats too has rounded its integers
LISTED_VALUES_MAX = 60_000  # distinct values of a column worth listing; the engine stops at 65 000 groups
_I64 = range(-(2**63), 2**63)
_U64 = range(2**64)
# The engine keeps a float that is whole as an integer, and those just past the ends of its integers as the last one.
_CLIPPED = (2**63 - 1, 2**63, 2**64 - 1, float(2**64))
# What else has these letters in lower case: the Kelvin sign, and the capital I with a dot, an `i` and the dot.
_LOWERED_TO = {"k": "\u212a", "i": "\u0130"}
_LAST_CHARACTER = "\U0010ffff"
_PLAIN_IN_PATH = re.compile(r"[^\w./]")


class FieldQueries:
    """Makes queries over one searcher's index.

    Args:
        index: The open index.
        searcher: The searcher that the queries will run on; asked for the values of columns.
    """

    def __init__(self, index: tantivy.Index, searcher: tantivy.Searcher) -> None:
        self._index = index
        self._searcher = searcher
        self._schema = index.schema
        self._present: dict[str, bool] = {}
        self._all = Query.all_query()
        self._none = Query.empty_query()

    # -- the protocol of the query compiler

    def analyse(self, text: str) -> list[str]:
        """The words of a text, as the index makes them."""
        return ix.analyse(text)

    def all(self) -> Pair:
        """Every record."""
        return self._all, self._all

    def none(self) -> Pair:
        """No record."""
        return self._none, self._none

    def equal(self, path: str, value: Value) -> Pair:
        """The field has this value."""
        return self.any_of(path, [value])

    def any_of(self, path: str, values: Sequence[Value]) -> Pair:
        """The field has one of these values."""
        if path == ix.TIMESTAMP:
            return self._unknown()
        if path == "_number":
            return self._numbers_of_records(values)
        if path == "_stream":
            return self._exact(
                any_of([Query.term_query(self._schema, ix.STREAM, v) for v in values if type(v) is str])
            )
        pair = self._attribute_in(path, values)
        texts = [value for value in values if type(value) is str]
        if path != ix.MESSAGE or not texts:
            return pair
        upper, lower = pair
        exact = [self._whole_message(text) for text in texts]
        return any_of([upper, *exact]), lower

    def numbers(
        self, path: str, low: float | None, high: float | None, include_low: bool, include_high: bool
    ) -> Pair:
        """The field has a number between two bounds, either of which may be open."""
        if path == "_number":
            return self._number_range(low, high, include_low, include_high)
        if path in (ix.TIMESTAMP, "_stream"):
            return self.none()
        if not ix.path_is_indexed(path):
            return self._unknown()
        for bound in (low, high):
            if bound is not None and not abs(bound) < NUMBER_EXACT_MAX:
                return self._column(path), self._none
        text = _range_text(low, high, include_low, include_high)
        if text is None:
            return self._column(path), self._none
        query = self._parsed(f"{_escaped(path)}:{text}")
        if high is not None and high < 0:
            # A column without negative numbers takes a negative fraction for an open end, but no whole number.
            query = all_of([query, self._parsed(f"{_escaped(path)}:<0")])
        return self._exact(query)

    def strings(
        self, path: str, low: str | None, high: str | None, include_low: bool, include_high: bool
    ) -> Pair:
        """The field has a string between two bounds, either of which may be open."""
        above: Callable[[str], bool] = _always if low is None else (low.__le__ if include_low else low.__lt__)
        below: Callable[[str], bool] = (
            _always if high is None else (high.__ge__ if include_high else high.__gt__)
        )
        return self._by_value(path, ".*", lambda value: above(value) and below(value))

    def no_numbers(self, path: str) -> Query:
        """Records that have a string, a truth value, or anything unknown at this path."""
        if path in (ix.TIMESTAMP, "_number"):
            return self._none
        if path in ("_stream", ix.MESSAGE) or not ix.path_is_indexed(path):
            return self._all
        field = _escaped(path)
        strings = [self._parsed(f"{field}:<{_LAST_CHARACTER}"), self._parsed(f"{field}:>={_LAST_CHARACTER}")]
        truths = [Query.term_query(self._schema, f"{ix.ATTRIBUTES}.{path}", truth) for truth in (True, False)]
        return any_of([*strings, *truths])

    def instants(self, low_us: int | None, high_us: int | None) -> Pair:
        """The record's time lies in [low, high)."""
        return self._exact(self._instants(low_us, high_us))

    def exists(self, path: str) -> Pair:
        """The field has a value, at this path or below it."""
        if path in (ix.TIMESTAMP, "_stream", "_number"):
            return self.all()
        if not ix.path_is_indexed(path):
            return self._unknown()
        column = self._column(path)
        if path != ix.MESSAGE:
            return self._exact(column)
        return self._exact(any_of([but_not(self._all, self._flag(ix.NO_MESSAGE)), column]))

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

    # -- how

    @staticmethod
    def _exact(query: Query) -> Pair:
        return query, query

    def _unknown(self) -> Pair:
        return self._all, self._none

    def _column(self, path: str) -> Query:
        """Records with any value at this path or below it, the text of `message` aside."""
        return Query.exists_query(f"{ix.ATTRIBUTES}.{path}", True)

    def _has_column(self, path: str) -> bool:
        """Whether any record has a value there at all, the text of `message` aside."""
        known = self._present.get(path)
        if known is None:
            known = self._present[path] = self._has_records(self._column(path))
        return known

    def _flag(self, name: str) -> Query:
        """Records that the index has put a flag on."""
        return Query.term_query(self._schema, f"{ix.ATTRIBUTES}.{name}", True)

    def _or_some(self, pair: Pair, doubtful: Sequence[Query]) -> Pair:
        """The pair, and what matches all of `doubtful` as candidates where there are any: they are rare."""
        if not self._has_records(doubtful[0]):
            return pair
        upper, lower = pair
        more = all_of(doubtful)
        return (any_of([upper, more]), lower) if self._has_records(but_not(more, lower)) else pair

    def _has_records(self, query: Query) -> bool:
        return bool(self._searcher.search(query, limit=1, count=False).hits)

    def _parsed(self, text: str) -> Query:
        return self._index.parse_query(text, [ix.MESSAGE])

    def _instants(self, low_us: int | None, high_us: int | None) -> Query:
        if low_us is None and high_us is None:
            return self._all
        if low_us is not None and high_us is not None and low_us >= high_us:
            return self._none
        return Query.range_query(
            self._schema, ix.TIMESTAMP, FieldType.Integer, low_us, high_us, True, high_us is None
        )

    def _attribute_in(self, path: str, values: Sequence[Value]) -> Pair:
        if not ix.path_is_indexed(path):
            return self._unknown()
        field = f"{ix.ATTRIBUTES}.{path}"
        exact: list[Query] = []
        terms: list[str | int | float] = []
        clipped = False
        for value in values:
            if type(value) is not str and value in _CLIPPED:
                clipped = True
            elif type(value) is bool:
                exact.append(Query.term_query(self._schema, field, value))
            elif type(value) is str:
                if len(value.encode(errors="replace")) >= ix.TERM_BYTES_MAX - len(field):
                    return self._column(path), self._none
                terms.append(ix.encode_text(value))
            elif type(value) is int and value not in _I64 and value not in _U64:
                terms.append(float(value))
            else:
                terms.append(value)
        exact += [Query.term_query(self._schema, field, term) for term in terms[:1] if len(terms) == 1]
        if len(terms) > 1:
            exact.append(Query.term_set_query(self._schema, field, terms))
        sure = any_of(exact)
        if not clipped:
            return self._exact(sure)
        return any_of([sure, Query.term_set_query(self._schema, field, list(_CLIPPED))]), sure

    def _number_range(
        self, low: float | None, high: float | None, include_low: bool, include_high: bool
    ) -> Pair:
        at_least = 0 if low is None else (math.ceil(low) if include_low else math.floor(low) + 1)
        at_most = 2**63 if high is None else (math.floor(high) if include_high else math.ceil(high) - 1)
        at_least, at_most = max(at_least, 0), min(at_most, 2**63)
        if at_least > at_most:
            return self.none()
        return self._exact(
            Query.range_query(self._schema, ix.NUMBER, FieldType.Unsigned, at_least, at_most, True, True)
        )

    def _numbers_of_records(self, values: Sequence[Value]) -> Pair:
        wanted = [int(v) for v in values if type(v) in (int, float) and v == int(v) and 0 <= v < 2**63]
        return self._exact(
            any_of(
                [
                    Query.range_query(self._schema, ix.NUMBER, FieldType.Unsigned, n, n, True, True)
                    for n in wanted
                ]
            )
        )

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

    def _by_value(self, path: str, pattern: str, fits: Callable[[str], bool]) -> Pair:
        """Records by a condition on a field's strings: list the distinct ones that fit, then look them up.

        Args:
            path: The field.
            pattern: A regular expression over the whole string that every fitting one matches.
            fits: The condition itself.
        """
        if path in (ix.TIMESTAMP, "_number"):
            return self.none()  # neither is a string
        if path in ("_stream", ix.MESSAGE) or not ix.path_is_indexed(path):
            return self._unknown()
        column = self._column(path)
        listed = self._list_values(path, pattern)
        if listed is None:
            return column, self._none
        values = [value for value in listed if fits(value)]
        pair = self._attribute_in(path, values) if values else self.none()
        return self._or_some(pair, [self._flag(ix.LONG_TEXT), column])

    def _list_values(self, path: str, pattern: str) -> list[str] | None:
        """The distinct strings of a column that match a pattern; None when there are too many to list."""
        # A marked string matches with its mark in front.
        include = pattern if pattern.startswith(".*") else f"\ue000?{pattern}"
        terms = {
            "field": f"{ix.ATTRIBUTES}.{path}",
            "size": LISTED_VALUES_MAX,
            "segment_size": LISTED_VALUES_MAX,
            "include": f"(?s){include}",
        }
        try:
            answer = self._searcher.aggregate(self._all, {"values": {"terms": terms}})["values"]
        except ValueError:
            return None
        if answer["sum_other_doc_count"] or len(answer["buckets"]) >= LISTED_VALUES_MAX:
            return None
        return [ix.decode_text(b["key"]) for b in answer["buckets"] if type(b["key"]) is str]


def any_of(queries: Sequence[Query]) -> Query:
    """Records that match at least one of the queries; none for no queries."""
    if not queries:
        return Query.empty_query()
    if len(queries) == 1:
        return queries[0]
    return Query.boolean_query([(Occur.Should, query) for query in queries])


def all_of(queries: Sequence[Query]) -> Query:
    """Records that match every query; all for no queries."""
    if not queries:
        return Query.all_query()
    if len(queries) == 1:
        return queries[0]
    return Query.boolean_query([(Occur.Must, query) for query in queries])


def but_not(query: Query, unwanted: Query) -> Query:
    """Records that match the one and not the other."""
    return Query.boolean_query([(Occur.Must, query), (Occur.MustNot, unwanted)])


def _always(_: str) -> bool:
    return True


def _escaped(path: str) -> str:
    """A field's path as the engine's query parser takes it."""
    return f"{ix.ATTRIBUTES}." + _PLAIN_IN_PATH.sub(lambda found: "\\" + found.group(), path)


def _number_text(value: float) -> str:
    """A number in plain decimals: the parser knows no exponents."""
    return str(value) if type(value) is int else format(Decimal(repr(value)), "f")


def _range_text(low: float | None, high: float | None, include_low: bool, include_high: bool) -> str | None:
    """A range in the parser's syntax; None when it cannot be said.

    Both bounds must be written alike: the engine panics on an integer beside a float. An integral bound beside a
    fraction is therefore moved to the nearest float, which excludes or includes the same numbers.
    """
    low, high = _integral(low), _integral(high)
    if low is None or high is None:
        if low is not None:
            return f"{'>=' if include_low else '>'}{_number_text(low)}"
        if high is not None:
            return f"{'<=' if include_high else '<'}{_number_text(high)}"
        return None
    if low > high or (low == high and not (include_low and include_high)):
        return None
    if type(low) is int and type(high) is not int:
        low, include_low = (
            (math.nextafter(low, -math.inf), False) if include_low else (math.nextafter(low, math.inf), True)
        )
    elif type(high) is int and type(low) is not int:
        high, include_high = (
            (math.nextafter(high, math.inf), False)
            if include_high
            else (math.nextafter(high, -math.inf), True)
        )
    if type(low) is not type(high) or any(type(b) is float and b.is_integer() for b in (low, high)):
        return None
    return f"{'[' if include_low else '{'}{_number_text(low)} TO {_number_text(high)}{']' if include_high else '}'}"


def _integral(bound: float | None) -> float | None:
    return int(bound) if type(bound) is float and bound.is_integer() else bound


def _literal(text: str) -> str:
    r"""A text as a regular expression of the engine's, which knows `\n` and punctuation escapes."""
    return "".join(f"\\{c}" if c in "\\.+*?()|[]{}^$#&-~" else c for c in text)


def _any_case(word: str) -> str:
    """A pattern for all strings whose lower case may contain this word; everything where letters are not plain."""
    if not word.isascii():
        return ""
    return "".join(f"[{c}{c.upper()}{_LOWERED_TO.get(c, '')}]" if c.isalpha() else c for c in word)
