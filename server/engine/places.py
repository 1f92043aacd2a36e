"""Where in its text a query names a stream that is not there: a mistake that only the store can find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dsl.analysis import items_of, name_of
from dsl.errors import Mistake, QueryError
from dsl.forms import Form, MapForm
from dsl.limits import Limits
from dsl.parse import Syntax, read_form
from storage.errors import UnknownStream
from storage.store import Store


class UnknownStreams(QueryError):
    """A query names streams that are not there; each where it stands."""

    status = 404


@contextmanager
def in_text(text: str, syntax: Syntax, limits: Limits, store: Store) -> Iterator[None]:
    """Within it, what is wrong with a query is shown in its text.

    Raises:
        QueryError: a mistake.
        UnknownStreams: a stream that is not there.
    """
    try:
        yield
    except QueryError as error:
        raise type(error)(error.mistakes, text) from None
    except UnknownStream as error:
        mistakes = unknown_streams(read_form(text, syntax, limits=limits), store)
        raise UnknownStreams(
            mistakes or [Mistake(error.code, error.message, 0, 0, error.hint)], text
        ) from error


def unknown_streams(form: Form, store: Store) -> list[Mistake]:
    """The streams of the form of a query that are not there."""
    found = []
    for one in _named(form):
        name = name_of(one)
        try:
            if name is not None and name != "*":
                store.catalog(name)
        except UnknownStream as error:
            found.append(Mistake(error.code, error.message, one.start, one.end, error.hint))
    return found


def _named(form: Form) -> tuple[Form, ...]:
    """What a query's `:from` names; the query's first character stands for the stream of one that names none."""
    pairs = form.value.pairs if isinstance(form.value, MapForm) else ()
    for key, item in pairs:
        if name_of(key) == "from":
            items = items_of(item)
            return (item,) if items is None else items
    return (Form("main", form.start, min(form.start + 1, form.end)),)
