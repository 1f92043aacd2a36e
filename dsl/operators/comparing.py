"""What the comparing operators share: numbers with numbers, strings with strings, instants with instants."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from pydantic import StrictBool, StrictFloat, StrictInt, StrictStr

from dsl.analysis import WRONG, Analysis, Value, WrongType, field_form, kind_of
from dsl.forms import Form, Tagged
from dsl.nodes import Open, Predicate
from dsl.operators.base import Compiler, Evaluator, IndexQueries, Pair
from dsl.operators.pairs import candidates
from dsl.record import NUMBERS, TIMESTAMP, Matcher, Test, some_leaf
from dsl.time import Instant, Relative, rfc3339

Compared: TypeAlias = Open[StrictBool | StrictInt | StrictFloat | StrictStr | Instant | Relative]
"""A value in the tree, of exactly its own type."""

Order = Callable[[Any, Any], bool]


class Comparison(Predicate):
    """A field and the value it is compared with."""

    field: str
    value: Compared


C = TypeVar("C", bound=Comparison)


def build_equality(node: type[C]) -> Callable[[Analysis, Form, Sequence[Form]], C | WrongType]:
    """From a field and a value of any kind."""

    def build(analysis: Analysis, _: Form, arguments: Sequence[Form]) -> C | WrongType:
        field = analysis.field(arguments[0])
        negated = "[:exists {field}]" if node.model_fields["op"].default == "!=" else "[:missing {field}]"
        value = analysis.value(arguments[1], "" if field is WRONG else field, missing=negated)
        return WRONG if field is WRONG or value is WRONG else node(field=field, value=value)

    return build


def build_order(node: type[C]) -> Callable[[Analysis, Form, Sequence[Form]], C | WrongType]:
    """From a field and a value that has an order."""

    def build(analysis: Analysis, _: Form, arguments: Sequence[Form]) -> C | WrongType:
        field = analysis.field(arguments[0])
        value = ordered(analysis, arguments[1], "" if field is WRONG else field)
        return WRONG if field is WRONG or value is WRONG else node(field=field, value=value)

    return build


def ordered(analysis: Analysis, form: Form, field: str) -> Value | WrongType:
    """A value that others lie below and above: no boolean."""
    value = analysis.value(form, field)
    if isinstance(value, bool):
        message = f"{kind_of(value)} has no order: nothing lies below or above it"
        return analysis.wrong("type-clash", message, form, "compare it with := or :!=")
    return value


def write_comparison(node: Comparison, _: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its field and its value."""
    return [field_form(node.field), value_form(node.value)]


def value_form(value: Value) -> Form:
    """A value as it is written."""
    if isinstance(value, Instant):
        return Form(Tagged("inst", Form(value.text())))
    return Form(value.text() if isinstance(value, Relative) else value)


def equal_test(value: Value, field: str, now_us: int) -> Test:
    """Whether a scalar equals a value."""
    if isinstance(value, bool):
        return lambda leaf: leaf is value
    if isinstance(value, str):
        return lambda leaf: bool(leaf == value)
    if isinstance(value, int | float):
        return lambda leaf: leaf == value and type(leaf) in NUMBERS
    return order_test(value, operator.eq, field, now_us)


def order_test(value: Value, order: Order, field: str, now_us: int) -> Test:
    """Whether a scalar of a value's own kind stands to it in an order."""
    if isinstance(value, str):
        return lambda leaf: type(leaf) is str and order(leaf, value)
    if isinstance(value, int | float):
        return lambda leaf: type(leaf) in NUMBERS and order(leaf, value)
    us = value.resolve(now_us)
    if field == TIMESTAMP:
        return lambda leaf: order(leaf, us)

    def test(leaf: Any) -> bool:
        found = rfc3339(leaf) if type(leaf) is str else None
        return found is not None and order(found, us)

    return test


def time_candidates(index: IndexQueries, field: str) -> Pair:
    """What may have a time as a string, which begins with a digit: the index cannot compare times."""
    return candidates(index.strings(field, "0", ":", True, False)[0], index)


def compile_order(node: Comparison, compiler: Compiler, *, below: bool, included: bool) -> Pair:
    """A range with one end."""
    value, index = node.value, compiler.index
    if isinstance(value, str):
        return index.strings(node.field, *_ends(value, below, included))
    if isinstance(value, int | float):
        return index.numbers(node.field, *_ends(value, below, included))
    if node.field != TIMESTAMP:
        return time_candidates(index, node.field)
    us = value.resolve(compiler.now_us)
    if below:
        return index.instants(None, us + included)
    return index.instants(us + (not included), None)


def evaluate_order(order: Order) -> Callable[[Comparison, Evaluator], Matcher]:
    """One scalar of the field stands to the value in an order."""

    def evaluate(node: Comparison, evaluator: Evaluator) -> Matcher:
        return some_leaf(node.field, order_test(node.value, order, node.field, evaluator.now_us))

    return evaluate


V = TypeVar("V", str, float)


def _ends(value: V, below: bool, included: bool) -> tuple[V | None, V | None, bool, bool]:
    return (None, value, True, included) if below else (value, None, included, True)
