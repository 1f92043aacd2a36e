"""`[:fuzzy f "word" {:distance 2}]`: one string of the field has a word that is so many edits from this one at most."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Annotated, Literal

from pydantic import Field

from dsl.analysis import WRONG, Analysis, WrongType
from dsl.distance import is_near
from dsl.forms import Form
from dsl.nodes import Open, Predicate
from dsl.operators.base import Compiler, Evaluator, Operator, Pair
from dsl.operators.texts import TextPredicate, build_words, write_text
from dsl.options import WholeNumber
from dsl.record import Matcher, some_string

DISTANCE_MAX = 2  # edits: the index follows no more, and three make another word of most
WORDS_KEPT = 65_536  # words whose likeness is remembered: the same ones come again and again
_DISTANCE = 1
_OPTION = WholeNumber("fuzzy", "distance", default=_DISTANCE, least=1, most=DISTANCE_MAX)


class Fuzzy(TextPredicate):
    """One string of the field has, for each word of the text, one within so many edits."""

    op: Literal["fuzzy"] = "fuzzy"
    distance: Open[Annotated[int, Field(ge=1, le=DISTANCE_MAX)]] = _DISTANCE


def build_fuzzy(analysis: Analysis, form: Form, arguments: Sequence[Form]) -> Fuzzy | WrongType:
    """From a field, a text with words, and perhaps a distance."""
    made = _build(analysis, form, arguments)
    distance = _OPTION.read(analysis, arguments[2:])
    if made is WRONG or distance is WRONG:
        return WRONG
    return Fuzzy(field=made.field, text=made.text, distance=distance)


def write_fuzzy(node: Fuzzy, write: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its field and its text, and its distance where it is not the usual one."""
    return [*write_text(node, write), *_OPTION.write(node.distance)]


def compile_fuzzy(node: Fuzzy, compiler: Compiler) -> Pair:
    """Words like these; a text whose words the index never keeps matches nothing."""
    index = compiler.index
    words = index.analyse(node.text)
    if not words:
        return index.none()
    return index.near(node.field, words, node.distance, _test(index.analyse, words, node.distance))


def evaluate_fuzzy(node: Fuzzy, evaluator: Evaluator) -> Matcher:
    """Each word has one like it among those of one string."""
    words = evaluator.analyse(node.text)
    if not words:
        return lambda _: False
    return some_string(node.field, _test(evaluator.analyse, words, node.distance))


def _test(analyse: Callable[[str], list[str]], words: Sequence[str], distance: int) -> Callable[[str], bool]:
    near = [lru_cache(WORDS_KEPT)(partial(is_near, word, most=distance)) for word in words]

    def test(text: str) -> bool:
        found = analyse(text)
        return all(any(map(is_like, found)) for is_like in near)

    return test


_build = build_words(Fuzzy)

FUZZY = Operator(
    name="fuzzy",
    signature='[:fuzzy field "word" {:distance 1}]',
    summary="one string of the field has a word within one edit of this one, or within `:distance` 2",
    example='[:fuzzy :message "conection" {:distance 2}]',
    arguments=(2, 3),
    node=Fuzzy,
    build=build_fuzzy,
    write=write_fuzzy,
    compile=compile_fuzzy,
    evaluate=evaluate_fuzzy,
)
