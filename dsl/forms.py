"""EDN as data: every form with its place in the text, as plain Python data, and as EDN text again."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from dsl.errors import Mistake, QueryError, quoted
from dsl.nodes import Param

INST = re.compile(
    r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})"
    r"(?:[Tt](?P<hour>[0-9]{2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?P<fraction>\.[0-9]+)?)?)?)?)?)?"
    r"(?P<offset>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
"""The text of an `#inst`: RFC 3339, and as in Clojure whatever follows the year may be left out."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword by its name without the colon: `level`, `http/status`."""

    name: str


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol by its name: `?service`."""

    name: str


@dataclass(frozen=True, slots=True)
class Char:
    """A character: a string of one."""

    value: str


@dataclass(frozen=True, slots=True)
class ListForm:
    """A list `(…)` with its items in the written order."""

    items: "tuple[Form, ...]"


@dataclass(frozen=True, slots=True)
class VectorForm:
    """A vector `[…]`, or a JSON array, with its items in the written order."""

    items: "tuple[Form, ...]"


@dataclass(frozen=True, slots=True)
class SetForm:
    """A set `#{…}` with its members in the written order, no two of them equal."""

    items: "tuple[Form, ...]"


@dataclass(frozen=True, slots=True)
class MapForm:
    """A map `{…}`, or a JSON object, with its pairs in the written order, no two keys equal."""

    pairs: "tuple[tuple[Form, Form], ...]"


@dataclass(frozen=True, slots=True)
class Tagged:
    """A tagged form by its tag without the `#`: `#inst "…"`, `#log/re "…"`."""

    tag: str
    form: "Form"


# A `Param` stands only in forms that are made of a tree, for its symbol.
# Whole numbers are `int` whatever their size and with or without an `N`; `M` makes a `Decimal`.
Value: TypeAlias = (
    bool
    | int
    | float
    | Decimal
    | str
    | Keyword
    | Symbol
    | Char
    | ListForm
    | VectorForm
    | SetForm
    | MapForm
    | Tagged
    | Param
    | None
)


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A value and its place: character offsets into the text, half-open.

    Two forms are equal when their values are, wherever they stand. The kind of value counts: 1, 1.0 and true
    differ, and so do a list and a vector; `identity` compares as EDN does.
    """

    value: Value
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Form):
            return NotImplemented
        return type(self.value) is type(other.value) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


def identity(value: Value) -> object:
    """What two values have in common when EDN calls them equal, to be hashed and compared.

    A list equals a vector of equal items; sets and maps have no order; 1 equals 1N but not 1.0, 1M or true.
    Large numbers stand as their digits: hashes of texts are salted, those of numbers can be made to clash.
    """
    kind = type(value)
    if kind in _UNMISTAKABLE:
        return value
    if isinstance(value, ListForm | VectorForm):
        return (ListForm, tuple(identity(item.value) for item in value.items))
    if isinstance(value, SetForm):
        return (SetForm, frozenset(identity(item.value) for item in value.items))
    if isinstance(value, MapForm):
        return (MapForm, frozenset((identity(key.value), identity(item.value)) for key, item in value.pairs))
    if isinstance(value, Tagged):
        return (Tagged, value.tag, identity(value.form.value))
    if isinstance(value, Decimal):
        return (Decimal, _digits(value))
    if kind is int and abs(value) >= sys.hash_info.modulus:  # type: ignore[arg-type]  # what is left is a number
        return (int, str(value))
    return (kind, value)


