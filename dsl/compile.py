"""From a predicate to what the index is asked: a pair of queries between which the answer lies."""

from dsl.nodes import Predicate
from dsl.operators import BY_NODE
from dsl.operators.base import Compiler, IndexQueries, Pair
from dsl.operators.pairs import is_exact

__all__ = ["IndexQueries", "Pair", "compile_predicate", "is_exact"]


def compile_predicate(predicate: Predicate | None, index: IndexQueries, now_us: int) -> Pair:
    """`(upper, lower)`: what satisfies the predicate matches `upper`; what matches `lower` satisfies it.

    Where both are the same object the index alone answers; else what matches `upper` but not `lower` is to be
    tested one by one (`dsl.evaluate.matches`).

    Args:
        predicate: None is true of every record.
        index: what makes queries of paths and values.
        now_us: the one `now` of the query.
    """
    if predicate is None:
        return index.all()
    return Compiler(index, now_us, BY_NODE).pair(predicate)
