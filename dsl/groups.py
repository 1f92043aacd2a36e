"""Groups of records, made record by record: a value for each key, and an accumulator for each aggregate."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

from dsl.aggregates.base import Accumulator
from dsl.aggregates.held import Held
from dsl.aggregates.tally import Tally
from dsl.ast import Query
from dsl.errors import Mistake, QueryError
from dsl.keys.bucket import TimeBucket
from dsl.limits import DEFAULT, Limits
from dsl.operators import BY_NODE
from dsl.operators.base import Evaluator
from dsl.record import Matcher, Record, leaves

Frequent: TypeAlias = Mapping[int, Sequence[Any]]
"""The most frequent values for the keys that need them, by the places of the keys."""

GROUP_BYTES = 500  # of one group, about: its place, its key and its row


@dataclass(slots=True)
class Measured:
    """Groups as columns: a value for each group in every one.

    Attributes:
        count: how many groups.
        keys: the values of each key; None for nil, microseconds for a time.
        values: those of each aggregate of records (`Query.measured`); None for nil, microseconds for a time.
        frequent: what the values of some keys stand for.
        order: the places of all keys, where the groups come in the order of their values: rising by the first of
            these keys, where that is equal by the second, and so on; None where they come in no order.
    """

    count: int
    keys: list[list[Any]]
    values: list[list[Any]]
    frequent: Frequent = field(default_factory=dict)
    order: Sequence[int] | None = None


class Frequencies:
    """The most frequent values that some keys of a query group by; found before there are groups."""

    def __init__(self, query: Query, limits: Limits = DEFAULT) -> None:
        held = Held(limits)
        self._tallies = [
            (place, key.ranked, leaves(key.field), Tally(key, held))
            for place, key in enumerate(query.group_by)
            if key.ranked
        ]

    @property
    def needed(self) -> bool:
        """Whether any key needs them."""
        return bool(self._tallies)

    def add(self, record: Record) -> None:
        """Take in a record that matches.

        Raises:
            QueryError: there are too many values (`answer-too-large`).
        """
        for _, _, find, tally in self._tallies:
            tally.add(find(record))

    def found(self) -> Frequent:
        """The most frequent values so far."""
        return {
            place: [value for value, _ in tally.most_frequent(most)]
            for place, most, _, tally in self._tallies
        }


class Groups:
    """The groups of a query, as records come that match it."""

    def __init__(
        self,
        query: Query,
        now_us: int,
        analyse: Callable[[str], list[str]],
        limits: Limits = DEFAULT,
        frequent: Frequent | None = None,
    ) -> None:
        assert query.aggregate is not None
        self._query = query
        self._limits = limits
        self._frequent = frequent or {}
        self._keys = [key.values(self._frequent.get(i, ())) for i, key in enumerate(query.group_by)]
        self._held = Held(limits)
        evaluator = Evaluator(analyse, now_us, BY_NODE)
        self._calls = [call for _, call in query.measured]
        self._sources = [_no_values if call.source is None else leaves(call.source) for call in self._calls]
        self._wheres: list[Matcher | None] = [
            None if call.where is None else evaluator.matcher(call.where) for call in self._calls
        ]
        self._groups: dict[tuple[Any, ...], tuple[tuple[Any, ...], list[Accumulator]]] = {}
        if not query.group_by:
            self._group(())  # one group of all, also of no records

    def add(self, record: Record) -> None:
        """Take in a record that matches: into the group of each of its values, or combinations of values.

        Raises:
            QueryError: there are too many groups, or they hold too much (`too-many-groups`, `answer-too-large`).
        """
        taken = [
            None if where is not None and not where(record) else source(record)
            for source, where in zip(self._sources, self._wheres, strict=True)
        ]
        for keys in product(*(values(record) for values in self._keys)):
            for accumulator, values in zip(self._group(keys), taken, strict=True):
                if values is not None:
                    accumulator.add(values, record)

    def measured(self) -> Measured:
        """The groups so far.

        Raises:
            QueryError: a group has too many values to show (`too-many-values`).
        """
        groups = self._groups.values()
        return Measured(
            count=len(groups),
            keys=[[keys[place] for keys, _ in groups] for place in range(len(self._keys))],
            values=[
                [accumulators[place].result() for _, accumulators in groups]
                for place in range(len(self._calls))
            ],
            frequent=self._frequent,
        )

    def _group(self, keys: tuple[Any, ...]) -> list[Accumulator]:
        place = tuple((type(key) is bool, key) for key in keys)  # True equals 1 in Python
        found = self._groups.get(place)
        if found is None:
            found = (keys, [call.accumulator(self._held) for call in self._calls])
            self._groups[place] = found
            self._held.values(keys, (self._query.group_by or (self._query,))[0], GROUP_BYTES)
            if len(self._groups) > self._limits.groups_max:
                raise too_many_groups(self._query, self._limits)
        return found[1]


def measure(
    query: Query,
    records: Callable[[], Iterable[Record]],
    now_us: int,
    analyse: Callable[[str], list[str]],
    limits: Limits = DEFAULT,
) -> Measured:
    """The groups of all records that match a query, by looking at each.

    Args:
        query: What is asked.
        records: Gives those that match; asked twice where the most frequent values must be found first.
        now_us: The one `now` of the query.
        analyse: The words of a text as the index has them.
        limits: What it may cost.

    Raises:
        QueryError: there are too many groups, or they hold too much
            (`too-many-groups`, `answer-too-large`, `too-many-values`).
    """
    frequencies = Frequencies(query, limits)
    if frequencies.needed:
        for record in records():
            frequencies.add(record)
    groups = Groups(query, now_us, analyse, limits, frequencies.found())
    for record in records():
        groups.add(record)
    return groups.measured()


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
