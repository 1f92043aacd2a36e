"""`[:< f v]`: a value of the field is below `v`."""

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


class Less(Comparison):
    """A value of the field is below this one."""

    op: Literal["<"] = "<"


def compile_less(node: Less, compiler: Compiler) -> Pair:
    """A range with one end."""
    return compile_order(node, compiler, below=True, included=False)


LESS = Operator(
    name="<",
    signature="[:< field value]",
    summary="a value of the field is below this one, of its own type",
    example="[:< :latency_ms 10]",
    arguments=(2, 2),
    node=Less,
    build=build_order(Less),
    write=write_comparison,
    compile=compile_less,
    evaluate=evaluate_order(operator.lt),
)
