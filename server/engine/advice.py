"""What is to be said of a query that is right and yet finds nothing: fields that no record has, kinds that clash.

It is looked up among the names of columns as they were known last, which costs some microseconds; only when a name is
not among them are the columns of now looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from dsl.analysis import field_text
from dsl.ast import Query
from dsl.errors import quoted
from dsl.forms import Form, print_form
from dsl.mentions import ANYTHING, OWN, Mention, mentions_of
from dsl.nearest import nearest
from server.engine.habits import habits_in
from server.engine.stars import stars_in
from storage import index as ix
from storage.column_names import ColumnsUnknown
from storage.errors import UnknownStream
from storage.stream_columns import Columns, StreamColumns

log = logging.getLogger(__name__)

STREAMS_MAX = 32  # of one query: the columns of more are not put together for a hint
WARNINGS_MAX = 16  # of one answer; who has more wrong is looking at the wrong stream
NAMES_COMPARED_MAX = 2000  # with a misspelt one: comparing costs microseconds for each

Warned = dict[str, Any]


def advice_on(query: Query, streams: Sequence[str], columns: StreamColumns, now_us: int) -> list[Warned]:
    """Warnings, `{"code", "message", "hint", "field"}` each: no-wildcard, low-percent, unknown-field, type-clash.

    Args:
        query: Without parameters.
        streams: Those that it reads and that have records; of others nothing can be said.
        columns: Which fields they have.
        now_us: How old what is known may be is counted from it.
    """
    return [warned for warned, _ in placed_advice_on(query, streams, columns, now_us)]


def placed_advice_on(
    query: Query, streams: Sequence[str], columns: StreamColumns, now_us: int
) -> list[tuple[Warned, tuple[int, int]]]:
    """The same, each with its place in the text; (0, 0) where that is not known."""
    found = [*stars_in(query), *habits_in(query), *_on_fields(query, streams, columns, now_us)]
    return found[:WARNINGS_MAX]


def _on_fields(
    query: Query, streams: Sequence[str], columns: StreamColumns, now_us: int
) -> list[tuple[Warned, tuple[int, int]]]:
    if not 1 <= len(streams) <= STREAMS_MAX:
        return []
    mentions = list(mentions_of(query))
    if not mentions:
        return []
    known = [columns.known(stream, now_us) for stream in streams]
    if all(any(one is not None and _fits(mention, one) for one in known) for mention in mentions):
        return []
    try:
        now = [columns.of(stream, now_us) for stream in streams]
    except (OSError, ColumnsUnknown, UnknownStream) as error:
        log.warning("columns-unknown: no hints about fields: %s", error)
        return []
    found: dict[tuple[str, str, str], tuple[Warned, tuple[int, int]]] = {}
    for mention in mentions:
        warned = _warned(mention, streams, now)
        if warned is not None:
            by = "" if warned["code"] == "unknown-field" else mention.by
            found.setdefault((warned["code"], mention.field, by), (warned, mention.span))
        if len(found) == WARNINGS_MAX:
            break
    return list(found.values())


def names_of(columns: Iterable[Columns]) -> set[str]:
    """Every name that can be asked for, maps too."""
    names = {ix.TIMESTAMP, ix.MESSAGE}
    for one in columns:
        names.update(one.kinds, one.maps)
    return names


def _fits(mention: Mention, columns: Columns) -> bool:
    if mention.kinds is ANYTHING:
        return _is_there(mention.field, columns)
    kinds = columns.kinds.get(mention.field)
    if kinds is not None and not kinds.isdisjoint(mention.kinds):
        return True
    return mention.field == ix.MESSAGE or not ix.path_is_indexed(mention.field)


def _is_there(field: str, columns: Columns) -> bool:
    return columns.has(field) or field == ix.MESSAGE or not ix.path_is_indexed(field)


def _warned(mention: Mention, streams: Sequence[str], columns: Sequence[Columns]) -> Warned | None:
    """What is to be said of a field, if anything."""
    field = mention.field
    if not any(_is_there(field, one) for one in columns):
        where = streams[0] if len(streams) == 1 else f"{len(streams)} streams"
        message = f"no record of {where} has a field {field_text(field)}"
        return {"code": "unknown-field", "message": message, "hint": _nearest(field, columns), "field": field}
    if any(_fits(mention, one) for one in columns):
        return None
    kinds = sorted({kind for one in columns for kind in one.kinds.get(field, ())})
    has = f"has only {' and '.join(_PLURAL[kind] for kind in kinds)}" if kinds else "is a map"
    wants = " or ".join(_PLURAL[kind] for kind in sorted(mention.kinds))
    message = f"{mention.by} finds {wants}, and {field_text(field)} {has}"
    return {
        "code": "type-clash",
        "message": message,
        "hint": _way_out(mention, kinds, columns),
        "field": field,
    }


_PLURAL = {"string": "strings", "number": "numbers", "boolean": "booleans"}


def _way_out(mention: Mention, kinds: Sequence[str], columns: Sequence[Columns]) -> str:
    value = mention.value
    if not kinds:
        inner = sorted(name for one in columns for name in one.kinds if name.startswith(f"{mention.field}."))
        return f"name a field in it, such as {field_text(inner[0])}" if inner else "name a field in it"
    if isinstance(value, str) and "number" in kinds and _is_number(value):
        return f"write {value} without quotes"
    if isinstance(value, str) and "boolean" in kinds and value in {"true", "false"}:
        return f"write {value} without quotes"
    if isinstance(value, bool | int | float) and "string" in kinds:
        return f'write "{print_form(Form(value))}" in quotes'
    return f"klomp fields --name {quoted(mention.field)} shows what is in it"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text and text.strip() == text


def _nearest(field: str, columns: Sequence[Columns]) -> str:
    names = sorted(names_of(columns) - OWN)
    last = field.rpartition(".")[2]
    inside = [name for name in names if name.rpartition(".")[2] == last]
    if len(inside) == 1:
        return f"did you mean {field_text(inside[0])}?"
    near = nearest(field, names[:NAMES_COMPARED_MAX])
    return f"did you mean {field_text(near)}?" if near else "klomp fields lists those that there are"
