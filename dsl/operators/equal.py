"""`[:= f v]`: a value of the field equals `v`."""

from typing import Literal

from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.comparing import (
    Comparison,
    build_equality,
    equal_test,
    time_candidates,
    write_comparison,
)
from dsl.record import TIMESTAMP, Matcher, some_leaf
from dsl.time import Instant, Relative


class Equal(Comparison):
    """A value of the field equals this one."""

    op: Literal["="] = "="


def compile_equal(node: Equal, compiler: Compiler) -> Pair:
    """One term, or one microsecond."""
    if not isinstance(node.value, Instant | Relative):
        return compiler.index.equal(node.field, node.value)
    if node.field != TIMESTAMP:
        return time_candidates(compiler.index, node.field)
    us = node.value.resolve(compiler.now_us)
    return compiler.index.instants(us, us + 1)


def evaluate_equal(node: Equal, evaluator: Evaluator) -> Matcher:
    """One scalar of the field equals the value."""
    return some_leaf(node.field, equal_test(node.value, node.field, evaluator.now_us))


EQUAL = Operator(
    name="=",
    signature="[:= field value]",
    summary='a value of the field equals this one, of the same type; 1 equals 1.0, not "1" nor true',
    example='[:= :level "error"]',
    arguments=(2, 2),
    node=Equal,
    build=build_equality(Equal),
    write=write_comparison,
    compile=compile_equal,
    evaluate=evaluate_equal,
)
