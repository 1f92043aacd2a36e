"""The aggregates, one line each; a new one is a file beside this and a line here."""

from typing import Annotated, Any, Final, Union

from pydantic import Field

from dsl.aggregates.avg import AVG
from dsl.aggregates.base import Aggregate, AggregateKind
from dsl.aggregates.count import COUNT
from dsl.aggregates.count_distinct import COUNT_DISTINCT
from dsl.aggregates.first import FIRST
from dsl.aggregates.last import LAST
from dsl.aggregates.max import MAX
from dsl.aggregates.median import MEDIAN
from dsl.aggregates.min import MIN
from dsl.aggregates.percentile import PERCENTILE
from dsl.aggregates.rate import RATE
from dsl.aggregates.stddev import STDDEV
from dsl.aggregates.sum import SUM
from dsl.aggregates.top import TOP
from dsl.aggregates.values import VALUES
from dsl.operators import ANY_PREDICATE

_ALL: tuple[AggregateKind[Any], ...] = (
    COUNT,
    COUNT_DISTINCT,
    SUM,
    AVG,
    MIN,
    MAX,
    STDDEV,
    PERCENTILE,
    MEDIAN,
    RATE,
    FIRST,
    LAST,
    TOP,
    VALUES,
)

AGGREGATES: Final[dict[str, AggregateKind[Any]]] = {kind.name: kind for kind in _ALL}
"""Every aggregate by its name."""

BY_NODE: Final[dict[type[Aggregate], AggregateKind[Any]]] = {kind.node: kind for kind in _ALL}
"""Every aggregate by its kind of node."""

for _kind in _ALL:
    _kind.node.model_rebuild(_types_namespace={"AnyPredicate": ANY_PREDICATE})

ANY_AGGREGATE: Any = Annotated[Union[tuple(BY_NODE)], Field(discriminator="op")]  # noqa: UP007  # a tuple
"""The type of every aggregate, for the models that hold some."""
