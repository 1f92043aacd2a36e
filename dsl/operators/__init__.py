"""The operators, one line each; a new one is a file beside this and a line here."""

from typing import Annotated, Any, Final, Union

from pydantic import Field, TypeAdapter

from dsl.nodes import Predicate
from dsl.operators.and_ import AND
from dsl.operators.at_least import AT_LEAST
from dsl.operators.at_most import AT_MOST
from dsl.operators.base import Operator
from dsl.operators.between import BETWEEN
from dsl.operators.cidr import CIDR
from dsl.operators.contains import CONTAINS
from dsl.operators.ends_with import ENDS_WITH
from dsl.operators.equal import EQUAL
from dsl.operators.exists import EXISTS
from dsl.operators.fuzzy import FUZZY
from dsl.operators.glob import GLOB
from dsl.operators.in_ import IN
from dsl.operators.less import LESS
from dsl.operators.match import MATCH
from dsl.operators.match_any import MATCH_ANY
from dsl.operators.missing import MISSING
from dsl.operators.more import MORE
from dsl.operators.not_ import NOT
from dsl.operators.not_equal import NOT_EQUAL
from dsl.operators.or_ import OR
from dsl.operators.phrase import PHRASE
from dsl.operators.regex import REGEX
from dsl.operators.starts_with import STARTS_WITH

_ALL: tuple[Operator[Any], ...] = (
    AND,
    OR,
    NOT,
    EQUAL,
    NOT_EQUAL,
    LESS,
    AT_MOST,
    MORE,
    AT_LEAST,
    BETWEEN,
    IN,
    EXISTS,
    MISSING,
    MATCH,
    MATCH_ANY,
    PHRASE,
    FUZZY,
    CONTAINS,
    STARTS_WITH,
    ENDS_WITH,
    GLOB,
    REGEX,
    CIDR,
)

OPERATORS: Final[dict[str, Operator[Any]]] = {operator.name: operator for operator in _ALL}
"""Every operator by its name."""

BY_NODE: Final[dict[type[Predicate], Operator[Any]]] = {operator.node: operator for operator in _ALL}
"""Every operator by its kind of node."""

ANY_PREDICATE: Any = Annotated[Union[tuple(BY_NODE)], Field(discriminator="op")]  # noqa: UP007  # a tuple
"""The type of every predicate, for the models that hold some."""

for _operator in _ALL:
    _operator.node.model_rebuild(_types_namespace={"AnyPredicate": ANY_PREDICATE})

PREDICATES: Final[TypeAdapter[Predicate]] = TypeAdapter(ANY_PREDICATE)
"""Reads a predicate from its JSON model, and writes it."""
