"""`[:!= f v]`: the same as `[:not [:= f v]]`."""

from typing import Literal

from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.comparing import Comparison, build_equality, write_comparison
from dsl.operators.equal import Equal, compile_equal, evaluate_equal
from dsl.operators.pairs import negation
from dsl.record import Matcher


class NotEqual(Comparison):
    """No value of the field equals this one."""

    op: Literal["!="] = "!="


def as_equal(node: NotEqual) -> Equal:
    """What it is the negation of."""
    return Equal(field=node.field, value=node.value)


def compile_not_equal(node: NotEqual, compiler: Compiler) -> Pair:
    """All but the equal."""
    return negation(compile_equal(as_equal(node), compiler), compiler.index)


def evaluate_not_equal(node: NotEqual, evaluator: Evaluator) -> Matcher:
    """Plain negation: it also holds for records that lack the field."""
    matcher = evaluate_equal(as_equal(node), evaluator)
    return lambda record: not matcher(record)


NOT_EQUAL = Operator(
    name="!=",
    signature="[:!= field value]",
    summary="the same as `[:not [:= field value]]`: it also holds where the field is missing",
    example='[:!= :level "debug"]',
    arguments=(2, 2),
    node=NotEqual,
    build=build_equality(NotEqual),
    write=write_comparison,
    compile=compile_not_equal,
    evaluate=evaluate_not_equal,
)
