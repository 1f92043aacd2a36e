"""Index queries for single conditions on a field: where all that is peculiar about the engine is known.

Every method returns a pair (upper, lower): each record that satisfies the condition matches `upper`, and each that
matches `lower` satisfies it. When the index can answer alone both are the same object; otherwise the caller checks the
records between the two. The traps behind the detours are written down in `docs/adr/0002-index-traps.md` and held by
`tests/storage/test_engine.py`. Here are values, numbers and times; texts are in `storage/texts.py`, and what both need
of columns in `storage/columns.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal

from tantivy import FieldType, Query

from storage import index as ix
from storage.column_names import Kind
from storage.columns import Pair, Value, escaped
from storage.combining import all_of, any_of, but_not
from storage.texts import TextQueries
from storage.time_slots import between
from storage.weight import RANGE_NS

__all__ = ["FieldQueries", "all_of", "any_of", "but_not"]

NUMBER_EXACT_MAX = 2**53  # beyond it, a column that holds floats too has rounded its integers
_LAST_CHARACTER = "\U0010ffff"


class FieldQueries(TextQueries):
    """Makes queries over one searcher's index."""

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
        query = self._parsed(f"{escaped(path)}:{text}")
        self.record_ns += RANGE_NS
        if high is not None and high < 0:
            # A column without negative numbers takes a negative fraction for an open end, but no whole number.
            query = all_of([query, self._parsed(f"{escaped(path)}:<0")])
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
        field = escaped(path)
        strings = [self._parsed(f"{field}:<{_LAST_CHARACTER}"), self._parsed(f"{field}:>={_LAST_CHARACTER}")]
        truths = [Query.term_query(self._schema, f"{ix.ATTRIBUTES}.{path}", truth) for truth in (True, False)]
        return any_of([*strings, *truths])

    def holding(self, path: str, kind: Kind | None = None) -> Query:
        """Records with a value at this very path, of a kind; not below it, the text of `message` aside."""
        field = f"{ix.ATTRIBUTES}.{path}"
        if kind is None:
            return Query.exists_query(field, False)
        if kind == "boolean":
            return any_of([Query.term_query(self._schema, field, truth) for truth in (True, False)])
        name, middle = escaped(path), "0" if kind == "number" else _LAST_CHARACTER
        return any_of([self._parsed(f"{name}:<{middle}"), self._parsed(f"{name}:>={middle}")])

    def with_message(self) -> Query:
        """Records whose `message` is a text."""
        return but_not(self._all, self._flag(ix.NO_MESSAGE))

    def instants(self, low_us: int | None, high_us: int | None) -> Pair:
        """The record's time lies in [low, high)."""
        if low_us is None and high_us is None:
            return self.all()
        return self._exact(between(self._schema, low_us, high_us, self._span))

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


def _always(_: str) -> bool:
    return True


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
