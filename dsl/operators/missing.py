"""`[:missing f]`: the same as `[:not [:exists f]]`."""

from collections.abc import Callable, Sequence
from typing import Literal

from dsl.analysis import WRONG, Analysis, WrongType, field_form
from dsl.forms import Form
from dsl.nodes import Predicate
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.exists import Exists, compile_exists, evaluate_exists
from dsl.operators.pairs import negation
from dsl.record import Matcher


class Missing(Predicate):
    """The field has no value, neither itself nor below it."""

    op: Literal["missing"] = "missing"
    field: str


def build_missing(analysis: Analysis, _: Form, arguments: Sequence[Form]) -> Missing | WrongType:
    """From a field."""
    field = analysis.field(arguments[0])
    return WRONG if field is WRONG else Missing(field=field)


def write_missing(node: Missing, _: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its field."""
    return [field_form(node.field)]


def compile_missing(node: Missing, compiler: Compiler) -> Pair:
    """All but those that have it."""
    return negation(compile_exists(Exists(field=node.field), compiler), compiler.index)


def evaluate_missing(node: Missing, evaluator: Evaluator) -> Matcher:
    """No scalar is at the path or below it."""
    matcher = evaluate_exists(Exists(field=node.field), evaluator)
    return lambda record: not matcher(record)


MISSING = Operator(
    name="missing",
    signature="[:missing field]",
    summary="the record lacks the field, or all it has there is nil",
    example="[:missing :trace_id]",
    arguments=(1, 1),
    node=Missing,
    build=build_missing,
    write=write_missing,
    compile=compile_missing,
    evaluate=evaluate_missing,
)
