"""The front door of the language: from the text of a query, EDN or JSON, to its tree."""

from functools import lru_cache
from typing import Final, Literal, TypeAlias

from dsl.analyze import analyze
from dsl.ast import Query
from dsl.errors import QueryError
from dsl.foreign import bare_words, foreign
from dsl.forms import Form
from dsl.limits import DEFAULT, Limits
from dsl.reader import ReadLimits, read, read_json

Syntax: TypeAlias = Literal["edn", "json"]

# Dashboards, alerts and pages ask in the same words again and again, and reading is most of what a question costs
# before it is answered. What is kept is the text's tree, never an answer.
KEPT_TEXTS_MAX = 512
KEPT_CHARACTERS_MAX = 4096  # of each text; its tree takes some hundred times as many bytes

SYNTAXES: Final[tuple[Syntax, ...]] = ("edn", "json")


def parse(
    text: str,
    syntax: Syntax = "edn",
    *,
    limits: Limits = DEFAULT,
    now_us: int | None = None,
    unbound: bool = False,
) -> Query:
    """The query that a text is.

    Args:
        text: of one query.
        syntax: how it is written.
        limits: what it may cost.
        now_us: when now is; with it, times are checked that only then can be.
        unbound: whether parameters may stand in it.

    Raises:
        QueryError: everything that is wrong with it; its `text` is this text.
    """
    form = read_form(text, syntax, limits=limits)
    try:
        return analyze(form, limits=limits, now_us=now_us, unbound=unbound)
    except QueryError as error:
        raise QueryError(error.mistakes, text) from None


def read_form(text: str, syntax: Syntax, *, limits: Limits = DEFAULT) -> Form:
    """The form that a text is, whatever it says.

    Raises:
        QueryError: it is none.
    """
    bounds = ReadLimits(limits.text_characters_max, limits.depth_max)
    return (
        _read_again(text, syntax, bounds) if len(text) <= KEPT_CHARACTERS_MAX else _read(text, syntax, bounds)
    )


def _read(text: str, syntax: Syntax, bounds: ReadLimits) -> Form:
    if len(text) <= bounds.text_characters_max and (other := foreign(text, syntax)) is not None:
        raise QueryError([other], text)
    try:
        return read(text, limits=bounds) if syntax == "edn" else read_json(text, limits=bounds)
    except QueryError:
        words = bare_words(text) if syntax == "edn" and len(text) <= bounds.text_characters_max else None
        if words is None:
            raise
        raise QueryError([words], text) from None


_read_again = lru_cache(maxsize=KEPT_TEXTS_MAX)(_read)
