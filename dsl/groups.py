"""Groups of records: made record by record, filled where time has gaps, ordered, cut, and shown as rows."""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

from dsl.aggregates.base import Accumulator, Growing, weight
from dsl.ast import Query
from dsl.errors import Mistake, QueryError
from dsl.keys.bucket import TimeBucket
from dsl.limits import DEFAULT, Limits
from dsl.operators import BY_NODE
from dsl.operators.base import Evaluator
from dsl.order import rank
from dsl.record import NUMBERS, Matcher, Record, leaves
from dsl.time import format_instant

GROUP_BYTES = 500  # of one group, about: its place, its key and its row


class Group(NamedTuple):
    """One group.

    Attributes:
        keys: its value for each group key; None for nil, microseconds for a time.
        values: each aggregate's, in the order of the query; None for nil, microseconds for a time.
    """

    keys: tuple[Any, ...]
    values: tuple[Any, ...]


class Groups:
    """The groups of a query, as records come that match it."""

    def __init__(
        self, query: Query, now_us: int, analyse: Callable[[str], list[str]], limits: Limits = DEFAULT
    ) -> None:
        assert query.aggregate is not None
        self._query = query
        self._limits = limits
        self._keys = [key.values() for key in query.group_by]
        evaluator = Evaluator(analyse, now_us, BY_NODE)
        self._calls = [one.call for one in query.aggregate]
        self._sources = [_no_values if call.source is None else leaves(call.source) for call in self._calls]
        self._wheres: list[Matcher | None] = [
            None if call.where is None else evaluator.matcher(call.where) for call in self._calls
        ]
        self._groups: dict[tuple[Any, ...], tuple[tuple[Any, ...], list[Accumulator]]] = {}
        self._growing = [
            place for place, call in enumerate(self._calls) if isinstance(call.accumulator(), Growing)
        ]
        self._keys_bytes = 0  # held by the keys of the groups
        self._added_bytes = 0  # at most, since the last look at what is held
        self._room_bytes = limits.held_bytes_max  # that may be added before the next look
        if not query.group_by:
            self._group(())  # one group of all, also of no records

    def add(self, record: Record) -> None:
        """Take in a record that matches: into the group of each of its values, or combinations of values.

        Raises:
            QueryError: there are too many groups (`too-many-groups`), or they hold too much (`answer-too-large`).
        """
        taken = [
            None if where is not None and not where(record) else source(record)
            for source, where in zip(self._sources, self._wheres, strict=True)
        ]
        for keys in product(*(values(record) for values in self._keys)):
            for accumulator, values in zip(self._group(keys), taken, strict=True):
                if values is not None:
                    accumulator.add(values)
            for place in self._growing:
                self._added_bytes += weight(taken[place] or ())
        if self._added_bytes > self._room_bytes:
            self._weigh()

    def groups(self) -> list[Group]:
        """The groups so far, in no order."""
        return [
            Group(keys, tuple(accumulator.result() for accumulator in accumulators))
            for keys, accumulators in self._groups.values()
        ]

    def _weigh(self) -> None:
        """See what is held: less than what was added, where values repeat."""
        held = self._keys_bytes
        for _, accumulators in self._groups.values():
            for place in self._growing:
                accumulator = accumulators[place]
                assert isinstance(accumulator, Growing)
                held += accumulator.held_bytes()
        most = self._limits.held_bytes_max
        if held > most:
            raise too_large(self._query, most)
        # Looking costs as much as there is: not for every few bytes.
        self._room_bytes, self._added_bytes = max(most - held, most // 8), 0

    def _group(self, keys: tuple[Any, ...]) -> list[Accumulator]:
        place = tuple((type(key) is bool, key) for key in keys)  # True equals 1 in Python
        found = self._groups.get(place)
        if found is None:
            found = (keys, [call.accumulator() for call in self._calls])
            self._groups[place] = found
            size = weight(keys) + GROUP_BYTES
            self._keys_bytes += size
            self._added_bytes += size
            if len(self._groups) > self._limits.groups_max:
                raise too_many_groups(self._query, self._limits)
        return found[1]


def finish_groups(
    query: Query, groups: Iterable[Group], now_us: int, limits: Limits = DEFAULT
) -> tuple[list[dict[str, Any]], int]:
    """The rows of a query from its groups, and how many groups there were before `:limit`.

    Raises:
        QueryError: there are too many groups (`too-many-groups`).
    """
    ordered = order_groups(query, fill_buckets(query, groups, now_us, limits))
    if len(ordered) > limits.groups_max:
        raise too_many_groups(query, limits)
    return group_rows(query, ordered[: query.limit]), len(ordered)


def fill_buckets(query: Query, groups: Iterable[Group], now_us: int, limits: Limits = DEFAULT) -> list[Group]:
    """The groups, and where one bucket of time is the only key, those without records.

    From the beginning of the query's time range, or the first bucket found where it has none; likewise its
    end.

    Raises:
        QueryError: that would be too many (`too-many-groups`).
    """
    found = list(groups)
    if len(query.group_by) != 1 or not isinstance(query.group_by[0], TimeBucket):
        return found
    bucket = query.group_by[0]
    low_us, high_us = (None, None) if query.time is None else query.time.resolve(now_us)
    starts = {group.keys[0]: group for group in found}
    first = min(starts, default=None) if low_us is None else bucket.start(low_us)
    last = max(starts, default=None) if high_us is None else bucket.start(high_us - 1)
    if first is None or last is None:
        return found
    if (last - first) // bucket.width_us + 1 > limits.groups_max:
        raise too_many_groups(query, limits)
    empty = empty_values(query)
    return [
        starts.get(start) or Group((start,), empty)
        for start in range(first, last + bucket.width_us, bucket.width_us)
    ]


def empty_values(query: Query) -> tuple[Any, ...]:
    """Each aggregate of no records."""
    return tuple(one.call.accumulator().result() for one in query.aggregate or ())


def order_groups(query: Query, groups: Iterable[Group]) -> list[Group]:
    """The groups in the query's order; by their keys, rising, where it has none or says they are equal."""
    names = [key.name for key in query.group_by]
    places = {
        name: index for index, name in enumerate([*names, *(one.name for one in query.aggregate or ())])
    }
    steps = [(places[step.name], step.direction == "desc") for step in query.order_by]
    steps += [(place, False) for place in range(len(names))]
    ordered = list(groups)
    # Sorting is stable: by the last step first, the first step last.
    for place, descending in reversed(steps):
        falls = descending
        values = [
            group.keys[place] if place < len(names) else group.values[place - len(names)] for group in ordered
        ]
        types = set(map(type, values))
        if types == {str} or types <= NUMBERS:
            by = values.__getitem__
        else:
            # Nil, or values of several types. They repeat, so each is ranked once.
            kinds = {(type(value) is bool, value): rank(value, False) for value in values}
            if falls:
                kinds = {key: rank(key[1], True) for key in kinds}
            ranks = [kinds[type(value) is bool, value] for value in values]
            by, falls = ranks.__getitem__, False
        ordered = [ordered[i] for i in sorted(range(len(ordered)), key=by, reverse=falls)]
    return ordered


def group_rows(query: Query, groups: Iterable[Group]) -> list[dict[str, Any]]:
    """Groups as rows: keys and aggregates by their names."""
    names = [*(key.name for key in query.group_by), *(one.name for one in query.aggregate or ())]
    gives_time = [
        *(key.gives_time for key in query.group_by),
        *(one.call.gives_time for one in query.aggregate or ()),
    ]
    times = [place for place, is_time in enumerate(gives_time) if is_time]
    rows = [dict(zip(names, (*group.keys, *group.values), strict=True)) for group in groups]
    texts: dict[int, str] = {}
    for place in times:
        name = names[place]
        for row in rows:
            us = row[name]
            if us is not None:
                text = texts.get(us)
                if text is None:
                    text = texts[us] = format_instant(us)
                row[name] = text
    return rows


def too_many_groups(query: Query, limits: Limits = DEFAULT) -> QueryError:
    """The mistake of asking for more groups than are counted."""
    buckets = [key for key in query.group_by if isinstance(key, TimeBucket)]
    place = (buckets or query.group_by or (query,))[0]
    hint = (
        "take a larger bucket, or a shorter :time" if buckets else "group by less, or narrow it with :where"
    )
    message = f"more than {limits.groups_max} groups"
    return QueryError([Mistake("too-many-groups", message, *place.span, hint)])


def too_large(query: Query, bytes_max: int) -> QueryError:
    """The mistake of asking for groups that hold more than one query may."""
    place = (query.group_by or query.aggregate or (query,))[0]
    message = f"the groups and their different values hold more than {bytes_max} bytes"
    hint = "group by less, take out :count-distinct and :percentile, or narrow it with :where and :time"
    return QueryError([Mistake("answer-too-large", message, *place.span, hint)])


def _no_values(_: Record) -> Sequence[Any]:
    return ()
