"""`[:match f "w1 w2"]`: one string of the field has all the words, as analysed, anywhere."""

from typing import Literal

from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_words, write_text
from dsl.record import Matcher, some_string


class Match(TextPredicate):
    """One string of the field has all these words."""

    op: Literal["match"] = "match"


def compile_match(node: Match, compiler: Compiler) -> Pair:
    """All the words; a text whose words the index never keeps matches nothing."""
    words = compiler.index.analyse(node.text)
    return compiler.index.words(node.field, words, every=True) if words else compiler.index.none()


def evaluate_match(node: Match, evaluator: Evaluator) -> Matcher:
    """The words are among those of one string."""
    analyse = evaluator.analyse
    words = frozenset(analyse(node.text))
    if not words:
        return lambda _: False
    return some_string(node.field, lambda text: words.issubset(analyse(text)))


MATCH = Operator(
    name="match",
    signature='[:match field "words"]',
    summary="one string of the field has all the words, in any order and case",
    example='[:match :message "timeout upstream"]',
    arguments=(2, 2),
    node=Match,
    build=build_words(Match),
    write=write_text,
    compile=compile_match,
    evaluate=evaluate_match,
)
