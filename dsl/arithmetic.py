"""`[:/ :errors :requests]`: a value of a group worked out from others, by their names, and from numbers.

Operands are taken from left to right. Whole numbers stay whole but for `:/`. Division by zero, an operand that is
missing or no number, and a result that no number can hold give nil. The difference of two times is in seconds.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import reduce
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, StrictFloat, StrictInt

from dsl.analysis import INTEGER_MAX, INTEGER_MIN, WRONG, Analysis, WrongType, described, field_form, name_of
from dsl.errors import quoted
from dsl.forms import Form, Keyword, VectorForm
from dsl.nodes import Node, Param
from dsl.record import NUMBERS

US_PER_S = 1_000_000
OPERANDS_MIN = 2

Sign: TypeAlias = Literal["+", "-", "*", "/"]


class ValueOf(Node):
    """Another value of the same group, by its name."""

    name: str


class Arithmetic(Node):
    """Operands joined by one sign, from left to right."""

    op: Sign
    parts: "tuple[Annotated[Operand, Field(union_mode='left_to_right')], ...]" = Field(
        min_length=OPERANDS_MIN
    )


Operand: TypeAlias = StrictInt | StrictFloat | ValueOf | Arithmetic | Param

Arithmetic.model_rebuild()

SIGNATURES: Final[dict[Sign, str]] = {sign: f"[:{sign} a b…]" for sign in ("+", "-", "*", "/")}
"""How each is written, for messages."""

_OPERATIONS: dict[Sign, Callable[[Any, Any], int | float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def build(analysis: Analysis, form: Form) -> Arithmetic | WrongType:
    """From a vector that begins with a sign; whether the names are there is looked at when all are known."""
    assert isinstance(form.value, VectorForm)
    head, *operands = form.value.items
    sign = name_of(head)
    assert sign in SIGNATURES
    if len(operands) < OPERANDS_MIN:
        message = f":{sign} takes {OPERANDS_MIN} operands or more, not {len(operands)}"
        return analysis.wrong("wrong-arity", message, form, f"write [:{sign} :errors :requests]")
    parts = [_operand(analysis, operand) for operand in operands]
    right = tuple(part for part in parts if part is not WRONG)
    return Arithmetic(op=sign, parts=right).at(form.start, form.end) if len(right) == len(parts) else WRONG


def _operand(analysis: Analysis, form: Form) -> Operand | WrongType:
    analysis.count(form)
    name = name_of(form)
    if name is not None:
        return ValueOf(name=name).at(form.start, form.end)
    if isinstance(form.value, VectorForm):
        head = name_of(form.value.items[0]) if form.value.items else None
        if head in SIGNATURES:
            return build(analysis, form)
        hint = "give the aggregate a name of its own, and write that name here"
        return analysis.wrong(
            "bad-aggregate", f"{described(form)} is no operand, nor is it arithmetic", form, hint
        )
    return analysis.number(form, "an operand that is no name of an aggregate")


def write(node: Arithmetic) -> Form:
    """To its sign and its operands."""
    return Form(VectorForm((Form(Keyword(node.op)), *map(_written, node.parts))))


def _written(part: Operand) -> Form:
    if isinstance(part, ValueOf):
        return field_form(part.name)
    return write(part) if isinstance(part, Arithmetic) else Form(part)


def names(node: Arithmetic) -> Iterator[ValueOf]:
    """Every name in it."""
    for part in node.parts:
        if isinstance(part, ValueOf):
            yield part
        elif isinstance(part, Arithmetic):
            yield from names(part)


def is_difference_of_times(node: Arithmetic, times: AbstractSet[str]) -> bool:
    """Whether it is the one thing that can be done with times."""
    return (
        node.op == "-"
        and len(node.parts) == OPERANDS_MIN
        and all(isinstance(part, ValueOf) and part.name in times for part in node.parts)
    )


def misused_times(node: Arithmetic, times: AbstractSet[str]) -> Iterator[ValueOf]:
    """The times in it that are taken for numbers."""
    if is_difference_of_times(node, times):
        return
    for part in node.parts:
        if isinstance(part, ValueOf) and part.name in times:
            yield part
        elif isinstance(part, Arithmetic):
            yield from misused_times(part, times)


def in_order(calls: Mapping[str, Arithmetic]) -> list[str]:
    """The names so that each comes after those it is worked out from.

    Raises:
        Circular: one is worked out from itself.
    """
    done: dict[str, None] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in path:
            raise Circular([*path[path.index(name) :], name])
        path.append(name)
        for part in names(calls[name]):
            if part.name in calls:
                visit(part.name)
        done[path.pop()] = None

    for name in calls:
        visit(name)
    return list(done)


class Circular(ValueError):
    """A value is worked out from itself, by way of these names."""

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(" -> ".join(map(quoted, path)))
        self.path = path


def evaluate(
    node: Arithmetic, columns: Mapping[str, Sequence[Any]], times: AbstractSet[str], count: int
) -> list[int | float | None]:
    """Its value in each of so many groups.

    Args:
        node: What is worked out.
        columns: The values that it names, one for each group; times in microseconds.
        times: The names of those that are times.
        count: How many groups there are.
    """
    if is_difference_of_times(node, times):
        ends = [columns[part.name] for part in names(node)]
        return [
            None if late is None or early is None else (late - early) / US_PER_S
            for late, early in zip(*ends, strict=True)
        ]
    operation = _OPERATIONS[node.op]
    parts: list[Sequence[Any]] = [
        columns[part.name]
        if isinstance(part, ValueOf)
        else evaluate(part, columns, times, count)
        if isinstance(part, Arithmetic)
        else [part] * count
        for part in node.parts
    ]

    def step(left: Any, right: Any) -> int | float | None:
        if type(left) not in NUMBERS or type(right) not in NUMBERS:
            return None
        try:
            found = operation(left, right)
        except (ZeroDivisionError, OverflowError):
            return None
        if type(found) is int:
            return found if INTEGER_MIN <= found <= INTEGER_MAX else float(found)
        return found if math.isfinite(found) else None

    return [reduce(step, operands) for operands in zip(*parts, strict=True)]
