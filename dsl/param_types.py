"""The types of parameters, `:string`, `[:set :duration]`, `[:enum "a" "b"]`: what a value must be, and its literal.

One line each in TYPES. A value comes as a form (of EDN or JSON) or as a text (of a URL or a command line), and becomes
the literal that stands in the query.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import ip_network
from typing import Any, Final, TypeAlias

from dsl.analysis import INTEGER_MAX, INTEGER_MIN, described, items_of, name_of, tagged
from dsl.forms import Char, Form, Keyword, SetForm, Tagged, VectorForm, print_form
from dsl.nodes import Place
from dsl.time import BadTime, Instant, format_duration, parse_duration, parse_moment

SET_SIZE_MAX = 1024  # as many as :in takes written out
_KEYWORD = re.compile(r"[A-Za-z_*][A-Za-z0-9_.*+!?<>=/-]{0,255}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?")
_DURATION_PATTERN = "^([0-9]+(ms|s|m|h|d|w))+$"


class BadValueOfType(ValueError):
    """A value that is none of a type.

    Attributes:
        hint: a way out.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A type of single values.

    Attributes:
        name: without the colon.
        summary: what its values are.
        places: where in a query they may stand.
        literal: from a form to the literal that stands in the query, None where it is no such value.
        from_text: from a text to the form that it stands for; a text that stands for none is itself.
        samples: literals that are tried where there is no default.
        schema: of its values in JSON.
        hint: how to write one.
        rank: what `:min` and `:max` compare, None where they are not for it. It is given a literal, and now.
    """

    name: str
    summary: str
    places: frozenset[Place]
    literal: Callable[[Form], Form | None]
    from_text: Callable[[str], Form] = Form
    samples: tuple[Form, ...]
    schema: dict[str, Any]
    hint: str
    rank: Callable[[Form, int], float] | None = None

    def form(self) -> Form:
        """As it is written."""
        return Form(Keyword(self.name))

    def take(self, form: Form) -> Form:
        """The literal of a value.

        Raises:
            BadValueOfType: it is none.
        """
        made = self.literal(form)
        if made is None:
            raise BadValueOfType(f"{described(form)} is no {self.name}", self.hint)
        return made

    def read_texts(self, texts: list[str]) -> Form:
        """The form that a text stands for.

        Raises:
            BadValueOfType: there are several.
        """
        if len(texts) > 1:
            raise BadValueOfType(f"{len(texts)} values for one", "give it once")
        return self.from_text(texts[0])

    def scalars(self, literal: Form) -> tuple[Form, ...]:
        """The single values in a value."""
        return (literal,)


@dataclass(frozen=True, slots=True)
class SetOf:
    """A type whose values are sets of those of another."""

    item: "Scalar | Enum"

    @property
    def places(self) -> frozenset[Place]:
        """In :in, and where streams are named."""
        found: set[Place] = {"values"} if "value" in self.item.places else set()
        return frozenset(found | (self.item.places & {"streams"}))

    @property
    def samples(self) -> tuple[Form, ...]:
        """All the samples of its items at once."""
        return (_set(self.item.samples),)

    @property
    def schema(self) -> dict[str, Any]:
        """An array."""
        return {"type": "array", "items": self.item.schema, "uniqueItems": True, "maxItems": SET_SIZE_MAX}

    @property
    def rank(self) -> Callable[[Form, int], float] | None:
        """Bounds hold for each of them."""
        return self.item.rank

    def form(self) -> Form:
        """As it is written."""
        return Form(VectorForm((Form(Keyword("set")), self.item.form())))

    def take(self, form: Form) -> Form:
        """The literal of a set, from a set or a vector.

        Raises:
            BadValueOfType: it is none, or too large.
        """
        items = items_of(form)
        if items is None:
            raise BadValueOfType(f"{described(form)} is no set", 'write #{"a" "b"}, in JSON ["a", "b"]')
        if len(items) > SET_SIZE_MAX:
            raise BadValueOfType(f"a set of {len(items)} values, more than {SET_SIZE_MAX}", "ask for fewer")
        return _set(tuple(map(self.item.take, items)))

    def read_texts(self, texts: list[str]) -> Form:
        """The set that texts stand for: each is one value, or several with commas between them."""
        pieces = [piece for text in texts for piece in text.split(",") if piece]
        return Form(SetForm(tuple(self.item.read_texts([piece]) for piece in pieces)))

    def scalars(self, literal: Form) -> tuple[Form, ...]:
        """The single values in a value."""
        return items_of(literal) or ()


@dataclass(frozen=True, slots=True)
class Enum:
    """A type of some values that are written out."""

    members: tuple[Form, ...]

    @property
    def places(self) -> frozenset[Place]:
        """Anywhere: each of them is tried where it would stand."""
        return _ANYWHERE

    @property
    def samples(self) -> tuple[Form, ...]:
        """All of them."""
        return self.members

    @property
    def schema(self) -> dict[str, Any]:
        """What they are."""
        return {"enum": [member.value for member in self.members]}

    @property
    def rank(self) -> None:
        """They need no bounds."""

    def form(self) -> Form:
        """As it is written."""
        return Form(VectorForm((Form(Keyword("enum")), *self.members)))

    def take(self, form: Form) -> Form:
        """The member that is equal to a form; a keyword stands for its name.

        Raises:
            BadValueOfType: none is.
        """
        wanted = Form(name_of(form)) if name_of(form) is not None else form
        for member in self.members:
            if member == wanted:
                return member
        shown = ", ".join(map(print_form, self.members))
        raise BadValueOfType(f"{described(form)} is none of the values that may be", f"give one of {shown}")

    def read_texts(self, texts: list[str]) -> Form:
        """The member that is written like a text.

        Raises:
            BadValueOfType: there are several texts.
        """
        if len(texts) > 1:
            raise BadValueOfType(f"{len(texts)} values for one", "give it once")
        written = {_written(member): member for member in self.members}
        return written.get(texts[0], Form(texts[0]))

    def scalars(self, literal: Form) -> tuple[Form, ...]:
        """The single values in a value."""
        return (literal,)


ParamType: TypeAlias = Scalar | SetOf | Enum

_ANYWHERE: frozenset[Place] = frozenset(
    ("value", "text", "moment", "duration", "number", "count", "flag", "streams")
)


def _set(literals: tuple[Form, ...]) -> Form:
    """A set of literals, each once."""
    return Form(SetForm(tuple(dict.fromkeys(literals))))


def _written(member: Form) -> str:
    return member.value if isinstance(member.value, str) else print_form(member)


def _string(form: Form) -> Form | None:
    value = form.value
    return Form(value.value) if isinstance(value, Char) else form if isinstance(value, str) else None


def _integer(form: Form) -> Form | None:
    value = form.value
    whole = isinstance(value, int) and not isinstance(value, bool) and INTEGER_MIN <= value <= INTEGER_MAX
    return form if whole else None


def _number(form: Form) -> Form | None:
    value = form.value
    if isinstance(value, Decimal | float):
        return Form(float(value)) if math.isfinite(value) else None
    return _integer(form)


def _boolean(form: Form) -> Form | None:
    return form if isinstance(form.value, bool) else None


def _instant(form: Form) -> Form | None:
    """A time as an #inst; one relative to now too, which only binding takes."""
    tag = tagged(form)
    value = tag[1].value if tag is not None and tag[0] == "inst" else form.value
    if not isinstance(value, str):
        return None
    try:
        moment = parse_moment(value)
    except BadTime as error:
        raise BadValueOfType(error.message, error.hint) from error
    if tag is not None and not isinstance(moment, Instant):
        return None
    return Form(Tagged("inst", Form(moment.text())))


