"""What is set of a stream as a document, `{:retention {:age "30d"}}` or its JSON; its mistakes where they stand."""

from __future__ import annotations

from dsl.analysis import name_of
from dsl.errors import Mistake, QueryError
from dsl.forms import Form, MapForm
from storage.errors import BadSettings


def placed(error: BadSettings, form: Form, text: str) -> QueryError:
    """What is wrong with settings, each mistake at its place in the text that a form was read from."""
    mistakes = []
    for one in (error, *error.others):
        at = _at(form, one.path, key=one.is_key)
        mistakes.append(Mistake(one.code, one.message, at.start, at.end, one.hint))
    return QueryError(mistakes, text)


def _at(form: Form, path: tuple[str, ...], *, key: bool) -> Form:
    """The value at a path, or its key; what is nearest above it where the text does not have it."""
    at = form
    for place, step in enumerate(path):
        pairs = at.value.pairs if isinstance(at.value, MapForm) else ()
        pair = next((pair for pair in pairs if name_of(pair[0]) == step), None)
        if pair is None:
            break
        at = pair[0] if key and place == len(path) - 1 else pair[1]
    return at
