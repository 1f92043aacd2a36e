"""What the analysis of one query knows: its mistakes so far, the limits, and how to take a form for a value.

A method that finds a mistake notes it and gives `WRONG`, so that the rest of the query is still looked at.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from enum import Enum
from typing import Final, Literal, TypeAlias, cast

from dsl.errors import Mistake, QueryError, quoted
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
    print_form,
)
from dsl.limits import Limits
from dsl.nearest import meant
from dsl.nodes import Param, Place, Predicate, is_open
from dsl.record import EVERY, TIMESTAMP
from dsl.time import BadTime, Instant, Moment, Relative, format_duration, parse_duration, parse_moment

MISTAKES_MAX = 32  # of one query: who makes more starts with the first ones
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1  # outside, numbers are floats, in records as in queries


PARAM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""What a parameter may be called: it is also a name in a URL, and of an option on a command line."""


class Wrong(Enum):
    """Stands where a value would be, had the caller made no mistake."""

    WRONG = "wrong"


WRONG: Final = Wrong.WRONG
WrongType: TypeAlias = Literal[Wrong.WRONG]

Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = bool | int | float | str | Moment
"""What a field is compared with."""


class Analysis:
    """The state of one analysis."""

    def __init__(
        self,
        limits: Limits,
        now_us: int | None,
        build: Callable[["Analysis", Form], Predicate | WrongType],
        *,
        unbound: bool = False,
    ) -> None:
        self.unbound = unbound
        self.times: AbstractSet[str] = frozenset({TIMESTAMP})  # fields that compare with points in time
        self.params: list[Param] = []
        self.limits = limits
        self.now_us = now_us
        self.mistakes: list[Mistake] = []
        self._build = build
        self._nodes = 0
        self._depth = 0

    def wrong(self, code: str, message: str, form: Form, hint: str | None = None) -> WrongType:
        """Note a mistake at a form, and go on.

        Raises:
            QueryError: there are too many by now.
        """
        self.mistakes.append(Mistake(code, message, form.start, form.end, hint))
        if len(self.mistakes) >= MISTAKES_MAX:
            message = f"more than {MISTAKES_MAX} mistakes: the rest was not looked at"
            last = Mistake("too-many-mistakes", message, form.end, form.end, "correct the first ones first")
            raise QueryError([*self.mistakes, last])
        return WRONG

    def predicate(self, form: Form) -> Predicate | WrongType:
        """The predicate that a form says."""
        self.count(form)
        self._depth += 1
        if self._depth > self.limits.depth_max:
            message = f"predicates are nested more than {self.limits.depth_max} deep"
            self.wrong("too-deep", message, form, "flatten it: [:and a [:and b c]] is [:and a b c]")
            raise QueryError(self.mistakes)
        made = self._build(self, form)
        self._depth -= 1
        return made if made is WRONG else made.at(form.start, form.end)

    def count(self, form: Form) -> None:
        """Count one more predicate.

        Raises:
            QueryError: there are too many by now.
        """
        self._nodes += 1
        if self._nodes > self.limits.nodes_max:
            message = f"more than {self.limits.nodes_max} predicates"
            self.wrong(
                "too-many-nodes",
                message,
                form,
                "use :in for many values of one field, or ask several queries",
            )
            raise QueryError(self.mistakes)

    def predicates(self, forms: Sequence[Form]) -> tuple[Predicate, ...] | WrongType:
        """The predicates that several forms say, in order."""
        made = [self.predicate(form) for form in forms]
        right = tuple(item for item in made if item is not WRONG)
        return right if len(right) == len(made) else WRONG

    def field(self, form: Form, code: str = "bad-field", *, every: bool = False) -> str | WrongType:
        """The name of a field: a keyword, or a string for odd ones; `every`: it may be `:*`."""
        name = name_of(form)
        if name is None:
            hint = "write it as a keyword, :level, or as a string for odd names"
            if param_name(form) is not None:
                hint = "a parameter stands for a value; fields, operators and names are written out"
            elif isinstance(form.value, Symbol):
                hint = f"write :{quoted(form.value.name)}"
            elif isinstance(form.value, VectorForm) and form.value.items:
                hint = "name a field; what is worked out gets a name in :aggregate, and :having compares that name"
            return self.wrong(code, f"{described(form)} is no field", form, hint)
        if name == EVERY and not every:
            hint = "only text operators take it; name one, such as :message, or join several with [:or …]"
            return self.wrong(code, ":* is no field", form, hint)
        if len(name) > self.limits.field_characters_max:
            message = f"a field name of {len(name)} characters, more than {self.limits.field_characters_max}"
            return self.wrong(code, message, form, "no field is called so")
        return name

    def param(self, form: Form, place: Place) -> WrongType | None:
        """The parameter that stands here in place of a value; None where none does.

        Where the analysis is not of an open tree it is a mistake, and WRONG. Else it is a `Param`, which to type
        checkers looks like WRONG: it is put into the tree as a value would be, and only printing and binding look
        at it.
        """
        name = param_name(form)
        if name is None:
            return None
        if not PARAM_NAME.fullmatch(name):
            hint = "a name is 1 to 64 letters, digits, _ and -, and begins with a letter or _"
            return self.wrong("bad-parameter", f"no parameter can be called ?{quoted(name)}", form, hint)
        if not self.unbound:
            hint = "write the value itself, or save the query as a template and run that"
            return self.wrong("unbound-parameter", f"no value for the parameter ?{quoted(name)}", form, hint)
        made = Param(param=name).in_place(place).at(form.start, form.end)
        self.params.append(made)
        return cast("WrongType", made)

    def value(self, form: Form, field: str, *, missing: str = "[:missing {field}]") -> Value | WrongType:
        """A value that a field is compared with; of a field that is a time always a point in time."""
        if field in self.times:
            return self.moment(form)
        if (param := self.param(form, "value")) is not None:
            return param
        tag = tagged(form)
        if tag is not None:
            return self._tagged_value(form, *tag)
        value = form.value
        if isinstance(value, str | bool):
            return value
        if isinstance(value, int | float | Decimal):
            return self._number(form, value)
        if isinstance(value, Keyword):
            return value.name
        if isinstance(value, Char):
            return value.value
        if value is None:
            hint = f"write {missing.format(field=field_text(field))}"
            return self.wrong("bad-value", "nothing equals nil: a field is there or is not", form, hint)
        if isinstance(value, Symbol):
            return self._symbol(form, value)
        hint = "write a string, a number, true or false"
        if isinstance(value, MapForm):
            hint = "name the field inside by its path, such as :http.status"
        elif isinstance(value, VectorForm | SetForm | ListForm):
            hint = f"for one of several write [:in {field_text(field)} #{{…}}]"
        return self.wrong("bad-value", f"{described(form)} is no value to compare with", form, hint)

    def text(self, form: Form, field: str) -> str | WrongType:
        """The text that a text operator looks for."""
        if field in self.times:
            hint = f'compare it, such as [:>= {field_text(field)} "now-15m"]'
            return self.wrong("bad-field", f"{quoted(field)} is a time, not a text", form, hint)
        if (param := self.param(form, "text")) is not None:
            return param
        value = form.value
        if isinstance(value, str):
            return value
        if isinstance(value, Keyword):
            return value.name
        if isinstance(value, Char):
            return value.value
        if isinstance(value, Symbol):
            return self._symbol(form, value)
        hint = 'write it in quotes: "…"'
        if items_of(form) is not None:
            hint = "for one of several texts write [:or …], for one of several words [:match-any …]"
        return self.wrong("bad-value", f"{described(form)} is no text", form, hint)

    def moment(self, form: Form) -> Moment | WrongType:
        """A point in time."""
        if (param := self.param(form, "moment")) is not None:
            return param
        tag = tagged(form)
        value = form.value
        if tag is not None and tag[0] == "inst":
            value = tag[1].value
        if not isinstance(value, str):
            hint = 'write now-15m in quotes, "2026-01-02T03:04:05Z" or #inst "2026-01-02T03:04:05Z"'
            if isinstance(value, int | float):
                hint = 'write it as "2026-01-02T03:04:05Z": a number could be seconds or milliseconds'
            return self.wrong("bad-time", f"{described(form)} is no time", form, hint)
        try:
            moment = parse_moment(value)
        except BadTime as error:
            return self.wrong(error.code, error.message, form, error.hint)
        if tag is not None and isinstance(moment, Relative):
            return self.wrong(
                "bad-time", f"not a time: {quoted(value)}", form, f'leave out the tag: "{quoted(value)}"'
            )
        return moment.at(form.start, form.end)

    def duration(self, form: Form, *, least_us: int = 1) -> int | WrongType:
        """Microseconds of a duration, a string or `#log/duration`."""
        if (param := self.param(form, "duration")) is not None:
            return param
        tag = tagged(form)
        value = tag[1].value if tag is not None and tag[0] == "log/duration" else form.value
        if isinstance(value, Keyword):
            value = value.name
        if not isinstance(value, str):
            hint = 'write it with its unit, in quotes: "15m"'
            return self.wrong("bad-duration", f"{described(form)} is no duration", form, hint)
        try:
            us = parse_duration(value)
        except BadTime as error:
            return self.wrong("bad-duration", error.message, form, error.hint)
        if us < least_us:
            return self.wrong(
                "bad-duration", "a duration of no time", form, 'write a longer one, such as "15m"'
            )
        return us

    def number(self, form: Form, what: str) -> int | float | WrongType:
        """A number that is no value of a field, such as a width."""
        if (param := self.param(form, "number")) is not None:
            return param
        value = form.value
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            return self.wrong("bad-value", f"{described(form)} is no number", form, f"{what} is a number")
        return self._number(form, value)

    def flag(self, form: Form) -> bool | WrongType:
        """True or false."""
        if (param := self.param(form, "flag")) is not None:
            return param
        if isinstance(form.value, bool):
            return form.value
        return self.wrong(
            "bad-value", f"{described(form)} is neither true nor false", form, "write true or false"
        )

    def near(self, name: str, names: Iterable[str], prefix: str = "") -> str | None:
        """A hint with the nearest of some names, or None where none is near."""
        return meant(name, names, prefix)

    def _tagged_value(self, form: Form, tag: str, inner: Form) -> Value | WrongType:
        if tag == "inst":
            moment = self.moment(form)
            assert moment is WRONG or isinstance(moment, Instant)
            return moment
        if tag == "uuid" and isinstance(inner.value, str):
            return inner.value
        if tag == "uuid":
            return self.wrong("bad-value", "#uuid stands before a string", form, "put it in quotes")
        hint = 'a value is a string, a number, true, false or a time: #inst "2026-01-02T03:04:05Z"'
        return self.wrong("bad-value", f"a value with the tag #{quoted(tag)} cannot stand here", form, hint)

    def _number(self, form: Form, value: float | Decimal) -> int | float | WrongType:
        if isinstance(value, Decimal):
            value = int(value) if value == value.to_integral_value() else float(value)
        if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
            try:
                value = float(value)
            except OverflowError:
                return self.wrong("bad-value", "a number out of range", form, "numbers end at 1.8e308")
        return value

    def _symbol(self, form: Form, symbol: Symbol) -> WrongType:
        name = quoted(symbol.name)
        return self.wrong("bad-value", f"{name} is no value", form, f'put it in quotes: "{name}"')


