"""A `*` where it is no wildcard, `[:match :message "timeo*"]`: the query is right, and does not ask what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dsl.analysis import field_text
from dsl.ast import Query
from dsl.errors import quoted
from dsl.explain import parts_of
from dsl.forms import Form, print_form
from dsl.nodes import Predicate
from dsl.operators.fuzzy import Fuzzy
from dsl.operators.match import Match
from dsl.operators.match_any import MatchAny
from dsl.operators.phrase import Phrase
from dsl.operators.starts_with import StartsWith

_BESIDE_A_WORD = re.compile(r"\w\*|\*\w")  # a sign by itself, as in "2 * 3", is no wildcard to anybody
_LONGER = re.compile(r"(\w+)\*")

Placed = tuple[dict[str, Any], tuple[int, int]]


def stars_in(query: Query) -> Iterator[Placed]:
    """A warning for each such `*` in `:where`, `{"code", "message", "hint", "field"}`, with its place in the text."""
    if query.where is not None:
        yield from _stars(query.where)


def _stars(node: Predicate) -> Iterator[Placed]:
    for part in parts_of(node):
        yield from _stars(part)
    match node:
        case Match() | MatchAny() | Fuzzy():
            meant = _BESIDE_A_WORD.search(node.text) is not None
        case Phrase():
            meant = _BESIDE_A_WORD.search(node.text.removesuffix("*")) is not None
        case StartsWith():
            meant = node.text.endswith("*") and len(node.text) > 1
        case _:
            return
    if meant:
        assert isinstance(node, Match | MatchAny | Fuzzy | Phrase | StartsWith)
        message = f"the * in {quoted(print_form(Form(node.text)))} is no wildcard: :{node.op} has none there"
        warned = {"code": "no-wildcard", "message": message, "hint": _hint(node), "field": node.field}
        yield warned, node.span


def _hint(node: Match | MatchAny | Fuzzy | Phrase | StartsWith) -> str:
    field = field_text(node.field)
    if isinstance(node, StartsWith):
        return "leave it out; within a text :glob has it"
    longer = _LONGER.fullmatch(node.text)
    if longer is not None:
        return f'for words that begin so write [:phrase {field} "{quoted(longer[1])}*"]'
    return f'a word that goes on stands at the end of a [:phrase {field} "…"]; :glob is like a whole text'
