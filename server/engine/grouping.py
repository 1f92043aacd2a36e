"""A query for groups: by the index where it can, else by reading the records that match."""

from __future__ import annotations

from tantivy import Query as IndexQuery

from dsl.ast import Query
from dsl.compile import compile_predicate
from dsl.groups import Group, Groups, finish_groups, too_many_groups
from dsl.keys.field import FieldKey
from dsl.limits import Limits
from server.answer import Answer
from server.engine.asked import Partial
from server.engine.groups import NativeGroups, NotNative, plain_key
from server.engine.matching import Matching
from storage.errors import QueryTimeout, ResultTooLarge
from storage.index import analyse


def grouped(
    query: Query, matching: Matching | None, now_us: int, limits: Limits, answer: Answer, *, partial: Partial
) -> None:
    """Fill in the rows of a query for groups, and their total."""
    assert query.aggregate is not None
    answer.columns = [*(key.name for key in query.group_by), *(one.name for one in query.aggregate)]
    if partial.reason is not None:
        answer.groups = []  # there was no time to find any
        return
    if matching is None:
        groups = Groups(query, now_us, analyse, limits).groups()
    else:
        try:
            groups = _native(query, matching, now_us, answer)
        except NotNative:
            groups = _read(query, matching, now_us, limits, partial)
        except QueryTimeout as error:
            partial.cut(error)
            answer.groups = []
            return
        except ResultTooLarge as error:
            raise too_many_groups(query, limits) from error
    rows, total = finish_groups(query, groups, now_us, limits)
    answer.groups = rows
    if query.total and partial.reason is None:
        answer.total = total


def _native(query: Query, matching: Matching, now_us: int, answer: Answer) -> list[Group]:
    """The groups by columns alone.

    Raises:
        NotNative: the index can't tell which records match, or has no column for something.
    """
    assert query.aggregate is not None
    if not matching.exact:
        raise NotNative
    conditions: list[IndexQuery | None] = []
    for one in query.aggregate:
        if one.call.where is None:
            conditions.append(None)
            continue
        assert matching.snapshot.queries is not None
        upper, lower = compile_predicate(one.call.where, matching.snapshot.queries, now_us)
        if upper is not lower:
            raise NotNative
        conditions.append(upper)
    native = NativeGroups(matching.snapshot, query.group_by, [one.call for one in query.aggregate], set())
    found = native.ask(matching.upper, conditions)
    answer.approximate = {
        query.aggregate[place].name: query.aggregate[place].call.approximation or ""
        for place in sorted(native.approximate)
    }
    if any(isinstance(key, FieldKey) for key in query.group_by):
        return [Group(tuple(map(plain_key, keys)), tuple(values)) for keys, values in found.items()]
    return [Group(keys, tuple(values)) for keys, values in found.items()]


def _read(query: Query, matching: Matching, now_us: int, limits: Limits, partial: Partial) -> list[Group]:
    """The groups by reading every record that matches; exact, if there is time for all."""
    groups = Groups(query, now_us, analyse, limits)
    for record in partial.upto(matching.records()):
        groups.add(record)
    return groups.groups()
