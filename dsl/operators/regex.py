r"""`[:regex f "^GET .* 5\\d\\d$"]`: the regular expression is found in one whole string of the field, case kept."""

from collections.abc import Callable, Sequence
from typing import Literal

from dsl.analysis import WRONG, Analysis, WrongType
from dsl.forms import Form
from dsl.nodes import Predicate, is_open
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_tagged, needs_in, write_text
from dsl.patterns.pieces import Needs
from dsl.patterns.regex import checked, searcher
from dsl.patterns.required import required
from dsl.record import Matcher, some_string


class Regex(TextPredicate):
    """The expression is found in one string of the field."""

    op: Literal["regex"] = "regex"


def build_regex(analysis: Analysis, form: Form, arguments: Sequence[Form]) -> Regex | WrongType:
    """From a field and an expression, a text or `#log/re`."""
    made = _build(analysis, form, arguments)
    if made is WRONG or is_open(made.text):
        return made
    return WRONG if checked(analysis, made.text, arguments[1]) is WRONG else made


def compile_regex(node: Regex, compiler: Compiler) -> Pair:
    """What the texts that it requires narrow it to."""
    return compiler.index.passing(node.field, searcher(node.text), required(node.text))


def evaluate_regex(node: Regex, _: Evaluator) -> Matcher:
    """The expression is found in one string."""
    return some_string(node.field, searcher(node.text))


def needs_regex(node: Regex, _: Callable[[Predicate], Needs]) -> Needs:
    """The texts that it requires."""
    return needs_in(node.field, required(node.text))


_build = build_tagged(Regex, "log/re")

REGEX = Operator(
    name="regex",
    signature='[:regex field "expression"]',
    summary="the regular expression (RE2) is found in one string of the field; `^` and `$` are its ends",
    example='[:regex :message "^GET .* 5\\\\d\\\\d$"]',
    arguments=(2, 2),
    node=Regex,
    build=build_regex,
    write=write_text,
    compile=compile_regex,
    evaluate=evaluate_regex,
    needs=needs_regex,
)