def param_name(form: Form) -> str | None:
    """The name of a parameter, `?service` or in JSON `{"param": "service"}`; None of what is none."""
    value = form.value
    if isinstance(value, Param):
        return value.param
    if isinstance(value, Symbol):
        return value.name[1:] if value.name.startswith("?") else None
    if isinstance(value, MapForm) and len(value.pairs) == 1 and name_of(value.pairs[0][0]) == "param":
        return name_of(value.pairs[0][1])
    return None


def name_of(form: Form) -> str | None:
    """The name that a keyword or a string is, or None."""
    if isinstance(form.value, Keyword):
        return form.value.name
    return form.value if isinstance(form.value, str) else None


def tagged(form: Form) -> tuple[str, Form] | None:
    """The tag and the form of a tagged literal, in EDN or as JSON has it: {"#inst": "…"}."""
    value = form.value
    if isinstance(value, Tagged):
        return value.tag, value.form
    if isinstance(value, MapForm) and len(value.pairs) == 1:
        key = value.pairs[0][0].value
        if isinstance(key, str) and key.startswith("#") and len(key) > 1:
            return key[1:], value.pairs[0][1]
    return None


def items_of(form: Form) -> tuple[Form, ...] | None:
    """The items of a vector or a set, or None."""
    return form.value.items if isinstance(form.value, VectorForm | SetForm) else None


