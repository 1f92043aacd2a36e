"""What other languages write otherwise and this one reads as it stands: `[:percentile f 0.95]`, `[:contains f "%x%"]`.

The query is right, and rarely asks what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsl.aggregates.percentile import PERCENT_MAX, Percentile
from dsl.analysis import field_text
from dsl.ast import Query
from dsl.errors import quoted
from dsl.explain import parts_of
from dsl.forms import Form, print_form
from dsl.nodes import Predicate
from dsl.operators.contains import Contains
from dsl.operators.glob import Glob

Placed = tuple[dict[str, Any], tuple[int, int]]


def habits_in(query: Query) -> Iterator[Placed]:
    """A warning for each, `{"code", "message", "hint", "field"}`, with its place in the text."""
    yield from _shares(query)
    if query.where is not None:
        yield from _percent_signs(query.where)


def _shares(query: Query) -> Iterator[Placed]:
    """A quantile from 0 to 1, where percentiles go from 0 to 100."""
    for _, call in query.measured:
        if isinstance(call, Percentile) and 0 < call.percent < 1:
            field, percent = field_text(call.field), round(call.percent * PERCENT_MAX, 6)
            message = f"{call.percent} is less than one percent"
            hint = f"for {percent:g} percent write [:percentile {field} {percent:g}]"
            warned = {"code": "low-percent", "message": message, "hint": hint, "field": call.field}
            yield warned, call.span


def _percent_signs(node: Predicate) -> Iterator[Placed]:
    """The wildcards of SQL's LIKE around a text."""
    for part in parts_of(node):
        yield from _percent_signs(part)
    if isinstance(node, Contains | Glob) and node.text[:1] == node.text[-1:] == "%" and len(node.text) > 2:
        shown = quoted(print_form(Form(node.text)))
        inner = quoted(print_form(Form(node.text[1:-1])))
        message = f"the % in {shown} is no wildcard: it is looked for as it stands"
        hint = f"write [:contains {field_text(node.field)} {inner}]"
        yield {"code": "no-wildcard", "message": message, "hint": hint, "field": node.field}, node.span
