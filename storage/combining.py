"""Index queries put together: any of them, all of them, one without another."""

from __future__ import annotations

from collections.abc import Sequence

from tantivy import Occur, Query


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
