"""From text to forms: the EDN of a query or of a log body, or a JSON query as the same tree, all with places.

The grammars define what is written how; here their pieces become values, and what is wrong becomes mistakes.
Reading costs time linear in the text, and no text can exhaust Python's stack: the parser keeps its own.
"""

# ruff: noqa: N802 - a method that makes a terminal's value is named as the terminal is in the grammar

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn

from lark import Lark, Token, UnexpectedToken

from dsl.errors import Mistake, QueryError, line_number, quoted
from dsl.forms import (
    Char,
    Form,
    Keyword,
    ListForm,
    MapForm,
    SetForm,
    Symbol,
    Tagged,
    VectorForm,
    identity,
)
from dsl.literals import (
    CONTROLS,
    EDN_ESCAPE,
    ESCAPE,
    EXPONENT_DIGITS_MAX,
    INFINITE,
    JSON_ESCAPE,
    NUMBER_DIGITS_MAX,
    TAG_CHECKS,
    character_named,
    large_number,
    long_number,
    span,
    string_mistakes,
    unescaped,
)
from grammar.load import load
from grammar.mistakes import EDN_WORDS, JSON_WORDS, Wrong

TEXT_CHARACTERS_MAX = 64 * 1024  # no question that a person asks is longer; a program's should be a parameter
DEPTH_MAX = 64  # nesting of forms; what walks a tree afterwards may recurse
MISTAKES_MAX = 32  # shown of one text: who makes more starts with the first ones


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much is read: so many characters, and forms nested so deep; tags and `#_` count."""

    text_characters_max: int = TEXT_CHARACTERS_MAX
    depth_max: int = DEPTH_MAX


DEFAULT = ReadLimits()


def read(text: str, *, limits: ReadLimits = DEFAULT) -> Form:
    """The one EDN form of a text.

    Raises:
        QueryError: all that is wrong with the text; that it holds no form (`empty`), or several
            (`more-than-one-form`).
    """
    return _only(_parse("edn", text, limits), text, "form")


def read_all(text: str, *, limits: ReadLimits = DEFAULT) -> tuple[Form, ...]:
    """Every EDN form of a text, in order: perhaps none.

    Raises:
        QueryError: all that is wrong with the text.
    """
    return tuple(_parse("edn", text, limits))


def read_json(text: str, *, limits: ReadLimits = DEFAULT) -> Form:
    """The one JSON value of a text as an EDN tree: objects are maps with string keys, arrays are vectors.

    Raises:
        QueryError: all that is wrong with the text; that it holds no value (`empty`), or several
            (`more-than-one-form`).
    """
    return _only(_parse("json", text, limits), text, "value")


def _only(forms: list[Form], text: str, noun: str) -> Form:
    if not forms:
        raise QueryError([Mistake("empty", f"the text holds no {noun}", 0, 0, f"write one {noun}")], text)
    if len(forms) > 1:
        second = forms[1]
        message = f"a second {noun} after the first"
        hint = "leave it out, or check the brackets before it"
        raise QueryError([Mistake("more-than-one-form", message, second.start, second.end, hint)], text)
    return forms[0]


def _parse(name: str, text: str, limits: ReadLimits) -> list[Form]:
    if len(text) > limits.text_characters_max:
        _fail_too_long(text, limits)
    builder, parser = _parser(name)
    builder.begin(text, limits)
    try:
        forms: list[Form] = parser.parse(text)  # type: ignore[assignment]  # the builder decides what a parse gives
    except UnexpectedToken as error:
        builder.mistakes.extend(builder.explain(error))
        forms = []
    if builder.mistakes:
        raise QueryError(builder.mistakes, text)
    return forms


def _fail_too_long(text: str, limits: ReadLimits) -> NoReturn:
    bound = limits.text_characters_max
    message = f"the text has {len(text)} characters, more than the {bound} that are read"
    hint = "ask in several questions"
    raise QueryError([Mistake("text-too-long", message, bound, len(text), hint)], text)


@cache
def _parser(name: str) -> "tuple[_Builder, Lark]":
    builder = _EdnBuilder() if name == "edn" else _JsonBuilder()
    return builder, load(name, builder)


_OPEN = {"LSQB": "]", "LPAR": ")", "LBRACE": "}", "LHASH": "}"}
_CLOSE = {"RSQB", "RPAR", "RBRACE"}


class _Bad(Symbol):
    """Stands where a mistake was, named by its place so that no two are equal; no reader's answer has one."""

    __slots__ = ()