def _digits(value: Decimal) -> str:
    """A decimal without its trailing zeros: 1.0 and 1.00 are equal."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


# Their values equal no value of another kind, so they can stand for themselves.
_UNMISTAKABLE = frozenset({str, Keyword, Symbol, Char, type(None)})


def to_plain(form: Form) -> Any:
    """A form as JSON-like data, as a log record holds it.

    Keywords, symbols and characters become strings; lists, vectors and sets become lists; a map becomes a
    dict whose keys are names, or printed EDN where a key has no name; a decimal becomes an int or a float;
    `#inst` becomes a full RFC 3339 string; of any other tagged form the value remains.

    Raises:
        QueryError: two keys of a map become one (`duplicate-key`).
    """
    value = form.value
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return _PLAIN[type(value)](value)


def _plain_map(value: MapForm) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.pairs:
        name = _name(key)
        if name in plain:
            message = f"the key {quoted(name)} stands twice in one record"
            raise QueryError([Mistake("duplicate-key", message, key.start, key.end, "leave one of them out")])
        plain[name] = to_plain(item)
    return plain


def _name(key: Form) -> str:
    value = key.value
    if isinstance(value, Keyword | Symbol):
        return value.name
    return value if isinstance(value, str) else print_form(key)


def _plain_decimal(value: Decimal) -> int | float:
    whole = value == value.to_integral_value() or abs(value) >= _FLOAT_WHOLE_FROM
    return int(value) if whole else float(value)


def _plain_tagged(value: Tagged) -> Any:
    plain = to_plain(value.form)
    return _full_inst(plain) if value.tag == "inst" and isinstance(plain, str) else plain


def _full_inst(text: str) -> str:
    match = INST.fullmatch(text)
    if match is None:
        return text
    part = {name: found or "" for name, found in match.groupdict().items()}
    date = f"{part['year']}-{part['month'] or '01'}-{part['day'] or '01'}"
    time = f"{part['hour'] or '00'}:{part['minute'] or '00'}:{part['second'] or '00'}{part['fraction']}"
    return f"{date}T{time}{part['offset'].upper() or 'Z'}"


_FLOAT_WHOLE_FROM = 2**53  # a float of this size has no digits after the point, and may not be finite

_PLAIN: dict[type, Callable[[Any], Any]] = {
    Keyword: lambda value: value.name,
    Symbol: lambda value: value.name,
    Param: lambda value: f"?{value.param}",
    Char: lambda value: value.value,
    Decimal: _plain_decimal,
    ListForm: lambda value: [to_plain(item) for item in value.items],
    VectorForm: lambda value: [to_plain(item) for item in value.items],
    SetForm: lambda value: [to_plain(item) for item in value.items],
    MapForm: _plain_map,
    Tagged: _plain_tagged,
}


def print_form(form: Form) -> str:
    """A form as EDN on one line: what is read again is equal to it."""
    value = form.value
    return _PRINTED[type(value)](value)


def _printed_items(items: tuple[Form, ...]) -> str:
    return " ".join(print_form(item) for item in items)


def _printed_map(value: MapForm) -> str:
    return "{" + ", ".join(f"{print_form(key)} {print_form(item)}" for key, item in value.pairs) + "}"


def _printed_char(value: Char) -> str:
    character = value.value
    if character in CHARACTER_NAMES:
        return "\\" + CHARACTER_NAMES[character]
    shown = (character.isprintable() and not character.isspace() and character != ",") or ord(
        character
    ) > 0xFFFF
    return "\\" + character if shown else f"\\u{ord(character):04x}"


def _printed_string(value: str) -> str:
    return '"' + _ESCAPED.sub(_escaped, value) + '"'


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return ESCAPES.get(character) or f"\\u{ord(character):04x}"


CHARACTER_NAMES = {
    "\n": "newline",
    "\r": "return",
    " ": "space",
    "\t": "tab",
    "\f": "formfeed",
    "\b": "backspace",
}
ESCAPES = {"\t": "\\t", "\r": "\\r", "\n": "\\n", "\\": "\\\\", '"': '\\"', "\b": "\\b", "\f": "\\f"}

# Beside what must be escaped, whatever breaks a line or cannot be seen to be there.
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029]')

_PRINTED: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "nil",
    bool: lambda value: "true" if value else "false",
    int: str,
    float: repr,
    Decimal: lambda value: f"{value}M",
    str: _printed_string,
    Keyword: lambda value: f":{value.name}",
    Symbol: lambda value: value.name,
    Param: lambda value: f"?{value.param}",
    Char: _printed_char,
    ListForm: lambda value: f"({_printed_items(value.items)})",
    VectorForm: lambda value: f"[{_printed_items(value.items)}]",
    SetForm: lambda value: "#{" + _printed_items(value.items) + "}",
    MapForm: _printed_map,
    Tagged: lambda value: f"#{value.tag} {print_form(value.form)}",
}