def described(form: Form) -> str:
    """A form as it stands in a message: itself when it is short, its kind when it is not."""
    value = form.value
    if isinstance(value, VectorForm | ListForm | SetForm | MapForm):
        return _KINDS[type(value)] if value != type(value)(()) else f"an empty {_KINDS[type(value)][2:]}"
    return quoted(print_form(form))


def kind_of(value: Value) -> str:
    """What kind of value it is, as messages say it."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    return "a number" if isinstance(value, int | float) else "a time"


def field_text(field: str) -> str:
    """A field as a hint shows it."""
    return quoted(print_form(field_form(field)))


def field_form(field: str) -> Form:
    """A field as it is written: a keyword where that can be read again, else a string."""
    return Form(Keyword(field) if field == EVERY or _is_plain(field) else field)


def duration_form(us: int) -> Form:
    """A duration as it is written."""
    return param_form(us) if is_open(us) else Form(format_duration(us))


def param_form(value: object) -> Form:
    """The symbol of a parameter that stands in the tree in place of a value."""
    assert isinstance(value, Param)
    return Form(value)


def _is_plain(field: str) -> bool:
    head = field[:1]
    return (
        field.isascii()
        and (head.isalpha() or head == "_")
        and field.replace("_", "a").replace(".", "a").replace("-", "a").isalnum()
    )


_KINDS: dict[type, str] = {VectorForm: "a vector", ListForm: "a list", SetForm: "a set", MapForm: "a map"}
