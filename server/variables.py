"""References to the environment in the strings of a file: `${OPS_URL}`, or `${OPS_URL:-else}` where it may be missing.

`$${OPS_URL}` is `${OPS_URL}` itself. Only strings are looked at, and what is put in is data: it cannot change a form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from dsl.errors import Mistake, QueryError
from dsl.forms import Form, MapForm, SetForm, VectorForm

_REFERENCE = re.compile(r"\$(\$?)\{([^{}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def escaped(form: Form) -> Form:
    """A form that `substituted` makes this one of."""
    return _with_texts(form, lambda text, _: _REFERENCE.sub(lambda match: "$" + match[0], text))


def substituted(form: Form, variables: Mapping[str, str]) -> Form:
    """A form with what `${NAME}` and `${NAME:-else}` stand for in its strings; `$${` is `${`. Places stay.

    Raises:
        QueryError: a variable is not set and has no value to stand in, or is none.
    """
    mistakes: list[Mistake] = []
    out = _with_texts(
        form, lambda text, at: _REFERENCE.sub(lambda match: _put(match, variables, at, mistakes), text)
    )
    if mistakes:
        raise QueryError(mistakes)
    return out


def references(form: Form) -> set[str]:
    """The names of the variables in a form's strings."""
    found: set[str] = set()

    def look(text: str, _at: Form) -> str:
        named = (_VARIABLE.fullmatch(match[2]) for match in _REFERENCE.finditer(text) if not match[1])
        found.update(one[1] for one in named if one is not None)
        return text

    _with_texts(form, look)
    return found


def _put(match: re.Match[str], variables: Mapping[str, str], form: Form, mistakes: list[Mistake]) -> str:
    """What stands for one reference."""
    if match[1]:
        return match[0][1:]
    named = _VARIABLE.fullmatch(match[2])
    if named is None:
        message, hint = (
            f"{match[0][:40]} is no variable",
            "write ${NAME}, or $${ for the characters themselves",
        )
        mistakes.append(Mistake("bad-variable", message, form.start, form.end, hint))
        return ""
    if named[1] in variables:
        return variables[named[1]]
    if named[2] is None:
        hint = f"set it in the environment, or write ${{{named[1]}:-value}}"
        mistakes.append(Mistake("unset-variable", f"{named[1]} is not set", form.start, form.end, hint))
    return named[2] or ""


def _with_texts(form: Form, change: Callable[[str, Form], str]) -> Form:
    """A form with each of its strings changed, but for keys."""
    value = form.value
    if isinstance(value, str):
        return Form(change(value, form), form.start, form.end)
    if isinstance(value, MapForm):
        pairs = tuple((key, _with_texts(item, change)) for key, item in value.pairs)
        return Form(MapForm(pairs), form.start, form.end)
    if isinstance(value, VectorForm | SetForm):
        items = tuple(_with_texts(item, change) for item in value.items)
        return Form(type(value)(items), form.start, form.end)
    return form
