"""The map at the end of a group key: `{:offset "1h" :as :hour}`."""

from collections.abc import Collection, Sequence
from typing import Any

from dsl.analysis import WRONG, Analysis, WrongType, described, field_form, name_of
from dsl.errors import quoted
from dsl.forms import Form, Keyword, MapForm, VectorForm

Options = dict[str, Form]
"""The form of each option, by its name."""


def read_options(
    analysis: Analysis, form: Form | None, kind: str, known: Collection[str]
) -> Options | WrongType:
    """The options of a key by their names; none without a map.

    Args:
        analysis: Where mistakes are noted.
        form: The last argument of the key.
        kind: The key's kind, for messages.
        known: The options it has.
    """
    if form is None:
        return {}
    if not isinstance(form.value, MapForm):
        hint = "write " + " or ".join(f"{{:{one} …}}" for one in known)
        return analysis.wrong("bad-group", f"{described(form)} is no map of options", form, hint)
    found: Options = {}
    for key, item in form.value.pairs:
        name = name_of(key)
        if name is None or name not in known:
            every = " ".join(f":{one}" for one in known)
            hint = analysis.near(name or "", known, ":") or f"the options are {every}"
            return analysis.wrong("unknown-key", f"no option {described(key)} of :{kind}", key, hint)
        if name in found:
            return analysis.wrong(
                "duplicate-key", f"the option :{quoted(name)} stands twice", key, "leave one of them out"
            )
        found[name] = item
    return found


def read_alias(analysis: Analysis, options: Options) -> str | WrongType | None:
    """The name that `:as` gives."""
    return analysis.field(options["as"], "bad-group") if "as" in options else None


def read_flag(analysis: Analysis, options: Options, name: str) -> bool | WrongType | None:
    """True or false; None where it is not said."""
    return analysis.flag(options[name]) if name in options else None


def write_key(kind: str, arguments: Sequence[Form], options: dict[str, Any]) -> Form:
    """A key as a vector, with those options that are not None."""
    pairs = tuple((Form(Keyword(name)), form) for name, form in options.items() if form is not None)
    last = [Form(MapForm(pairs))] if pairs else []
    return Form(VectorForm((Form(Keyword(kind)), *arguments, *last)))


def written_alias(alias: str | None) -> Form | None:
    """The form after `:as`."""
    return None if alias is None else field_form(alias)


def split_options(arguments: Sequence[Form], count: int) -> tuple[Sequence[Form], Form | None] | None:
    """So many arguments, and what follows them; None where they are too few or too many."""
    if not count <= len(arguments) <= count + 1:
        return None
    return arguments[:count], arguments[count] if len(arguments) > count else None


def wrong_arity(analysis: Analysis, form: Form, kind: str, takes: str, signature: str) -> WrongType:
    """Note that a key has too few or too many arguments."""
    assert isinstance(form.value, VectorForm)
    given = len(form.value.items) - 1
    message = f":{kind} takes {takes}, not {given} argument{'s' if given != 1 else ''}"
    analysis.wrong("wrong-arity", message, form, f"write {signature}")
    return WRONG
