"""The first and the last value of a field: the index says in which record it is, and that record is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tantivy import Query

from dsl.aggregates.base import Aggregate
from dsl.aggregates.ends import End, shown_values
from dsl.record import leaves
from server.engine.columns import NotNative, column, is_always_there
from server.engine.matching import record_of
from storage import index as ix
from storage.queries import all_of
from storage.snapshot import Address, Snapshot

RECORDS_MAX = 10_000  # read one by one; for more groups reading all in a row is no slower


def conditions_of_ends(
    snapshot: Snapshot, base: Query, calls: Sequence[Aggregate], conditions: Sequence[Query | None]
) -> list[Query | None]:
    """The conditions, with that of having a value for each first or last value.

    Raises:
        NotNative: the index cannot say which record comes first, or which has a value.
    """
    made = list(conditions)
    for i, call in enumerate(calls):
        if not isinstance(call, End):
            continue
        if len(snapshot.catalogs) != 1:
            raise NotNative  # equal times are told apart by the stream, by which hits are not ordered
        has = _has_value(snapshot, base, call.field)
        if has is not None:
            condition = made[i]
            made[i] = has if condition is None else all_of([condition, has])
    return made


def _has_value(snapshot: Snapshot, base: Query, path: str) -> Query | None:
    """Which records have a scalar at a path; None is all."""
    if path == ix.MESSAGE:
        assert snapshot.queries is not None
        if snapshot.count(all_of([base, Query.exists_query(f"{ix.ATTRIBUTES}.{ix.MESSAGE}", False)])):
            raise NotNative  # messages that are no texts are where other fields are
        return snapshot.queries.with_message()
    name = column(path)
    return None if is_always_there(name) else Query.exists_query(name, False)


def values_of_ends(snapshot: Snapshot, call: End, numbers: Sequence[int | None]) -> list[Any]:
    """The values in the records with these numbers, as rows show them.

    Raises:
        NotNative: they are too many.
    """
    (stream,) = snapshot.catalogs
    wanted = sorted({number for number in numbers if number is not None})
    if len(wanted) > RECORDS_MAX:
        raise NotNative
    find = leaves(call.field)
    found = {
        stored.number: shown_values(find(record_of(stored)))
        for stored in snapshot.fetch(Address(0, number, stream) for number in wanted)
    }
    return [None if number is None else found.get(number) for number in numbers]