def _instant_rank(literal: Form, now_us: int) -> float:
    assert isinstance(literal.value, Tagged)
    assert isinstance(literal.value.form.value, str)
    return parse_moment(literal.value.form.value).resolve(now_us)


def _duration(form: Form) -> Form | None:
    tag = tagged(form)
    value = tag[1].value if tag is not None and tag[0] == "log/duration" else form.value
    if isinstance(value, Keyword):
        value = value.name
    if not isinstance(value, str):
        return None
    try:
        us = parse_duration(value)
    except BadTime as error:
        raise BadValueOfType(error.message, error.hint) from error
    return Form(Tagged("log/duration", Form(format_duration(us))))


def _duration_rank(literal: Form, _: int) -> float:
    assert isinstance(literal.value, Tagged)
    assert isinstance(literal.value.form.value, str)
    return parse_duration(literal.value.form.value)


def _number_rank(literal: Form, _: int) -> float:
    assert isinstance(literal.value, int | float)
    return literal.value


def _keyword(form: Form) -> Form | None:
    name = name_of(form)
    if name is not None and isinstance(form.value, str):
        name = name.removeprefix(":")  # as it is written in EDN, in JSON and in URLs
    return Form(name) if name is not None and _KEYWORD.fullmatch(name) else None


def _ip(form: Form) -> Form | None:
    value = form.value
    tag = tagged(form)
    if tag is not None and tag[0] == "log/ip":
        value = tag[1].value
    if not isinstance(value, str):
        return None
    try:
        ip_network(value, strict=False)
    except ValueError:
        return None
    return Form(value)


