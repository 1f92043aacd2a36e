"""`[:or p…]`: one predicate holds; of none, false."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from dsl.analysis import WRONG, Analysis, WrongType
from dsl.forms import Form
from dsl.nodes import Predicate
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.pairs import disjunction
from dsl.patterns.pieces import Needs, either
from dsl.record import Matcher, Record

if TYPE_CHECKING:
    from dsl.operators.base import AnyPredicate


class Or(Predicate):
    """One part holds."""

    op: Literal["or"] = "or"
    parts: tuple["AnyPredicate", ...] = ()


def build_or(analysis: Analysis, _: Form, arguments: Sequence[Form]) -> Or | WrongType:
    """From its predicates."""
    parts = analysis.predicates(arguments)
    return WRONG if parts is WRONG else Or(parts=parts)


def write_or(node: Or, write: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its predicates."""
    return [write(part) for part in node.parts]


def compile_or(node: Or, compiler: Compiler) -> Pair:
    """One search for them all."""
    return disjunction([compiler.pair(part) for part in node.parts], compiler.index)


def evaluate_or(node: Or, evaluator: Evaluator) -> Matcher:
    """One part after another, until one holds."""
    matchers = [evaluator.matcher(part) for part in node.parts]
    if len(matchers) == 1:
        return matchers[0]

    def match(record: Record) -> bool:
        for matcher in matchers:  # noqa: SIM110  # a generator for any() costs as much as the parts
            if matcher(record):
                return True
        return False

    return match


def needs_or(node: Or, of: Callable[[Predicate], Needs]) -> Needs:
    """One of what the parts need, if each needs something."""
    needs = [of(part) for part in node.parts]
    return either(needs) if all(needs) and needs else ()


OR = Operator(
    name="or",
    signature="[:or predicate…]",
    summary="one predicate holds; `[:or]` is false",
    example='[:or [:= :level "error"] [:= :level "fatal"]]',
    arguments=(0, None),
    node=Or,
    build=build_or,
    write=write_or,
    compile=compile_or,
    evaluate=evaluate_or,
    needs=needs_or,
)
