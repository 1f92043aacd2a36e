"""`[:glob f "/api/*/users"]`: one whole string of the field is like the glob, case kept."""

from collections.abc import Callable, Sequence
from typing import Literal

from dsl.analysis import WRONG, Analysis, WrongType
from dsl.forms import Form
from dsl.nodes import Predicate, is_open
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_text, needs_in, write_text
from dsl.patterns.glob import BadGlob, read_glob
from dsl.patterns.pieces import Needs
from dsl.patterns.regex import checked, searcher
from dsl.record import Matcher, some_string


class Glob(TextPredicate):
    """One whole string of the field is like this glob."""

    op: Literal["glob"] = "glob"


def build_glob(analysis: Analysis, form: Form, arguments: Sequence[Form]) -> Glob | WrongType:
    """From a field and a glob."""
    made = _build(analysis, form, arguments)
    if made is WRONG or is_open(made.text):
        return made
    try:
        glob = read_glob(made.text)
    except BadGlob as error:
        return analysis.wrong("bad-pattern", str(error), arguments[1], error.hint)
    fits = checked(analysis, glob.expression, arguments[1], what="the glob")
    return WRONG if fits is WRONG else made


def compile_glob(node: Glob, compiler: Compiler) -> Pair:
    """What the texts between its wildcards narrow it to."""
    glob = read_glob(node.text)
    return compiler.index.passing(node.field, searcher(glob.expression), glob.needs)


def evaluate_glob(node: Glob, _: Evaluator) -> Matcher:
    """One string is like the glob."""
    return some_string(node.field, searcher(read_glob(node.text).expression))


def needs_glob(node: Glob, _: Callable[[Predicate], Needs]) -> Needs:
    """The texts between its wildcards."""
    return needs_in(node.field, read_glob(node.text).needs)


_build = build_text(Glob)

GLOB = Operator(
    name="glob",
    signature='[:glob field "/api/*/users"]',
    summary="one whole string of the field is like the glob: `*` any run, `?` one character, `[a-z]` one of some",
    example='[:glob :http.path "/api/*/users"]',
    arguments=(2, 2),
    node=Glob,
    build=build_glob,
    write=write_text,
    compile=compile_glob,
    evaluate=evaluate_glob,
    needs=needs_glob,
)