class _Builder(threading.local):
    """Makes values of what the parser finds: a method for each rule and terminal that both grammars have.

    A parser is made once and serves every thread, so what belongs to one reading is kept for each thread.
    """

    words: tuple[Wrong, ...]

    def __init__(self) -> None:
        self.begin("", DEFAULT)

    def begin(self, text: str, limits: ReadLimits) -> None:
        """Forget the reading before."""
        self.text = text
        self.depth_max = limits.depth_max
        self.depth = 0
        self.mistakes: list[Mistake] = []

    def wrong(self, mistake: Mistake) -> None:
        """Keep a mistake and read on, to find the others; not for ever."""
        self.mistakes.append(mistake)
        if len(self.mistakes) >= MISTAKES_MAX:
            message = f"more than {MISTAKES_MAX} mistakes: what follows was not read"
            last = Mistake(
                "too-many-mistakes", message, mistake.end, mistake.end, "correct the first ones first"
            )
            raise QueryError([*self.mistakes, last], self.text)

    def bad(self, token: Token, mistakes: Iterator[Mistake]) -> Form:
        """A form that stands where a bad word was."""
        for mistake in mistakes:
            self.wrong(mistake)
        start, end = span(token)
        return Form(_Bad(f"{start}"), start, end)

    # Rules: each is given the list of its parts.

    def opened(self, parts: list[Token]) -> Token:
        """An opening bracket, a tag or a #_: one level deeper."""
        token = parts[0]
        self.depth += 1
        if self.depth > self.depth_max:
            message = f"forms are nested more than {self.depth_max} deep"
            mistake = Mistake(
                "too-deep", message, *span(token), "nest less deeply: [:and a [:and b c]] is [:and a b c]"
            )
            raise QueryError([*self.mistakes, mistake], self.text)
        return token

    def unique(self, forms: list[Form], code: str, noun: str) -> None:
        """Name the second of any two equal keys or members."""
        seen: set[object] = set()
        for form in forms:
            key = identity(form.value)
            if key in seen:
                message = f"the {noun} {quoted(self.text[form.start : form.end])} stands twice"
                self.wrong(Mistake(code, message, form.start, form.end, "leave one of them out"))
            seen.add(key)

    # Terminals: each is given its token.

    def TRUE(self, token: Token) -> Form:
        return Form(True, *span(token))

    def FALSE(self, token: Token) -> Form:
        return Form(False, *span(token))

    def INTEGER(self, token: Token) -> Form:
        if len(token) > NUMBER_DIGITS_MAX:
            return self.bad(token, long_number(token))
        return Form(int(token.removesuffix("N")), *span(token))

    def FLOAT(self, token: Token) -> Form:
        number = float(token)
        if number in INFINITE:
            return self.bad(token, large_number(token))
        return Form(number, *span(token))

    def STRING(self, token: Token) -> Form:
        text = token[1:-1]
        if "\\" in text:
            text = ESCAPE.sub(unescaped, text)
        return Form(text, *span(token))

    def BAD_STRING(self, token: Token) -> Form:
        return self.bad(token, self.string_mistakes(token))

    def UNCLOSED_STRING(self, token: Token) -> Form:
        start = span(token)[0]
        mistake = Mistake(
            "unclosed-string", "this string is never closed", start, start + 1, 'add a " where it ends'
        )
        return self.bad(token, iter([mistake]))

    def BAD_WORD(self, token: Token) -> Form:
        return self.bad(token, self.word_mistakes(token))

    # What is wrong, and how to say it.

    def word_mistakes(self, token: Token) -> Iterator[Mistake]:
        start, end = span(token)
        word = self.text[start : end + 1]
        wrong = next(wrong for wrong in self.words if wrong.pattern.match(word))
        yield Mistake(wrong.code, wrong.message.format(word=quoted(token)), start, end, wrong.hint)

    def string_mistakes(self, token: Token) -> Iterator[Mistake]:
        raise NotImplementedError

    def explain(self, error: UnexpectedToken) -> Iterator[Mistake]:
        """Why the parser stopped: which bracket, or which form that is not there."""
        if any(mistake.code == "unclosed-string" for mistake in self.mistakes):
            return  # it swallowed the brackets
        token: Token = error.token
        opened = [part for part in error.state.value_stack if isinstance(part, Token)]
        yield self.explain_token(token, opened, len(self.text))

    def explain_token(self, token: Token, opened: list[Token], length: int) -> Mistake:
        brackets = [part for part in opened if part.type in _OPEN]
        place = (length, length) if token.type == "$END" else span(token)
        if token.type == "$END" and brackets:
            closers = "".join(_OPEN[part.type] for part in reversed(brackets))
            inner = brackets[-1]
            rest = "" if len(closers) == 1 else f" (and {quoted(closers[1:])} for those around it)"
            return Mistake(
                "missing-bracket", f"this {inner} is never closed", *span(inner), f"add {closers[0]}{rest}"
            )
        if token.type in _CLOSE and not brackets:
            return Mistake(
                "stray-bracket", f"{token} closes nothing", *place, "leave it out, or open it before"
            )
        if token.type in _CLOSE and _OPEN[brackets[-1].type] != token:
            wanted = _OPEN[brackets[-1].type]
            lines = [line_number(self.text, offset) for offset in (span(brackets[-1])[0], place[0])]
            where = "" if lines[0] == lines[1] else f" of line {lines[0]}"
            message = f"{token} cannot close the {brackets[-1]}{where}"
            return Mistake(
                "mismatched-bracket", message, *place, f"write {wanted}, or add {wanted} before it"
            )
        return self.explain_rest(token, opened, place)

    def explain_rest(self, token: Token, opened: list[Token], place: tuple[int, int]) -> Mistake:
        raise NotImplementedError


