"""`[:between f low high]`: one value of the field lies in [low, high]; nil opens an end."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from dsl.analysis import WRONG, Analysis, Value, WrongType, field_form, field_text, kind_of
from dsl.forms import Form
from dsl.nodes import Predicate, is_open
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.comparing import Compared, ordered, time_candidates, value_form
from dsl.record import NUMBERS, TIMESTAMP, Matcher, Test, some_leaf
from dsl.time import Instant, Relative, rfc3339


class Between(Predicate):
    """One value of the field lies between these, both included; None opens an end, not both."""

    op: Literal["between"] = "between"
    field: str
    low: Compared | None
    high: Compared | None


def build_between(analysis: Analysis, form: Form, arguments: Sequence[Form]) -> Between | WrongType:
    """From a field and two ends of one kind."""
    field = analysis.field(arguments[0])
    low, high = (
        None if end.value is None else ordered(analysis, end, "" if field is WRONG else field)
        for end in arguments[1:]
    )
    if field is WRONG or low is WRONG or high is WRONG:
        return WRONG
    if low is None and high is None:
        hint = f"write [:exists {field_text(field)}]"
        return analysis.wrong("bad-value", "both ends are open", form, hint)
    if low is not None and high is not None and not is_open(low) and not is_open(high):
        if kind_of(low) != kind_of(high):
            message = f"between {kind_of(low)} and {kind_of(high)}: they are never compared"
            return analysis.wrong("type-clash", message, form, "write two numbers, two strings or two times")
        if _is_empty(low, high):
            return analysis.wrong(
                "bad-value", "nothing lies between these: the low end is above the high", form, "swap them"
            )
    return Between(field=field, low=low, high=high)


def write_between(node: Between, _: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its field and its ends."""
    ends = (Form(None) if end is None else value_form(end) for end in (node.low, node.high))
    return [field_form(node.field), *ends]


def compile_between(node: Between, compiler: Compiler) -> Pair:
    """A range with both ends included."""
    low, high, index = node.low, node.high, compiler.index
    one = high if low is None else low
    if isinstance(one, str):
        return index.strings(node.field, low, high, True, True)  # type: ignore[arg-type]  # of one kind
    if not isinstance(one, Instant | Relative):
        return index.numbers(node.field, low, high, True, True)  # type: ignore[arg-type]
    if node.field != TIMESTAMP:
        return time_candidates(index, node.field)
    low_us, high_us = _microseconds(low, compiler.now_us), _microseconds(high, compiler.now_us)
    return index.instants(low_us, None if high_us is None else high_us + 1)


def evaluate_between(node: Between, evaluator: Evaluator) -> Matcher:
    """The same scalar is neither below the one end nor above the other."""
    one = node.high if node.low is None else node.low
    if isinstance(one, str):
        within = _within(node.low, node.high)
        return some_leaf(node.field, lambda leaf: type(leaf) is str and within(leaf))
    if not isinstance(one, Instant | Relative):
        within = _within(node.low, node.high)
        return some_leaf(node.field, lambda leaf: type(leaf) in NUMBERS and within(leaf))
    within = _within(_microseconds(node.low, evaluator.now_us), _microseconds(node.high, evaluator.now_us))
    if node.field == TIMESTAMP:
        return some_leaf(node.field, within)

    def test(leaf: Any) -> bool:
        found = rfc3339(leaf) if type(leaf) is str else None
        return found is not None and within(found)

    return some_leaf(node.field, test)


def _within(low: Any, high: Any) -> Test:
    if low is None:
        return lambda leaf: bool(leaf <= high)
    if high is None:
        return lambda leaf: bool(leaf >= low)
    return lambda leaf: bool(low <= leaf <= high)


def _microseconds(end: Value | None, now_us: int) -> int | None:
    return end.resolve(now_us) if isinstance(end, Instant | Relative) else None


def _is_empty(low: Any, high: Any) -> bool:
    if isinstance(low, Instant) and isinstance(high, Instant):
        return low.instant_us > high.instant_us
    if isinstance(low, Instant | Relative):
        return False  # it depends on when now is
    return bool(low > high)


BETWEEN = Operator(
    name="between",
    signature="[:between field low high]",
    summary="a value of the field lies in [low, high]; nil opens an end",
    example="[:between :http.status 500 599]",
    arguments=(3, 3),
    node=Between,
    build=build_between,
    write=write_between,
    compile=compile_between,
    evaluate=evaluate_between,
)
