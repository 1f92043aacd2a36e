"""`[:phrase f "w1 w2"]`: one string of the field has the words in a row; with `w2*` the last may go on."""

from collections.abc import Sequence
from typing import Literal

from dsl.analysis import WRONG, Analysis, WrongType
from dsl.forms import Form
from dsl.nodes import is_open
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_text, has_words, some_string, write_text
from dsl.record import Matcher

PREFIX = "*"


class Phrase(TextPredicate):
    """One string of the field has these words in a row; a `*` at the end lets the last word go on."""

    op: Literal["phrase"] = "phrase"


def build_phrase(analysis: Analysis, form: Form, arguments: Sequence[Form]) -> Phrase | WrongType:
    """From a field and a text with words; its `*` follows a word at once."""
    made = _build(analysis, form, arguments)
    if made is WRONG or not has_words(analysis, made.text, arguments[1]):
        return WRONG
    if not is_open(made.text) and made.text.endswith(PREFIX) and not made.text[-2].isalnum():
        hint = "write the * right after the beginning of a word, or leave it out"
        return analysis.wrong("bad-value", "the * at the end follows no word", arguments[1], hint)
    return made


def compile_phrase(node: Phrase, compiler: Compiler) -> Pair:
    """The words in a row; a text whose words the index never keeps matches nothing."""
    words = compiler.index.analyse(node.text)
    if not words:
        return compiler.index.none()
    return compiler.index.phrase(node.field, words, prefix=node.text.endswith(PREFIX))


def evaluate_phrase(node: Phrase, evaluator: Evaluator) -> Matcher:
    """The words are in a row among those of one string."""
    analyse = evaluator.analyse
    words = analyse(node.text)
    if not words:
        return lambda _: False
    *before, last = words
    count = len(words)
    prefix = node.text.endswith(PREFIX)

    def test(text: str) -> bool:
        found = analyse(text)
        for end in range(count, len(found) + 1):
            word = found[end - 1]
            if (word == last or (prefix and word.startswith(last))) and found[
                end - count : end - 1
            ] == before:
                return True
        return False

    return some_string(node.field, test)


_build = build_text(Phrase)

PHRASE = Operator(
    name="phrase",
    signature='[:phrase field "words in a row"]',
    summary="one string of the field has the words in a row; the last may end in `*`",
    example='[:phrase :message "connection res*"]',
    arguments=(2, 2),
    node=Phrase,
    build=build_phrase,
    write=write_text,
    compile=compile_phrase,
    evaluate=evaluate_phrase,
)
