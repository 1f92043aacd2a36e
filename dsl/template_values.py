"""A template and values make a query: `{?window "1h"}` of a body, or `window=1h` of a URL, each checked by its type."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dsl.ast import Query
from dsl.binding import BadValue, bind
from dsl.errors import Mistake, quoted
from dsl.forms import Form, print_form
from dsl.limits import DEFAULT, Limits
from dsl.nearest import meant
from dsl.param_spec import ParamSpec
from dsl.param_types import BadValueOfType, Scalar
from dsl.template import Template


@dataclass(frozen=True, slots=True)
class ParamMistake:
    """What is wrong with one value, or with all of them where `param` is None."""

    code: str
    param: str | None
    message: str
    hint: str


class BadValues(Exception):
    """Values that a template cannot be run with; all that is wrong with them."""

    def __init__(self, mistakes: Iterable[ParamMistake]) -> None:
        self.mistakes = tuple(mistakes)
        assert self.mistakes
        super().__init__("; ".join(mistake.message for mistake in self.mistakes))


def bind_forms(
    template: Template, given: Mapping[str, Form], *, now_us: int, limits: Limits = DEFAULT
) -> Query:
    """The query of a template with values as they were read from EDN or JSON.

    Args:
        template: What to bind.
        given: By name, without the question mark.
        now_us: What times relative to now, and bounds on times, go by.
        limits: What the query may cost.

    Raises:
        BadValues: one is missing, unknown, of another type, out of bounds, or cannot stand in the query.
    """
    mistakes = [_unknown(template, name) for name in given if template.param(name) is None]
    literals: dict[str, Form] = {}
    for spec in template.params:
        try:
            literals[spec.name] = _literal(spec, given.get(spec.name), now_us)
        except BadValueOfType as error:
            mistakes.append(_bad(spec.name, str(error), error.hint))
        except KeyError:
            message = f"no value for ?{spec.name}" + (f", {spec.doc}" if spec.doc else "")
            mistakes.append(ParamMistake("missing-parameter", spec.name, message, _example(spec)))
    if mistakes:
        raise BadValues(mistakes)
    try:
        return bind(template.query, literals, limits=limits, now_us=now_us)
    except BadValue as error:
        wrong = [
            _bad(name, mistake.message, mistake.hint or "")
            for name, found in error.wrong.items()
            for mistake in found
        ]
        raise BadValues([*wrong, *map(_together, error.others)]) from error


def bind_texts(
    template: Template, given: Mapping[str, list[str]], *, now_us: int, limits: Limits = DEFAULT
) -> Query:
    """The query of a template with values as they stand in a URL or on a command line.

    Args:
        template: What to bind.
        given: By name; several texts are several values of a set.
        now_us: As in `bind_forms`.
        limits: As in `bind_forms`.

    Raises:
        BadValues: as `bind_forms`.
    """
    forms: dict[str, Form] = {}
    mistakes: list[ParamMistake] = []
    for name, texts in given.items():
        spec = template.param(name)
        if spec is None:
            mistakes.append(_unknown(template, name))
            continue
        try:
            forms[name] = spec.type.read_texts(texts)
        except BadValueOfType as error:
            mistakes.append(_bad(name, str(error), error.hint))
    if mistakes:
        raise BadValues(mistakes)
    return bind_forms(template, forms, now_us=now_us, limits=limits)


def _literal(spec: ParamSpec, given: Form | None, now_us: int) -> Form:
    if given is not None:
        return spec.take(given, now_us)
    if spec.default is None:
        raise KeyError(spec.name)
    return spec.default


def _unknown(template: Template, name: str) -> ParamMistake:
    names = [spec.name for spec in template.params]
    known = f"its parameters are {', '.join(names)}" if names else "it has none"
    return ParamMistake(
        "unknown-parameter", name, f"no parameter {quoted(name)}", meant(name, names) or known
    )


def _bad(name: str, message: str, hint: str) -> ParamMistake:
    return ParamMistake("bad-parameter", name, f"{name}: {message}", hint)


def _example(spec: ParamSpec) -> str:
    shown = f"it is a {print_form(spec.type.form())}"
    return f"{shown}: {spec.type.hint}" if isinstance(spec.type, Scalar) else shown


def _together(mistake: Mistake) -> ParamMistake:
    return ParamMistake("bad-parameter", None, mistake.message, mistake.hint or "")
