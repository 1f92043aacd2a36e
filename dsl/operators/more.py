"""`[:> f v]`: a value of the field is above `v`."""

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


class More(Comparison):
    """A value of the field is above this one."""

    op: Literal[">"] = ">"


def compile_more(node: More, compiler: Compiler) -> Pair:
    """A range with one end."""
    return compile_order(node, compiler, below=False, included=False)


MORE = Operator(
    name=">",
    signature="[:> field value]",
    summary="a value of the field is above this one, of its own type",
    example="[:> :http.status 499]",
    arguments=(2, 2),
    node=More,
    build=build_order(More),
    write=write_comparison,
    compile=compile_more,
    evaluate=evaluate_order(operator.gt),
)
