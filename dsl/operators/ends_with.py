"""`[:ends-with f "s"]`: one whole string of the field ends with `s`, case kept."""

from typing import Literal

from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_text, needs_text, write_text
from dsl.record import Matcher, some_string


class EndsWith(TextPredicate):
    """One string of the field ends with this text."""

    op: Literal["ends-with"] = "ends-with"


def compile_ends_with(node: EndsWith, compiler: Compiler) -> Pair:
    """What the index can narrow it to."""
    return compiler.index.ends_with(node.field, node.text)


def evaluate_ends_with(node: EndsWith, _: Evaluator) -> Matcher:
    """One string ends with the text."""
    text = node.text
    return some_string(node.field, lambda found: found.endswith(text))


ENDS_WITH = Operator(
    name="ends-with",
    signature='[:ends-with field "text"]',
    summary="one whole string of the field ends with the text, case kept",
    example='[:ends-with :http.path ".php"]',
    arguments=(2, 2),
    node=EndsWith,
    build=build_text(EndsWith),
    write=write_text,
    compile=compile_ends_with,
    evaluate=evaluate_ends_with,
    needs=needs_text,
)
