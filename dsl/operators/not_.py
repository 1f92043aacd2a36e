"""`[:not p]`: the predicate does not hold."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from dsl.analysis import WRONG, Analysis, WrongType
from dsl.forms import Form
from dsl.nodes import Predicate
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.pairs import negation
from dsl.record import Matcher

if TYPE_CHECKING:
    from dsl.operators.base import AnyPredicate


class Not(Predicate):
    """The part does not hold."""

    op: Literal["not"] = "not"
    part: "AnyPredicate"


def build_not(analysis: Analysis, _: Form, arguments: Sequence[Form]) -> Not | WrongType:
    """From its predicate."""
    part = analysis.predicate(arguments[0])
    return WRONG if part is WRONG else Not(part=part)


def write_not(node: Not, write: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its predicate."""
    return [write(node.part)]


def compile_not(node: Not, compiler: Compiler) -> Pair:
    """All but what holds; twice negated is what it was."""
    if isinstance(node.part, Not):
        return compiler.pair(node.part.part)
    return negation(compiler.pair(node.part), compiler.index)


def evaluate_not(node: Not, evaluator: Evaluator) -> Matcher:
    """Plain negation: it also holds for records that lack the field."""
    matcher = evaluator.matcher(node.part)
    return lambda record: not matcher(record)


NOT = Operator(
    name="not",
    signature="[:not predicate]",
    summary="the predicate does not hold, also because the field is missing",
    example='[:not [:starts-with :http.path "/health"]]',
    arguments=(1, 1),
    node=Not,
    build=build_not,
    write=write_not,
    compile=compile_not,
    evaluate=evaluate_not,
)
