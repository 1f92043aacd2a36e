"""A query for groups: by the index where it can, else by reading the records that match."""

from __future__ import annotations

from collections.abc import Mapping

from tantivy import Query as IndexQuery

from dsl.arithmetic import Arithmetic, in_order, names
from dsl.ast import Query
from dsl.compile import compile_predicate
from dsl.groups import Measured, measure, too_many_groups
from dsl.limits import Limits
from dsl.table import empty, finish
from server.answer import Answer
from server.engine.asked import Partial
from server.engine.columns import NotNative
from server.engine.groups import NativeGroups
from server.engine.matching import Matching
from storage.errors import QueryTimeout, ResultTooLarge
from storage.index import analyse

MADE_EXACT = "{:exact true} gives the exact value"


def grouped(
    query: Query, matching: Matching | None, now_us: int, limits: Limits, answer: Answer, *, partial: Partial
) -> None:
    """Fill in the rows of a query for groups, and their total."""
    measured = _measured(query, matching, now_us, limits, answer, partial=partial)
    if measured is None:
        answer.groups = empty(query)
    else:
        answer.groups = finish(query, measured, now_us, analyse, limits)
        answer.warnings += answer.groups.notes
    answer.columns = answer.groups.names
    answer.times = sorted(answer.groups.times)
    if query.total and partial.reason is None:
        answer.total = answer.groups.total


def _measured(
    query: Query, matching: Matching | None, now_us: int, limits: Limits, answer: Answer, *, partial: Partial
) -> Measured | None:
    """The groups; None where there was no time to find any."""
    if partial.reason is not None:
        return None
    if matching is None:
        return measure(query, list, now_us, analyse, limits)
    try:
        return _native(query, matching, now_us, limits, answer)
    except NotNative:
        answer.approximate = {}
        return measure(query, lambda: partial.upto(matching.records()), now_us, analyse, limits)
    except QueryTimeout as error:
        partial.cut(error)
        return None
    except ResultTooLarge as error:
        raise too_many_groups(query, limits) from error


def _native(query: Query, matching: Matching, now_us: int, limits: Limits, answer: Answer) -> Measured:
    """The groups by columns alone.

    Raises:
        NotNative: the index can't tell which records match, or has no column for something.
    """
    if not matching.exact:
        raise NotNative
    conditions: list[IndexQuery | None] = []
    for _, call in query.measured:
        if call.where is None:
            conditions.append(None)
            continue
        assert matching.snapshot.queries is not None
        upper, lower = compile_predicate(call.where, matching.snapshot.queries, now_us)
        if upper is not lower:
            raise NotNative
        conditions.append(upper)
    native = NativeGroups(matching.snapshot, query, limits)
    measured = native.ask(matching.upper, conditions)
    answer.approximate = {
        name: f"{call.approximation}; {MADE_EXACT}"
        for place, (name, call) in enumerate(query.measured)
        if place in native.approximate
    }
    answer.approximate |= _worked_out_from(query, answer.approximate)
    return measured


def _worked_out_from(query: Query, approximate: Mapping[str, str]) -> dict[str, str]:
    """What is said of those values that arithmetic gets from approximate ones."""
    formulas = {one.name: one.call for one in query.aggregate or () if isinstance(one.call, Arithmetic)}
    said: dict[str, str] = {}
    for name in in_order(formulas):
        inexact = {
            part.name for part in names(formulas[name]) if part.name in approximate or part.name in said
        }
        if inexact:
            said[name] = f"worked out from {' and '.join(sorted(inexact))}; {MADE_EXACT}"
    return said
