"""From measured groups to the rows of an answer: gaps filled, the rest worked out, filtered, ordered, cut, shown.

Everything is done a column at a time, as a group costs little there and there may be tens of thousands.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dsl import arithmetic
from dsl.arithmetic import US_PER_S, Arithmetic
from dsl.ast import Query
from dsl.fill import filled
from dsl.groups import Measured, too_many_groups
from dsl.having import column_of, fields_of, kept
from dsl.keys.bucket import TimeBucket
from dsl.limits import DEFAULT, Limits
from dsl.rank import sortable
from dsl.time import format_instants

Texts: TypeAlias = Mapping[int | None, str | None]
"""What rows show for a time, in microseconds; nothing for none."""


@dataclass(slots=True)
class Table:
    """The rows of an answer of groups, as columns.

    Attributes:
        names: of the columns.
        columns: the values of each, as rows show them where `texts` has nothing else.
        times: the names of the columns that are times, as RFC 3339.
        total: how many groups there were before the limit.
        notes: what is to be said of the rows: `{"code", "message", "hint"}` each.
        texts: of columns that repeat few values what rows show for each of them, by the names of the columns.
    """

    names: list[str]
    columns: list[list[Any]]
    times: frozenset[str]
    total: int
    notes: list[dict[str, str]] = field(default_factory=list)
    texts: Mapping[str, Texts] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """How many rows there are."""
        return len(self.columns[0]) if self.columns else 0

    def rows(self) -> list[dict[str, Any]]:
        """The rows as plain data."""
        shown = [
            column if texts is None else list(map(texts.__getitem__, column))
            for column, texts in zip(self.columns, map(self.texts.get, self.names), strict=True)
        ]
        return [dict(zip(self.names, row, strict=True)) for row in zip(*shown, strict=True)]


def finish(
    query: Query,
    measured: Measured,
    now_us: int,
    analyse: Callable[[str], list[str]],
    limits: Limits = DEFAULT,
) -> Table:
    """The rows of a query from its groups.

    Args:
        query: What is asked.
        measured: The groups.
        now_us: The one `now` of the query.
        analyse: The words of a text as the index has them; for `:having`.
        limits: What it may cost.

    Raises:
        QueryError: there are too many groups (`too-many-groups`).
    """
    measured, notes = filled(query, measured, now_us, limits)
    if measured.count > limits.groups_max:
        raise too_many_groups(query, limits)
    columns = dict(zip((key.name for key in query.group_by), measured.keys, strict=True))
    columns |= _worked_out(query, measured, now_us)
    places: Sequence[int] = range(measured.count)
    if query.having is not None:
        needed = _shown_for(query, columns, measured)
        holds = kept(query.having, needed, _with_parts(query), analyse, now_us)
        places = [place for place, holding in enumerate(holds) if holding]
    total = len(places)
    chosen = _ordered(query, columns, places, measured.order)[: query.limit]
    names = list(query.columns)
    if chosen != range(measured.count):
        columns = {name: list(map(columns[name].__getitem__, chosen)) for name in names}
    times = times_of(query)
    texts = {name: _texts_of(columns[name]) for name in names if name in times}
    shown = [_named(query, name, columns[name], measured) for name in names]
    return Table(names, shown, times, total, notes, texts)


def empty(query: Query) -> Table:
    """No rows, of which nothing is known."""
    return Table(list(query.columns), [[] for _ in query.columns], times_of(query), 0)


def empty_row(query: Query) -> dict[str, Any]:
    """The aggregates of a group without records, by their names."""
    columns: dict[str, list[Any]] = {
        name: [0.0 if call.per_second else call.empty()] for name, call in query.measured
    }
    _formulas(query, columns, 1)
    return {one.name: columns[one.name][0] for one in query.aggregate or ()}


def times_of(query: Query) -> frozenset[str]:
    """The names of the columns that are times."""
    times = {key.name for key in query.group_by if key.gives_time}
    return frozenset(times | {name for name, call in query.measured if call.gives_time})


def _worked_out(query: Query, measured: Measured, now_us: int) -> dict[str, list[Any]]:
    """The columns of the aggregates: as measured, by the second, and by arithmetic."""
    columns: dict[str, list[Any]] = {}
    seconds: list[float] | None = None
    for (name, call), values in zip(query.measured, measured.values, strict=True):
        columns[name] = values
        if call.per_second:
            seconds = seconds or _seconds(query, measured, now_us)
            columns[name] = [value / s if s > 0 else None for value, s in zip(values, seconds, strict=True)]
    return _formulas(query, columns, measured.count)


def _formulas(query: Query, columns: dict[str, list[Any]], count: int) -> dict[str, list[Any]]:
    """The columns, and those worked out from them."""
    formulas = {one.name: one.call for one in query.aggregate or () if isinstance(one.call, Arithmetic)}
    times = times_of(query)
    for name in arithmetic.in_order(formulas):
        columns[name] = arithmetic.evaluate(formulas[name], columns, times, count)
    return columns


def _seconds(query: Query, measured: Measured, now_us: int) -> list[float]:
    """How long each group is: its buckets of time, as far as they lie in the query's range."""
    low_us, high_us = (None, None) if query.time is None else query.time.resolve(now_us)
    lows, highs = [low_us] * measured.count, [high_us] * measured.count
    for key, starts in zip(query.group_by, measured.keys, strict=True):
        if isinstance(key, TimeBucket):
            lows = [
                start if low is None else max(low, start) for low, start in zip(lows, starts, strict=True)
            ]
            ends = [start + key.width_us for start in starts]
            highs = [end if high is None else min(high, end) for high, end in zip(highs, ends, strict=True)]
    return [
        (high - low) / US_PER_S
        for low, high in zip(lows, highs, strict=True)
        if low is not None and high is not None
    ]


