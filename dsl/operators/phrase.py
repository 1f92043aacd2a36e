"""`[:phrase f "w1 w2"]`: one string of the field has the words in a row; with `w2*` the last may go on.

With `{:slop 2}` they need not be quite in a row. Each word of the phrase stands somewhere in the text, each elsewhere;
how far it is shifted is its position there less its position in the phrase. The slop is how much two shifts may differ:
for `connection reset` in `connection was reset` they differ by 1, for two neighbours swapped by 2.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from dsl.analysis import WRONG, Analysis, WrongType
from dsl.forms import Form
from dsl.nodes import Open, Predicate, is_open
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_text, has_words, write_text
from dsl.options import WholeNumber
from dsl.patterns.scattered import is_scattered
from dsl.record import Matcher, some_string

PREFIX = "*"
SLOP_MAX = 100  # words: farther apart they have nothing to do with one another
_OPTION = WholeNumber("phrase", "slop", default=0, least=0, most=SLOP_MAX)


class Phrase(TextPredicate):
    """One string of the field has these words in a row; a `*` at the end lets the last word go on."""

    op: Literal["phrase"] = "phrase"
    slop: Open[Annotated[int, Field(ge=0, le=SLOP_MAX)]] = 0


def build_phrase(analysis: Analysis, form: Form, arguments: Sequence[Form]) -> Phrase | WrongType:
    """From a field and a text with words; its `*` follows a word at once."""
    made = _build(analysis, form, arguments)
    slop = _OPTION.read(analysis, arguments[2:])
    if made is WRONG or not has_words(analysis, made.text, arguments[1]) or slop is WRONG:
        return WRONG
    if not is_open(made.text) and made.text.endswith(PREFIX) and not made.text[-2].isalnum():
        hint = "write the * right after the beginning of a word, or leave it out"
        return analysis.wrong("bad-value", "the * at the end follows no word", arguments[1], hint)
    return Phrase(field=made.field, text=made.text, slop=slop)


def write_phrase(node: Phrase, write: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its field and its text, and its slop where it has some."""
    return [*write_text(node, write), *_OPTION.write(node.slop)]


def compile_phrase(node: Phrase, compiler: Compiler) -> Pair:
    """The words in a row; a text whose words the index never keeps matches nothing."""
    index, prefix = compiler.index, node.text.endswith(PREFIX)
    words = index.analyse(node.text)
    if not words:
        return index.none()
    if not node.slop or len(words) == 1:
        return index.phrase(node.field, words, prefix=prefix)
    return index.scattered(node.field, words, _test(index.analyse, words, node), prefix=prefix)


def evaluate_phrase(node: Phrase, evaluator: Evaluator) -> Matcher:
    """The words are in a row among those of one string."""
    words = evaluator.analyse(node.text)
    if not words:
        return lambda _: False
    return some_string(node.field, _test(evaluator.analyse, words, node))


def _test(analyse: Callable[[str], list[str]], words: list[str], node: Phrase) -> Callable[[str], bool]:
    prefix = node.text.endswith(PREFIX)
    if node.slop and len(words) > 1:
        return lambda text: is_scattered(words, analyse(text), node.slop, prefix=prefix)
    *before, last = words
    count = len(words)

    def test(text: str) -> bool:
        found = analyse(text)
        for end in range(count, len(found) + 1):
            word = found[end - 1]
            if (word == last or (prefix and word.startswith(last))) and found[
                end - count : end - 1
            ] == before:
                return True
        return False

    return test


_build = build_text(Phrase)

PHRASE = Operator(
    name="phrase",
    signature='[:phrase field "words in a row" {:slop 0}]',
    summary="one string of the field has the words in a row, or nearly with `:slop`; the last may end in `*`",
    example='[:phrase :message "connection res*"]',
    arguments=(2, 3),
    node=Phrase,
    build=build_phrase,
    write=write_phrase,
    compile=compile_phrase,
    evaluate=evaluate_phrase,
)
