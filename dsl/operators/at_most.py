"""`[:<= f v]`: a value of the field is at most `v`."""

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


class AtMost(Comparison):
    """A value of the field is at most this one."""

    op: Literal["<="] = "<="


def compile_at_most(node: AtMost, compiler: Compiler) -> Pair:
    """A range with one end."""
    return compile_order(node, compiler, below=True, included=True)


AT_MOST = Operator(
    name="<=",
    signature="[:<= field value]",
    summary="a value of the field is at most this one, of its own type",
    example="[:<= :latency_ms 10.5]",
    arguments=(2, 2),
    node=AtMost,
    build=build_order(AtMost),
    write=write_comparison,
    compile=compile_at_most,
    evaluate=evaluate_order(operator.le),
)