def _shown_for(query: Query, columns: dict[str, list[Any]], measured: Measured) -> dict[str, list[Any]]:
    """The columns that `:having` asks about as rows show them, the others as they are."""
    assert query.having is not None
    asked = {column_of(field, columns, _with_parts(query)) for field, _ in fields_of(query.having)}
    every = None in asked  # the field that stands for all of them
    return {
        name: _shown(query, name, column, measured) if every or name in asked else column
        for name, column in columns.items()
    }


def _with_parts(query: Query) -> frozenset[str]:
    maps = {key.name for key in query.group_by if key.gives_maps}
    return frozenset(maps | {name for name, call in query.measured if call.gives_maps})


def _shown(query: Query, name: str, column: list[Any], measured: Measured) -> list[Any]:
    """A column as rows have it."""
    if name in times_of(query):
        return list(map(_texts_of(column).__getitem__, column))
    return _named(query, name, column, measured)


def _named(query: Query, name: str, column: list[Any], measured: Measured) -> list[Any]:
    """A column as rows have it, but for times."""
    for place, key in enumerate(query.group_by):
        if key.name == name:
            show = key.show(measured.frequent.get(place, ()))
            if show is not None:
                return [show(value) for value in column]
    return column


def _texts_of(instants: list[int | None]) -> Texts:
    """What rows show for the times of a column: each is written once."""
    different = [us for us in dict.fromkeys(instants) if us is not None]
    return {None: None, **dict(zip(different, format_instants(different), strict=True))}


def _ordered(
    query: Query, columns: dict[str, list[Any]], places: Sequence[int], order: Sequence[int] | None
) -> Sequence[int]:
    """The places of groups in the query's order; by their keys, rising, where it has none or says they are equal."""
    steps = [(step.name, step.direction == "desc") for step in query.order_by]
    named = {name for name, _ in steps}
    steps += [(key.name, False) for key in query.group_by if key.name not in named]
    if order is not None:
        steps = _needed(steps, [query.group_by[place].name for place in order])
    ordered = places
    # Sorting is stable: by the last step first, the first step last.
    for name, descending in reversed(steps):
        by, falls = sortable(columns[name], descending)
        ordered = sorted(ordered, key=by.__getitem__, reverse=falls)
    return ordered


def _needed(steps: list[tuple[str, bool]], order: Sequence[str]) -> list[tuple[str, bool]]:
    """The first steps, if those behind them say what is so already: groups come rising by these names."""
    for count in range(len(steps)):
        done = {name for name, _ in steps[:count]}
        if steps[count:] == [(name, False) for name in order if name not in done]:
            return steps[:count]
    return steps