def _regex(form: Form) -> Form | None:
    tag = tagged(form)
    value = tag[1].value if tag is not None and tag[0] == "log/re" else form.value
    return Form(Tagged("log/re", Form(value))) if isinstance(value, str) else None


def _text_integer(text: str) -> Form:
    return Form(int(text) if _INTEGER.fullmatch(text) else text)


def _text_number(text: str) -> Form:
    if _INTEGER.fullmatch(text):
        return Form(int(text))
    return Form(float(text) if _NUMBER.fullmatch(text) else text)


def _text_boolean(text: str) -> Form:
    return Form({"true": True, "false": False}.get(text, text))


_ALL = (
    Scalar(
        name="string",
        summary="any text",
        places=frozenset(("value", "text", "streams")),
        literal=_string,
        samples=(Form("a"),),
        schema={"type": "string"},
        hint='write it in quotes: "auth"',
    ),
    Scalar(
        name="integer",
        summary="a whole number of 64 bits",
        places=frozenset(("value", "number", "count")),
        literal=_integer,
        from_text=_text_integer,
        samples=(Form(10),),
        schema={"type": "integer"},
        hint="write a whole number, such as 500",
        rank=_number_rank,
    ),
    Scalar(
        name="number",
        summary="a number, whole or not",
        places=frozenset(("value", "number")),
        literal=_number,
        from_text=_text_number,
        samples=(Form(10.5),),
        schema={"type": "number"},
        hint="write a number, such as 0.5",
        rank=_number_rank,
    ),
    Scalar(
        name="boolean",
        summary="`true` or `false`",
        places=frozenset(("value", "flag")),
        literal=_boolean,
        from_text=_text_boolean,
        samples=(Form(value=True), Form(value=False)),
        schema={"type": "boolean"},
        hint="write true or false",
    ),
    Scalar(
        name="instant",
        summary="a point in time: `#inst`, RFC 3339, or relative as in `now-1d/d`",
        places=frozenset(("value", "moment")),
        literal=_instant,
        samples=(Form(Tagged("inst", Form("2026-01-02T03:04:05Z"))),),
        schema={"type": "string", "examples": ["2026-01-02T03:04:05Z", "now-15m"]},
        hint='write "2026-01-02T03:04:05Z" or "now-15m"',
        rank=_instant_rank,
    ),
    Scalar(
        name="duration",
        summary="a stretch of time: `15m`, `1h30m`",
        places=frozenset(("duration",)),
        literal=_duration,
        samples=(Form(Tagged("log/duration", Form("1h"))),),
        schema={"type": "string", "pattern": _DURATION_PATTERN, "examples": ["15m"]},
        hint='write it with its unit: "15m"',
        rank=_duration_rank,
    ),
    Scalar(
        name="keyword",
        summary="a name without blanks: `:error` or `error`",
        places=frozenset(("value", "text", "streams")),
        literal=_keyword,
        samples=(Form("a"),),
        schema={"type": "string", "pattern": f"^:?{_KEYWORD.pattern}$"},
        hint="write a name without blanks, such as :error",
    ),
    Scalar(
        name="ip",
        summary="an IPv4 or IPv6 address, or a block of them",
        places=frozenset(("value", "text")),
        literal=_ip,
        samples=(Form("10.0.0.0/8"),),
        schema={"type": "string", "examples": ["10.1.2.3", "10.0.0.0/8", "2001:db8::1"]},
        hint='write "10.1.2.3", "10.0.0.0/8" or "2001:db8::1"',
    ),
    Scalar(
        name="regex",
        summary="a regular expression, in the syntax of RE2",
        places=frozenset(("text",)),
        literal=_regex,
        samples=(Form(Tagged("log/re", Form("a"))),),
        schema={"type": "string", "format": "regex"},
        hint='write it in quotes: "^GET "',
    ),
)

TYPES: Final[dict[str, Scalar]] = {one.name: one for one in _ALL}
"""Every type of single values by its name."""
