"""`[:and p…]`: every predicate holds; of none, true."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from dsl.analysis import WRONG, Analysis, WrongType
from dsl.forms import Form
from dsl.nodes import Predicate
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.not_ import Not
from dsl.operators.not_equal import NotEqual, as_equal
from dsl.operators.pairs import conjunction
from dsl.patterns.pieces import Needs
from dsl.record import Matcher, Record

if TYPE_CHECKING:
    from dsl.operators.base import AnyPredicate


class And(Predicate):
    """Every part holds."""

    op: Literal["and"] = "and"
    parts: tuple["AnyPredicate", ...] = ()


def build_and(analysis: Analysis, _: Form, arguments: Sequence[Form]) -> And | WrongType:
    """From its predicates."""
    parts = analysis.predicates(arguments)
    return WRONG if parts is WRONG else And(parts=parts)


def write_and(node: And, write: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its predicates."""
    return [write(part) for part in node.parts]


def compile_and(node: And, compiler: Compiler) -> Pair:
    """One search; what is negated is left out of it, which costs less than searching for its opposite."""
    holds, fails = [], []
    for part in node.parts:
        if isinstance(part, Not):
            fails.append(compiler.pair(part.part))
        elif isinstance(part, NotEqual):
            fails.append(compiler.pair(as_equal(part)))
        else:
            holds.append(compiler.pair(part))
    return conjunction(holds, fails, compiler.index)


def evaluate_and(node: And, evaluator: Evaluator) -> Matcher:
    """One part after another, until one fails."""
    matchers = [evaluator.matcher(part) for part in node.parts]
    if len(matchers) == 1:
        return matchers[0]
    if len(matchers) == 2:
        first, second = matchers
        return lambda record: first(record) and second(record)

    def match(record: Record) -> bool:
        for matcher in matchers:  # noqa: SIM110  # a generator for all() costs as much as the parts
            if not matcher(record):
                return False
        return True

    return match


def needs_and(node: And, of: Callable[[Predicate], Needs]) -> Needs:
    """What each part needs."""
    return tuple(clause for part in node.parts for clause in of(part))


AND = Operator(
    name="and",
    signature="[:and predicate…]",
    summary="every predicate holds; `[:and]` is true",
    example='[:and [:= :level "error"] [:>= :http.status 500]]',
    arguments=(0, None),
    node=And,
    build=build_and,
    write=write_and,
    compile=compile_and,
    evaluate=evaluate_and,
    needs=needs_and,
)
