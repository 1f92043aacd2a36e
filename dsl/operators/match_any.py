"""`[:match-any f "w1 w2"]`: one string of the field has one of the words, as analysed."""

from typing import Literal

from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_words, write_text
from dsl.record import Matcher, some_string


class MatchAny(TextPredicate):
    """One string of the field has one of these words."""

    op: Literal["match-any"] = "match-any"


def compile_match_any(node: MatchAny, compiler: Compiler) -> Pair:
    """Any of the words; a text whose words the index never keeps matches nothing."""
    words = compiler.index.analyse(node.text)
    return compiler.index.words(node.field, words, every=False) if words else compiler.index.none()


def evaluate_match_any(node: MatchAny, evaluator: Evaluator) -> Matcher:
    """One of the words is among those of one string."""
    analyse = evaluator.analyse
    words = frozenset(analyse(node.text))
    return some_string(node.field, lambda text: not words.isdisjoint(analyse(text)))


MATCH_ANY = Operator(
    name="match-any",
    signature='[:match-any field "words"]',
    summary="one string of the field has one of the words, in any case",
    example='[:match-any :message "timeout refused reset"]',
    arguments=(2, 2),
    node=MatchAny,
    build=build_words(MatchAny),
    write=write_text,
    compile=compile_match_any,
    evaluate=evaluate_match_any,
)
