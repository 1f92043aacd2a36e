"""`[:contains f "s"]`: one whole string of the field contains `s`, case kept."""

from typing import Literal

from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_text, needs_text, write_text
from dsl.record import Matcher, some_string


class Contains(TextPredicate):
    """One string of the field contains this text."""

    op: Literal["contains"] = "contains"


def compile_contains(node: Contains, compiler: Compiler) -> Pair:
    """What the index can narrow it to."""
    return compiler.index.substring(node.field, node.text)


def evaluate_contains(node: Contains, _: Evaluator) -> Matcher:
    """One string contains the text."""
    text = node.text
    return some_string(node.field, lambda found: text in found)


CONTAINS = Operator(
    name="contains",
    signature='[:contains field "text"]',
    summary="one whole string of the field contains the text, case kept",
    example='[:contains :message "HTTP/1.1"]',
    arguments=(2, 2),
    node=Contains,
    build=build_text(Contains),
    write=write_text,
    compile=compile_contains,
    evaluate=evaluate_contains,
    needs=needs_text,
)
