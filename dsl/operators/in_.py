"""`[:in f #{v…}]`: a value of the field equals one of these."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from dsl.analysis import WRONG, Analysis, Value, WrongType, described, field_form, field_text, items_of
from dsl.forms import Form, SetForm
from dsl.nodes import Open, Param, Predicate
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.comparing import Compared, equal_test, time_candidates, value_form
from dsl.operators.pairs import disjunction
from dsl.record import TIMESTAMP, Matcher, Test, some_leaf
from dsl.time import Instant, Relative


class In(Predicate):
    """A value of the field equals one of these: booleans, numbers, strings, times, each kind in its order."""

    op: Literal["in"] = "in"
    field: str
    values: Open[tuple[Compared, ...]]


def build_in(analysis: Analysis, _: Form, arguments: Sequence[Form]) -> In | WrongType:
    """From a field and a set or vector of values."""
    field = analysis.field(arguments[0])
    if (param := analysis.param(arguments[1], "values")) is not None:
        return WRONG if field is WRONG or param is WRONG else In(field=field, values=param)
    items = items_of(arguments[1])
    if items is None:
        shown = ":field" if field is WRONG else field_text(field)
        hint = f"write [:in {shown} #{{…}}], or := for one value"
        return analysis.wrong(
            "bad-value", f"{described(arguments[1])} is neither a set nor a vector", arguments[1], hint
        )
    if len(items) > analysis.limits.values_max:
        message = f"{len(items)} values, more than {analysis.limits.values_max}"
        hint = "name what they have in common, or ask in several queries"
        return analysis.wrong("too-many-values", message, arguments[1], hint)
    name = "" if field is WRONG else field
    values = [
        analysis.value(item, name, missing="[:or [:in {field} #{{…}}] [:missing {field}]]") for item in items
    ]
    right = [value for value in values if value is not WRONG]
    if field is WRONG or len(right) < len(values):
        return WRONG
    return In(field=field, values=canonical(right))


def canonical(values: Sequence[Value]) -> tuple[Value, ...]:
    """The values in their one order, each once: 1 stands for 1.0 as well."""
    kept: dict[tuple[int, Any], Value] = {}
    for value in values:
        place = _place(value)
        if place not in kept or isinstance(value, int):
            kept[place] = value
    return tuple(kept[place] for place in sorted(kept))


def write_in(node: In, _: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its field and a set."""
    if isinstance(node.values, Param):
        return [field_form(node.field), Form(node.values)]
    return [field_form(node.field), Form(SetForm(tuple(map(value_form, node.values))))]


def compile_in(node: In, compiler: Compiler) -> Pair:
    """All plain values at once; times one by one."""
    index = compiler.index
    plain = [value for value in node.values if not isinstance(value, Instant | Relative)]
    times = [value.resolve(compiler.now_us) for value in node.values if isinstance(value, Instant | Relative)]
    pairs = [index.any_of(node.field, plain)] if plain else []
    if node.field == TIMESTAMP:
        pairs.extend(index.instants(us, us + 1) for us in times)
    elif times:
        pairs.append(time_candidates(index, node.field))
    return disjunction(pairs, index)


def evaluate_in(node: In, evaluator: Evaluator) -> Matcher:
    """One scalar of the field is among the values."""
    strings = frozenset(value for value in node.values if isinstance(value, str))
    others = [
        equal_test(value, node.field, evaluator.now_us) for value in node.values if not isinstance(value, str)
    ]
    if not others:
        return some_leaf(node.field, lambda leaf: type(leaf) is str and leaf in strings)
    numbers = frozenset(value for value in node.values if type(value) in {int, float})
    if len(numbers) == len(node.values):
        return some_leaf(node.field, lambda leaf: type(leaf) in {int, float} and leaf in numbers)
    return some_leaf(node.field, _some(strings, others))


def _some(strings: frozenset[str], tests: Sequence[Test]) -> Test:
    def test(leaf: Any) -> bool:
        return (type(leaf) is str and leaf in strings) or any(test(leaf) for test in tests)

    return test


def _place(value: Value) -> tuple[int, Any]:
    """Where a value stands in the order of all values."""
    if isinstance(value, bool):
        return 0, value
    if isinstance(value, int | float):
        return 1, value
    if isinstance(value, str):
        return 2, value
    if isinstance(value, Instant):
        return 3, value.instant_us
    return (4, value.text()) if isinstance(value, Relative) else (5, str(value))  # a parameter


IN = Operator(
    name="in",
    signature="[:in field #{value…}]",
    summary="a value of the field equals one of these, in a set or a vector",
    example='[:in :level #{"error" "warn"}]',
    arguments=(2, 2),
    node=In,
    build=build_in,
    write=write_in,
    compile=compile_in,
    evaluate=evaluate_in,
)
