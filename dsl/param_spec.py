"""What a template declares of one parameter: `{:type :duration :default "15m" :max "7d" :doc "how far back"}`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dsl.analysis import PARAM_NAME, described, name_of, param_name
from dsl.errors import Mistake, quoted
from dsl.forms import Form, Keyword, MapForm, SetForm, Tagged, VectorForm, print_form
from dsl.limits import DEFAULT
from dsl.param_types import TYPES, BadValueOfType, Enum, ParamType, Scalar, SetOf
from dsl.patterns.regex import BadPattern, check, searcher

KEYS: Final = ("type", "required", "default", "min", "max", "max-length", "pattern", "doc")
TEXT_CHARACTERS_MAX = 4096  # of a value where :max-length says nothing: no name, message or path is longer
ENUM_MAX = 64  # members: who has more writes a set of strings
RESERVED: Final = frozenset(("after",))  # what a URL says beside the values: where a page begins
_TEXTS = frozenset(("string", "keyword", "regex", "ip"))

Mistakes = list[Mistake]
Keys = Callable[[Form, Iterable[str], Mistakes], dict[str, Form]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamSpec:
    """One parameter.

    Attributes:
        name: without the question mark.
        type: of its values.
        default: the literal that it has when no value is given; None where one must be.
        low, high: literals that bound its values, or those in a set.
        max_length: characters of its texts.
        pattern: a regular expression that the whole of its texts matches.
        doc: what it is.
        span: where it is declared.
    """

    name: str
    type: ParamType
    default: Form | None = None
    low: Form | None = None
    high: Form | None = None
    max_length: int | None = None
    pattern: str | None = None
    doc: str = ""
    span: tuple[int, int] = field(default=(0, 0), compare=False)

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is None

    def take(self, form: Form, now_us: int) -> Form:
        """The literal of a value that is within all bounds.

        Raises:
            BadValueOfType: it is none, or is not.
        """
        literal = self.type.take(form)
        for one in self.type.scalars(literal):
            self._check(one, now_us)
        return literal

    def samples(self, now_us: int) -> tuple[Form, ...]:
        """Literals to try: the default, else what the type has, held within the bounds; of an enumeration all."""
        found = self.type.samples
        if self.default is not None:
            return (self.default, *found) if isinstance(self.type, Enum) else (self.default,)
        rank = self.type.rank
        if rank is None or (self.low is None and self.high is None):
            return found
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        if isinstance(self.type, SetOf):
            return (Form(SetForm((bounds[0],))),)
        return tuple(one if self._within(one, now_us) else bounds[0] for one in found)

    def schema(self) -> dict[str, Any]:
        """Of its values in JSON."""
        schema = dict(self.type.schema)
        if self.doc:
            schema["description"] = self.doc
        if self.default is not None:
            schema["default"] = plain(self.default)
        inner = schema
        if isinstance(self.type, SetOf):
            inner = schema["items"] = dict(schema["items"])
        scalar = self.type.item if isinstance(self.type, SetOf) else self.type
        if isinstance(scalar, Scalar) and scalar.name in ("integer", "number"):
            inner |= {} if self.low is None else {"minimum": plain(self.low)}
            inner |= {} if self.high is None else {"maximum": plain(self.high)}
        if isinstance(scalar, Scalar) and scalar.name in _TEXTS:
            inner["maxLength"] = self.max_length or TEXT_CHARACTERS_MAX
            if self.pattern is not None:
                inner["pattern"] = f"^(?:{self.pattern})$"
        return schema

    def form(self) -> Form:
        """As it is declared."""
        found: list[tuple[str, Form]] = [("type", self.type.form())]
        if self.default is None:
            found.append(("required", Form(value=True)))
        for name, literal in (("default", self.default), ("min", self.low), ("max", self.high)):
            if literal is not None:
                found.append((name, _written(literal)))
        for name, value in (
            ("max-length", self.max_length),
            ("pattern", self.pattern),
            ("doc", self.doc or None),
        ):
            if value is not None:
                found.append((name, Form(value)))
        return Form(MapForm(tuple((Form(Keyword(name)), item) for name, item in found)))

    def _check(self, literal: Form, now_us: int) -> None:
        if not self._within(literal, now_us):
            low, high = (None if one is None else print_form(_written(one)) for one in (self.low, self.high))
            hint = f"from {low} to {high}" if low and high else f"{low} or more" if low else f"at most {high}"
            raise BadValueOfType(f"{print_form(_written(literal))} is out of bounds", f"give {hint}")
        value = literal.value.form.value if isinstance(literal.value, Tagged) else literal.value
        if not isinstance(value, str) or isinstance(self.type, Enum):
            return
        if len(value) > (self.max_length or TEXT_CHARACTERS_MAX):
            most = self.max_length or TEXT_CHARACTERS_MAX
            raise BadValueOfType(f"a text of {len(value)} characters, more than {most}", "give a shorter one")
        if self.pattern is not None and not searcher(rf"\A(?:{self.pattern})\z")(value):
            raise BadValueOfType(
                f"{quoted(print_form(literal))} does not match", f"it must match {self.pattern}"
            )

    def _within(self, literal: Form, now_us: int) -> bool:
        rank = self.type.rank
        if rank is None:
            return True
        at = rank(literal, now_us)
        return (self.low is None or rank(self.low, now_us) <= at) and (
            self.high is None or at <= rank(self.high, now_us)
        )


def read_spec(key: Form, form: Form, keys_of: Keys, mistakes: Mistakes, now_us: int) -> ParamSpec | None:
    """What a form declares of the parameter that a key names; None where its mistakes were noted."""
    name = declared(key)
    if name is None:
        hint = "a name begins with ? and has 1 to 64 letters, digits, _ and -: ?service"
        wrong(mistakes, "bad-parameter", f"{described(key)} is no name of a parameter", key, hint)
        return None
    if name in RESERVED:
        hint = "choose another name: in the URL of a run it says where the page begins"
        wrong(mistakes, "bad-parameter", f"no parameter can be called ?{name}", key, hint)
    before = len(mistakes)
    if name_of(form) is not None or isinstance(form.value, VectorForm):
        form = Form(MapForm(((Form(Keyword("type")), form),)), form.start, form.end)  # ?service :string
    if not isinstance(form.value, MapForm):
        hint = "write {:type :string :required true}"
        wrong(mistakes, "bad-parameter", f"{described(form)} does not declare ?{name}", form, hint)
        return None
    given = keys_of(form, KEYS, mistakes)
    kind = _type(given["type"], mistakes) if "type" in given else None
    if "type" not in given:
        wrong(mistakes, "bad-parameter", f"?{name} has no :type", key, "write {:type :string}")
    if kind is None:
        return None
    spec = ParamSpec(
        name=name,
        type=kind,
        low=_bound(kind, given.get("min"), mistakes),
        high=_bound(kind, given.get("max"), mistakes),
        max_length=_max_length(kind, given.get("max-length"), mistakes),
        pattern=_pattern(kind, given.get("pattern"), mistakes),
        doc=_doc(given.get("doc"), mistakes),
        span=(key.start, form.end),
    )
    _check_bounds(spec, given, mistakes, now_us)
    _check_required(given, mistakes)
    if len(mistakes) > before:
        return None
    if "default" not in given:
        return spec
    try:
        default = spec.take(given["default"], now_us)
    except BadValueOfType as error:
        wrong(mistakes, "bad-default", f"the default of ?{name}: {error}", given["default"], error.hint)
        return None
    return replace(spec, default=default)


def declared(key: Form) -> str | None:
    """The name that a key declares: `?service`, in JSON `"service"` or `"?service"`."""
    name = param_name(key)
    if name is None:
        name = name_of(key)
        name = name.removeprefix("?") if name is not None else None
    return name if name is not None and PARAM_NAME.fullmatch(name) else None


def wrong(mistakes: Mistakes, code: str, message: str, form: Form, hint: str) -> None:
    """Note a mistake at a form."""
    mistakes.append(Mistake(code, message, form.start, form.end, hint))


def plain(literal: Form) -> Any:
    """A literal as JSON has it."""
    value = literal.value
    if isinstance(value, SetForm):
        return [plain(item) for item in value.items]
    return plain(value.form) if isinstance(value, Tagged) else value


def _written(literal: Form) -> Form:
    """A literal as people write it: durations and times as texts."""
    value = literal.value
    if isinstance(value, SetForm):
        return Form(SetForm(tuple(map(_written, value.items))))
    return value.form if isinstance(value, Tagged) else literal


def _type(form: Form, mistakes: Mistakes) -> ParamType | None:
    name = name_of(form)
    if name in TYPES:
        return TYPES[name]
    known = "the types are " + " ".join(f":{one}" for one in TYPES) + " [:set …] [:enum …]"
    if not isinstance(form.value, VectorForm) or not form.value.items:
        wrong(mistakes, "unknown-type", f"no type {described(form)}", form, known)
        return None
    head, *rest = form.value.items
    if name_of(head) == "set" and len(rest) == 1:
        item = _type(rest[0], mistakes)
        if isinstance(item, SetOf):
            wrong(mistakes, "unknown-type", "a set of sets", form, "a set has single values")
            return None
        return None if item is None else SetOf(item)
    if name_of(head) == "enum" and 0 < len(rest) <= ENUM_MAX:
        members = tuple(Form(name_of(item)) if name_of(item) is not None else item for item in rest)
        if all(isinstance(item.value, str | int | float) for item in members):
            return Enum(tuple(dict.fromkeys(members)))
    hint = 'write [:set :string], or [:enum "a" "b"] with up to 64 strings, numbers or booleans'
    wrong(mistakes, "unknown-type", "no such type", form, hint)
    return None


def _bound(kind: ParamType, form: Form | None, mistakes: Mistakes) -> Form | None:
    if form is None:
        return None
    scalar = kind.item if isinstance(kind, SetOf) else kind
    if scalar.rank is None:
        hint = "numbers, times and durations have bounds; texts have :max-length and :pattern"
        wrong(mistakes, "bad-parameter", f"{print_form(kind.form())} has no :min and :max", form, hint)
        return None
    try:
        return scalar.take(form)
    except BadValueOfType as error:
        wrong(mistakes, "bad-parameter", str(error), form, error.hint)
        return None


def _check_bounds(spec: ParamSpec, given: dict[str, Form], mistakes: Mistakes, now_us: int) -> None:
    rank = spec.type.rank
    if rank is None or spec.low is None or spec.high is None:
        return
    if rank(spec.low, now_us) > rank(spec.high, now_us):
        hint = "swap them: both are included"
        wrong(
            mistakes, "bad-parameter", ":min is more than :max, so that no value may be", given["min"], hint
        )


def _is_text(kind: ParamType) -> bool:
    scalar = kind.item if isinstance(kind, SetOf) else kind
    return isinstance(scalar, Scalar) and scalar.name in _TEXTS


def _max_length(kind: ParamType, form: Form | None, mistakes: Mistakes) -> int | None:
    if form is None:
        return None
    value = form.value
    if _is_text(kind) and isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    hint = "write a whole number of characters; only texts have it"
    wrong(mistakes, "bad-parameter", f"{described(form)} is no :max-length here", form, hint)
    return None


def _pattern(kind: ParamType, form: Form | None, mistakes: Mistakes) -> str | None:
    if form is None:
        return None
    value = form.value
    if isinstance(value, Tagged) and value.tag == "log/re":
        value = value.form.value
    if not _is_text(kind) or not isinstance(value, str):
        hint = 'write a regular expression in quotes; only texts have it: "[a-z]+"'
        wrong(mistakes, "bad-parameter", f"{described(form)} is no :pattern here", form, hint)
        return None
    try:
        check(value, DEFAULT)
    except BadPattern as error:
        wrong(mistakes, "bad-parameter", str(error), form, error.hint)
        return None
    return value


def _doc(form: Form | None, mistakes: Mistakes) -> str:
    if form is None:
        return ""
    if isinstance(form.value, str):
        return form.value
    wrong(mistakes, "bad-parameter", ":doc is no text", form, 'write :doc "how far back"')
    return ""


def _check_required(given: dict[str, Form], mistakes: Mistakes) -> None:
    required = given.get("required")
    if required is None:
        return
    if not isinstance(required.value, bool):
        wrong(
            mistakes, "bad-parameter", ":required is neither true nor false", required, "write true or false"
        )
    elif required.value and "default" in given:
        hint = "leave out one of them: what has a default need not be given"
        wrong(mistakes, "bad-parameter", ":required beside a :default", required, hint)
    elif not required.value and "default" not in given:
        hint = "give it a :default: a query has no places without a value"
        wrong(mistakes, "bad-parameter", "not :required, and no :default", required, hint)