class _EdnBuilder(_Builder):
    """What only EDN has."""

    words = EDN_WORDS

    def document(self, parts: list[list[Form]]) -> list[Form]:
        return parts[0]

    def no_items(self, _: list[Any]) -> list[Form]:
        return []

    def more_items(self, parts: list[Any]) -> list[Form]:
        items: list[Form] = parts[0]
        items.append(parts[1])
        return items

    def same_items(self, parts: list[Any]) -> list[Form]:
        items: list[Form] = parts[0]
        return items

    def list_form(self, parts: list[Any]) -> Form:
        self.depth -= 1
        return Form(ListForm(tuple(parts[1])), parts[0].start_pos, parts[2].end_pos)

    def vector_form(self, parts: list[Any]) -> Form:
        self.depth -= 1
        return Form(VectorForm(tuple(parts[1])), parts[0].start_pos, parts[2].end_pos)

    def set_form(self, parts: list[Any]) -> Form:
        self.depth -= 1
        items = parts[1]
        self.unique(items, "duplicate-member", "member")
        return Form(SetForm(tuple(items)), parts[0].start_pos, parts[2].end_pos)

    def map_form(self, parts: list[Any]) -> Form:
        self.depth -= 1
        items = parts[1]
        start, end = parts[0].start_pos, parts[2].end_pos
        if len(items) % 2 and not any(mistake.start >= start for mistake in self.mistakes):
            last = items[-1]
            message = f"the key {quoted(self.text[last.start : last.end])} has no value"
            hint = "a map is keys and values in turn"
            if isinstance(last.value, VectorForm):
                hint += "; several predicates are one value: [:and [:= …] [:> …]]"
            self.wrong(Mistake("map-needs-pairs", message, last.start, last.end, hint))
        self.unique(items[::2], "duplicate-key", "key")
        return Form(MapForm(tuple(zip(items[::2], items[1::2], strict=False))), start, end)

    def tagged_form(self, parts: list[Any]) -> Form:
        self.depth -= 1
        token, form = parts[0], parts[-1]
        tag = token[1:]
        if tag in TAG_CHECKS and not isinstance(form.value, _Bad):
            for mistake in TAG_CHECKS[tag](form):
                self.wrong(mistake)
        return Form(Tagged(tag, form), token.start_pos, form.end)

    def discard(self, _: list[Any]) -> None:
        self.depth -= 1

    def NIL(self, token: Token) -> Form:
        return Form(None, *span(token))

    def KEYWORD(self, token: Token) -> Form:
        return Form(Keyword(token[1:]), *span(token))

    def SYMBOL(self, token: Token) -> Form:
        return Form(Symbol(str(token)), *span(token))

    def DECIMAL(self, token: Token) -> Form:
        exponent = re.split("[eE][+-]?0*", token[:-1])[1:]
        if len(token) > NUMBER_DIGITS_MAX or (exponent and len(exponent[0]) > EXPONENT_DIGITS_MAX):
            return self.bad(token, large_number(token))
        return Form(Decimal(token[:-1]), *span(token))

    def CHARACTER(self, token: Token) -> Form:
        return Form(Char(character_named(token[1:])), *span(token))

    def BAD_CHARACTER(self, token: Token) -> Form:
        names = "\\newline \\return \\space \\tab \\formfeed \\backspace \\u0041"
        if len(token) == 1 or token[1:].isspace() or token[1] == ",":
            mistake = Mistake(
                "bad-character", "a backslash without a character", *span(token), f"write one of {names}"
            )
        else:
            message = f"no character {quoted(token)}"
            mistake = Mistake(
                "bad-character", message, *span(token), f"write one character, or one of {names}"
            )
        return self.bad(token, iter([mistake]))

    def string_mistakes(self, token: Token) -> Iterator[Mistake]:
        return string_mistakes(token, EDN_ESCAPE, 'write one of \\t \\r \\n \\\\ \\" \\b \\f \\u0041', "")

    def explain_rest(self, token: Token, opened: list[Token], place: tuple[int, int]) -> Mistake:
        assert opened, token
        prefix = opened[-1]
        if prefix.type == "DISCARD":
            hint = "#_ leaves out the form after it: write one, or leave out the #_"
            return Mistake("discard-without-form", "#_ with no form after it", *span(prefix), hint)
        assert prefix.type == "TAG", (prefix, place)
        return Mistake(
            "tag-without-value", f"no value after the tag {quoted(prefix)}", *span(prefix), "add its value"
        )


