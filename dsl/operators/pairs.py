"""Pairs of index queries put together: exact where every part is."""

from collections.abc import Sequence

from tantivy import Occur, Query

from dsl.operators.base import IndexQueries, Pair


def is_exact(pair: Pair) -> bool:
    """Whether the index alone answers."""
    return pair[0] is pair[1]


def both(upper: Query, lower: Query, *, exact: bool) -> Pair:
    """A pair of two queries; where it is exact, of one."""
    return (upper, upper) if exact else (upper, lower)


def negation(pair: Pair, index: IndexQueries) -> Pair:
    """What fails the pair's predicate: surely all outside its upper, perhaps all outside its lower."""
    return conjunction([], [pair], index)


def conjunction(holds: Sequence[Pair], fails: Sequence[Pair], index: IndexQueries) -> Pair:
    """What satisfies every one of `holds` and none of `fails`; every record when both are empty."""
    if len(holds) == 1 and not fails:
        return holds[0]
    if not holds:
        holds = [index.all()]
        if not fails:
            return holds[0]
    exact = all(map(is_exact, [*holds, *fails]))
    upper = _all_but([pair[0] for pair in holds], [pair[1] for pair in fails])
    lower = upper if exact else _all_but([pair[1] for pair in holds], [pair[0] for pair in fails])
    return upper, lower


def disjunction(pairs: Sequence[Pair], index: IndexQueries) -> Pair:
    """What satisfies one of the pairs' predicates; no record when there are none."""
    if not pairs:
        return index.none()
    if len(pairs) == 1:
        return pairs[0]
    upper = _any([pair[0] for pair in pairs])
    return both(upper, _any([pair[1] for pair in pairs]), exact=all(map(is_exact, pairs)))


def candidates(upper: Query, index: IndexQueries) -> Pair:
    """Records that may satisfy a predicate which the index cannot decide for any."""
    return upper, index.none()[1]


def _all_but(musts: Sequence[Query], nots: Sequence[Query]) -> Query:
    clauses = [*((Occur.Must, query) for query in musts), *((Occur.MustNot, query) for query in nots)]
    return Query.boolean_query(clauses)


def _any(queries: Sequence[Query]) -> Query:
    return Query.boolean_query([(Occur.Should, query) for query in queries])
