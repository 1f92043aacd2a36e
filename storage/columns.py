"""The columns of attributes: what exists, which values a field has, and the records that have them.

What the engine calls a column holds one dotted name's values of all records. It is asked for the distinct ones where
the engine cannot search them itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import tantivy
from tantivy import Query

from storage import index as ix
from storage.combining import all_of, any_of, but_not
from storage.weight import BEGINNING_NS, LISTED_NS, NANOSECOND_S, STRINGS_WALK_NS, WALK_NS

Value = str | int | float | bool
Pair = tuple[Query, Query]

STREAM_NAMES_MAX = 60_000  # in one index; there are far fewer streams
LISTED_VALUES_MAX = 60_000  # distinct values of a column worth listing; the engine stops at 65 000 groups
LISTED_FIRST = 2_000  # of them are listed to see whether there are more, and how long they are
LISTED_BYTES_MAX = 64 << 20  # that all of them may take, by the length of the first
PATTERNS_MAX = (
    64  # of one query, held against terms: the engine makes up to 3 MB of each, and takes up to 10 ms
)
TESTED_BETWEEN_CHECKS = 16  # values held against a condition before the time is looked at
EVERYTHING = ".*"  # as a pattern, and at the beginning of one
_I64 = range(-(2**63), 2**63)
_U64 = range(2**64)
# The engine keeps a float that is whole as an integer, and those just past the ends of its integers as the last one.
_CLIPPED = (2**63 - 1, 2**63, 2**64 - 1, float(2**64))
_PLAIN_IN_PATH = re.compile(r"[^\w./]")


class ColumnQueries:
    """Queries over the attributes of one searcher's index.

    Args:
        index: The open index.
        searcher: The searcher that the queries will run on; asked for the values of columns.
        check: Called before every question to it; raises when there is no time left.
        begin: Called before one that may take long, with the seconds that it will take; raises likewise.
        span: About where the times of its records lie, the first and the last; None where that is not known.

    Attributes:
        record_ns: What the queries made so far take for each record that they are asked of, nanoseconds.
    """

    def __init__(
        self,
        index: tantivy.Index,
        searcher: tantivy.Searcher,
        check: Callable[[], None] = lambda: None,
        begin: Callable[[float], None] = lambda _: None,
        span: tuple[int, int] | None = None,
    ) -> None:
        self._check = check
        self._begin = begin
        self.record_ns = 0
        self._span = span
        self._index = index
        self._searcher = searcher
        self._schema = index.schema
        self._present: dict[str, bool] = {}
        self._patterns: dict[tuple[str, str], Query] = {}
        self._all = Query.all_query()
        self._none = Query.empty_query()

    def all(self) -> Pair:
        """Every record."""
        return self._all, self._all

    def none(self) -> Pair:
        """No record."""
        return self._none, self._none

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
        self._check()
        return bool(self._searcher.search(query, limit=1, count=False).hits)

    def _parsed(self, text: str) -> Query:
        return self._index.parse_query(text, [ix.MESSAGE])

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

    def _by_value(self, path: str, pattern: str, fits: Callable[[str], bool]) -> Pair:
        """Records by a condition on a field's strings: list the distinct ones that fit, then look them up.

        Where there are too many to list, the engine walks its terms and looks them up itself.

        Args:
            path: The field.
            pattern: A regular expression over the whole string that every fitting one matches.
            fits: The condition itself.
        """
        if path in (ix.TIMESTAMP, "_number"):
            return self.none()  # neither is a string
        if path == "_stream":
            names = self._searcher.aggregate(
                self._all, {"names": {"terms": {"field": ix.STREAM, "size": STREAM_NAMES_MAX}}}
            )["names"]["buckets"]
            fitting = [Query.term_query(self._schema, ix.STREAM, b["key"]) for b in names if fits(b["key"])]
            return self._exact(any_of(fitting))
        if path == ix.MESSAGE or not ix.path_is_indexed(path):
            return self._unknown()
        column = self._column(path)
        listed = self._list_values(path, pattern)
        if listed is None:
            like = self._terms_like(pattern, path)
            if like is None:
                return column, self._none
            return any_of([like, all_of([self._flag(ix.LONG_TEXT), column])]), self._none
        values: list[str] = []
        for start in range(0, len(listed), TESTED_BETWEEN_CHECKS):
            self._check()
            values += filter(fits, listed[start : start + TESTED_BETWEEN_CHECKS])
        pair = self._attribute_in(path, values) if values else self.none()
        return self._or_some(pair, [self._flag(ix.LONG_TEXT), column])

    def _terms_like(self, pattern: str, path: str | None = None) -> Query | None:
        """Records with a string that matches a pattern, at a path or anywhere but in `message`; None: no telling.

        The engine finds regular expressions in the terms of a JSON field as they are: the path, its levels parted by
        U+0001, then U+0000, the letter of the type, and the string.
        """
        if pattern == EVERYTHING:
            return None
        place = "[^\x00]*" if path is None else literal(path.replace(".", "\x01"))
        mark = "" if pattern.startswith(EVERYTHING) else f"{ix.MARK}?"
        return self._like(ix.ATTRIBUTES, f"{place}\x00s(?s:{mark}{pattern})")

    def _like(self, field: str, pattern: str) -> Query | None:
        """Records with a term that matches a pattern as a whole; None where the engine cannot look for one more."""
        made = self._patterns.get((field, pattern))
        if made is None and len(self._patterns) < PATTERNS_MAX:
            self._check()
            try:
                made = self._patterns[field, pattern] = Query.regex_query(self._schema, field, pattern)
            except ValueError:
                return None  # it is too large
            if field == ix.ATTRIBUTES:
                self.record_ns += STRINGS_WALK_NS
            else:
                self.record_ns += WALK_NS if pattern.startswith(EVERYTHING) else BEGINNING_NS
        return made

    def _list_values(self, path: str, pattern: str) -> list[str] | None:
        """The distinct strings of a column that match a pattern; None when they are too many or too long to list."""
        # A marked string matches with its mark in front.
        include = pattern if pattern.startswith(EVERYTHING) else f"{ix.MARK}?{pattern}"
        for size in sorted({min(LISTED_FIRST, LISTED_VALUES_MAX), LISTED_VALUES_MAX}):
            terms = {
                "field": f"{ix.ATTRIBUTES}.{path}",
                "size": size,
                "segment_size": size,
                "include": f"(?s){include}",
            }
            self._begin(self._searcher.num_docs * LISTED_NS * NANOSECOND_S)
            try:
                answer = self._searcher.aggregate(self._all, {"values": {"terms": terms}})["values"]
            except ValueError:
                return None
            values = [ix.decode_text(b["key"]) for b in answer["buckets"] if type(b["key"]) is str]
            if not answer["sum_other_doc_count"] and len(answer["buckets"]) < size:
                return values
            if sum(map(len, values)) * LISTED_VALUES_MAX > LISTED_BYTES_MAX * len(values):
                return None
        return None


def literal(text: str) -> str:
    r"""A text as a regular expression of the engine's, which knows `\n` and punctuation escapes."""
    return "".join(f"\\{c}" if c in "\\.+*?()|[]{}^$#&-~" else c for c in text)


def escaped(path: str) -> str:
    """A field's path as the engine's query parser takes it."""
    return f"{ix.ATTRIBUTES}." + _PLAIN_IN_PATH.sub(lambda found: "\\" + found.group(), path)