class _JsonBuilder(_Builder):
    """What only JSON has."""

    words = JSON_WORDS

    def document(self, parts: list[Form]) -> list[Form]:
        return parts

    def no_values(self, parts: list[Any]) -> list[Any]:
        return parts

    def more_values(self, parts: list[Any]) -> list[Any]:
        values: list[Any] = parts[0]
        values.append(parts[2])
        return values

    def member(self, parts: list[Any]) -> tuple[Form, Form]:
        return parts[0], parts[2]

    def array_form(self, parts: list[Any]) -> Form:
        self.depth -= 1
        return Form(VectorForm(tuple(parts[1] or ())), parts[0].start_pos, parts[2].end_pos)

    def object_form(self, parts: list[Any]) -> Form:
        self.depth -= 1
        pairs = parts[1] or []
        self.unique([key for key, _ in pairs], "duplicate-key", "key")
        return Form(MapForm(tuple(pairs)), parts[0].start_pos, parts[2].end_pos)

    def NULL(self, token: Token) -> Form:
        return Form(None, *span(token))

    def string_mistakes(self, token: Token) -> Iterator[Mistake]:
        hint = 'write one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\u0041'
        return string_mistakes(token, JSON_ESCAPE, hint, CONTROLS)

    def explain_rest(self, token: Token, opened: list[Token], place: tuple[int, int]) -> Mistake:
        what = "the end of the text" if token.type == "$END" else quoted(token)
        before = opened[-1].type if opened else ""
        if before == "COMMA" and token.type in _CLOSE:
            return Mistake("bad-json", f"a comma before {what}", *span(opened[-1]), "leave out the comma")
        brackets = [part.type for part in opened if part.type in _OPEN]
        inside = brackets[-1] if brackets else ""
        hint = {"LBRACE": _OBJECT_HINT, "LSQB": "an array is values with commas between: [1, 2]"}.get(
            inside, _VALUE_HINT
        )
        return Mistake("bad-json", f"{what} cannot stand here", *place, hint)


_OBJECT_HINT = 'an object is "name": value, with commas between'
_VALUE_HINT = "a JSON text is one value: an object, an array, a string, a number, true, false or null"
