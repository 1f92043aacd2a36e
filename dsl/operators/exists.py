"""`[:exists f]`: the record has a value that is not nil at the field or below it."""

from collections.abc import Callable, Sequence
from typing import Literal

from dsl.analysis import WRONG, Analysis, WrongType, field_form
from dsl.forms import Form
from dsl.nodes import Predicate
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.record import TIMESTAMP, Matcher, exists


class Exists(Predicate):
    """The field has a value, itself or below it."""

    op: Literal["exists"] = "exists"
    field: str


def build_exists(analysis: Analysis, _: Form, arguments: Sequence[Form]) -> Exists | WrongType:
    """From a field."""
    field = analysis.field(arguments[0])
    return WRONG if field is WRONG else Exists(field=field)


def write_exists(node: Exists, _: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its field."""
    return [field_form(node.field)]


def compile_exists(node: Exists, compiler: Compiler) -> Pair:
    """Every record has a time; of other fields the index knows."""
    return compiler.index.all() if node.field == TIMESTAMP else compiler.index.exists(node.field)


def evaluate_exists(node: Exists, _: Evaluator) -> Matcher:
    """A scalar is at the path or below it."""
    return exists(node.field)


EXISTS = Operator(
    name="exists",
    signature="[:exists field]",
    summary="the record has a value that is not nil, at the field or below it",
    example="[:exists :trace_id]",
    arguments=(1, 1),
    node=Exists,
    build=build_exists,
    write=write_exists,
    compile=compile_exists,
    evaluate=evaluate_exists,
)
