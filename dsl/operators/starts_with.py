"""`[:starts-with f "s"]`: one whole string of the field begins with `s`, case kept."""

from typing import Literal

from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_text, needs_text, write_text
from dsl.record import Matcher, some_string


class StartsWith(TextPredicate):
    """One string of the field begins with this text."""

    op: Literal["starts-with"] = "starts-with"


def compile_starts_with(node: StartsWith, compiler: Compiler) -> Pair:
    """What the index can narrow it to."""
    return compiler.index.starts_with(node.field, node.text)


def evaluate_starts_with(node: StartsWith, _: Evaluator) -> Matcher:
    """One string begins with the text."""
    text = node.text
    return some_string(node.field, lambda found: found.startswith(text))


STARTS_WITH = Operator(
    name="starts-with",
    signature='[:starts-with field "text"]',
    summary="one whole string of the field begins with the text, case kept",
    example='[:starts-with :http.path "/api/"]',
    arguments=(2, 2),
    node=StartsWith,
    build=build_text(StartsWith),
    write=write_text,
    compile=compile_starts_with,
    evaluate=evaluate_starts_with,
    needs=needs_text,
)
