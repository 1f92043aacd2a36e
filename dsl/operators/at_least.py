"""`[:>= f v]`: a value of the field is at least `v`."""

import operator
from typing import Literal

from dsl.operators.base import Compiler, Operator, Pair
from dsl.operators.comparing import (
    Comparison,
    build_order,
    compile_order,
    evaluate_order,
    write_comparison,
)


class AtLeast(Comparison):
    """A value of the field is at least this one."""

    op: Literal[">="] = ">="


def compile_at_least(node: AtLeast, compiler: Compiler) -> Pair:
    """A range with one end."""
    return compile_order(node, compiler, below=False, included=True)


AT_LEAST = Operator(
    name=">=",
    signature="[:>= field value]",
    summary="a value of the field is at least this one, of its own type",
    example='[:>= :timestamp "now-15m"]',
    arguments=(2, 2),
    node=AtLeast,
    build=build_order(AtLeast),
    write=write_comparison,
    compile=compile_at_least,
    evaluate=evaluate_order(operator.ge),
)
