"""The condition of a rule, `[:> :n [:* 2 [:prev :n "1h"]]]`: a predicate over the columns of each group.

It is a predicate like any other, except that a value may be worked out: a column, `[:prev column]` for the same column
one window earlier (`[:prev column "1h"]`: an hour earlier), and sums, differences, products and quotients of those and
numbers. Such a comparison is kept as a column of its own, the difference of both sides, compared with 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Literal

from dsl import predicates
from dsl.analysis import WRONG, Analysis, WrongType, described, name_of
from dsl.errors import quoted
from dsl.evaluate import matches
from dsl.forms import Form, Keyword, MapForm, VectorForm
from dsl.limits import Limits
from dsl.nodes import Predicate
from dsl.operators import OPERATORS
from dsl.record import Record

PREV = "prev"
AGO_MAX = 4  # different earlier windows of one rule: each is a question more at every evaluation

_COMPARING = frozenset({"=", "!=", "<", "<=", ">", ">="})
_LOGIC = frozenset({"and", "or", "not"})
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
_VALUE_HINT = 'write a number, a column, [:prev :n], [:prev :n "1h"], or [:* 2 [:prev :n]] with + - * /'

Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the group, `ago_us` before; 0 is now."""

    name: str
    ago_us: int = 0


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`[:* 2 [:prev :n]]`: its arguments put together from left to right."""

    operator: Literal["+", "-", "*", "/"]
    arguments: tuple[Expression, ...]


Expression = float | Column | Arithmetic


@dataclass(frozen=True, slots=True)
class When:
    """A condition that is checked.

    Attributes:
        predicate: Over the columns, and those of `derived`.
        derived: What else it is about: a name, and what it is worked out from.
    """

    predicate: Predicate
    derived: tuple[tuple[str, Expression], ...] = ()

    @property
    def agos_us(self) -> list[int]:
        """How long before now the earlier windows are that it compares with."""
        return sorted(
            {column.ago_us for _, one in self.derived for column in _columns(one) if column.ago_us > 0}
        )

    def holds(self, analyse: Callable[[str], list[str]], now_us: int) -> Callable[[Columns, Earlier], bool]:
        """Whether it holds for a group, by its columns now and earlier."""
        matcher = matches(self.predicate, analyse, now_us)

        def holds(columns: Columns, earlier: Earlier) -> bool:
            fields = dict(columns)
            for name, expression in self.derived:
                value = _value(expression, columns, earlier)
                if value is not None:
                    fields[name] = value
            return matcher(Record(now_us, "", 0, fields))

        return holds


Earlier = Callable[[int], Columns]
"""The columns of the same group, so many microseconds before."""


@dataclass(slots=True)
class _Reading:
    columns: Sequence[str]
    window_us: int | None
    derived: list[tuple[str, Expression]] = field(default_factory=list)


def read_when(
    analysis: Analysis,
    form: Form,
    columns: Sequence[str],
    window_us: int | None,
    times: AbstractSet[str] = frozenset(),
) -> When | WrongType:
    """The condition that a form says, or its mistakes noted.

    Args:
        analysis: Where mistakes are noted.
        form: As read.
        columns: The names that groups have.
        window_us: How long before now the window before is; None where that can't be told.
        times: Those of the names that are times.
    """
    reading = _Reading(columns, window_us)
    inner = Analysis(analysis.limits, analysis.now_us, lambda inner, form: _build(inner, form, reading))
    inner.mistakes = analysis.mistakes
    inner.times = times
    predicate = inner.predicate(form)
    if predicate is WRONG:
        return WRONG
    when = When(predicate, tuple(reading.derived))
    if len(when.agos_us) > AGO_MAX:
        message = f"{len(when.agos_us)} different earlier windows, more than {AGO_MAX}"
        return analysis.wrong("bad-when", message, form, "compare with fewer")
    return when


def always(name: str) -> Predicate:
    """That a group has any records at all, by its column of their number."""
    form = Form(VectorForm((Form(Keyword(">")), Form(name), Form(0))))
    made = Analysis(Limits(), None, predicates.build).predicate(form)
    assert made is not WRONG
    return made


def _build(analysis: Analysis, form: Form, reading: _Reading) -> Predicate | WrongType:
    """What `dsl.predicates.build` does, with names of columns checked and values worked out."""
    value = form.value
    if isinstance(value, VectorForm) and value.items:
        name = name_of(value.items[0])
        if name in OPERATORS and name not in _LOGIC and len(value.items) > 1:
            known = _known(analysis, value.items[1], reading)
            if len(value.items) == 3 and name in _COMPARING and isinstance(value.items[2].value, VectorForm):
                return _compared(analysis, form, value.items, reading) if known else WRONG
            if not known:
                return WRONG
    elif isinstance(value, MapForm):
        pairs = [(name_of(key), key, item) for key, item in value.pairs]
        names = {name for name, _, _ in pairs}
        fields = [item for name, _, item in pairs if name == "field"] if "operator" in names else []
        if "operator" not in names and not names & _LOGIC:
            fields = [key for _, key, _ in pairs]
        if not all([_known(analysis, one, reading) for one in fields]):  # noqa: C419  # all are looked at
            return WRONG
    return predicates.build(analysis, form)


def _known(analysis: Analysis, form: Form, reading: _Reading) -> bool:
    """Whether a form names a column; what names none is left to the operator, or noted."""
    name = name_of(form)
    if name is None or name in reading.columns:
        return True
    hint = analysis.near(name, reading.columns, ":") or "the columns are " + " ".join(
        f":{one}" for one in reading.columns
    )
    analysis.wrong("unknown-column", f"no column :{quoted(name)} in the rule's query", form, hint)
    return False


def _compared(
    analysis: Analysis, form: Form, items: Sequence[Form], reading: _Reading
) -> Predicate | WrongType:
    right = _expression(analysis, items[2], reading)
    left = name_of(items[1])
    if right is WRONG:
        return WRONG
    if left is None:
        return predicates.build(analysis, form)
    name = f"%{len(reading.derived)}"
    reading.derived.append((name, Arithmetic("-", (Column(left), right))))
    place = Form(VectorForm((items[0], Form(name), Form(0))), form.start, form.end)
    return predicates.build(analysis, place)


def _expression(analysis: Analysis, form: Form, reading: _Reading) -> Expression | WrongType:
    value = form.value
    if not isinstance(value, VectorForm):
        name = name_of(form)
        if name is not None:
            return Column(name) if _known(analysis, form, reading) else WRONG
        if isinstance(value, bool) or not isinstance(value, int | float):
            return analysis.wrong(
                "bad-value", f"{described(form)} cannot be reckoned with", form, _VALUE_HINT
            )
        return value
    head = name_of(value.items[0]) if value.items else None
    if head == PREV:
        return _prev(analysis, form, value.items[1:], reading)
    if head not in _ARITHMETIC:
        return analysis.wrong("bad-value", f"{described(form)} cannot be reckoned with", form, _VALUE_HINT)
    if len(value.items) < 3:
        return analysis.wrong(
            "wrong-arity", f":{head} takes two values or more", form, "write [:* 2 [:prev :n]]"
        )
    made = [_expression(analysis, item, reading) for item in value.items[1:]]
    right = tuple(one for one in made if one is not WRONG)
    return Arithmetic(head, right) if len(right) == len(made) else WRONG  # type: ignore[arg-type]


def _prev(
    analysis: Analysis, form: Form, arguments: Sequence[Form], reading: _Reading
) -> Expression | WrongType:
    if not 1 <= len(arguments) <= 2 or name_of(arguments[0]) is None:
        hint = 'write [:prev :n], or [:prev :n "1h"]'
        return analysis.wrong("wrong-arity", ":prev takes a column and perhaps a duration", form, hint)
    known = _known(analysis, arguments[0], reading)
    ago = analysis.duration(arguments[1]) if len(arguments) == 2 else reading.window_us
    if ago is None:
        hint = 'write [:prev :n "1h"], or {:last "5m"} as the :time of the query'
        return analysis.wrong("bad-when", "the window before cannot be told", form, hint)
    return Column(str(name_of(arguments[0])), ago) if known and ago is not WRONG else WRONG


def _columns(expression: Expression) -> Iterator[Column]:
    if isinstance(expression, Column):
        yield expression
    elif isinstance(expression, Arithmetic):
        for argument in expression.arguments:
            yield from _columns(argument)


def _value(expression: Expression, columns: Columns, earlier: Earlier) -> int | float | None:
    """What an expression comes to; None where something is missing or no number."""
    if isinstance(expression, Column):
        found = (earlier(expression.ago_us) if expression.ago_us else columns).get(expression.name)
        return found if type(found) in (int, float) else None
    if not isinstance(expression, Arithmetic):
        return expression
    total: int | float | None = None
    for argument in expression.arguments:
        value = _value(argument, columns, earlier)
        if value is None:
            return None
        try:
            total = value if total is None else _ARITHMETIC[expression.operator](total, value)
        except (ZeroDivisionError, OverflowError):
            return None
        if not math.isfinite(total):
            return None
    return total
