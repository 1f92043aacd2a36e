"""What the text operators share: a field, a text, and one string of the field that is tested."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from dsl.analysis import WRONG, Analysis, WrongType, described, field_form, tagged
from dsl.forms import Form
from dsl.nodes import Open, Predicate, is_open
from dsl.patterns.pieces import Needs, Piece
from dsl.record import NUMBER, STREAM, TIMESTAMP


class TextPredicate(Predicate):
    """A field and the text that one of its strings is held against; the field `*` is all of them."""

    field: str
    text: Open[str]


T = TypeVar("T", bound=TextPredicate)


def build_text(node: type[T]) -> Callable[[Analysis, Form, Sequence[Form]], T | WrongType]:
    """From a field and a text."""

    def build(analysis: Analysis, _: Form, arguments: Sequence[Form]) -> T | WrongType:
        field = analysis.field(arguments[0], every=True)
        text = analysis.text(arguments[1], "" if field is WRONG else field)
        return WRONG if field is WRONG or text is WRONG else node(field=field, text=text)

    return build


def build_tagged(node: type[T], tag: str) -> Callable[[Analysis, Form, Sequence[Form]], T | WrongType]:
    """From a field and a text that may stand behind a tag."""
    build = build_text(node)

    def build_untagged(analysis: Analysis, form: Form, arguments: Sequence[Form]) -> T | WrongType:
        field, text = arguments
        found = tagged(text)
        return build(analysis, form, [field, found[1] if found is not None and found[0] == tag else text])

    return build_untagged


def build_words(node: type[T]) -> Callable[[Analysis, Form, Sequence[Form]], T | WrongType]:
    """From a field and a text that has words."""
    build = build_text(node)

    def build_some(analysis: Analysis, form: Form, arguments: Sequence[Form]) -> T | WrongType:
        made = build(analysis, form, arguments)
        return made if made is WRONG or has_words(analysis, made.text, arguments[1]) else WRONG

    return build_some


def has_words(analysis: Analysis, text: str, form: Form) -> bool:
    """Whether a text has a word; a mistake noted where it has none."""
    if is_open(text) or any(map(str.isalnum, text)):
        return True
    hint = "a word is letters and digits; for signs use :contains"
    analysis.wrong("no-words", f"no word in {described(form)}", form, hint)
    return False


def needs_text(node: TextPredicate, _: Callable[[Predicate], Needs]) -> Needs:
    """The text itself."""
    return needs_in(node.field, ((Piece(node.text),),))


def needs_in(field: str, needs: Needs) -> Needs:
    """What a string of a field needs, where that is among what is stored as the record came."""
    return () if field in {TIMESTAMP, STREAM, NUMBER} else needs


def write_text(node: TextPredicate, _: Callable[[Predicate], Form]) -> Sequence[Form]:
    """To its field and its text."""
    return [field_form(node.field), Form(node.text)]
