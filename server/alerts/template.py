"""Texts with names in them, `{service}: {n} errors in 5m`, filled in for each alert; `{{` and `}}` are braces.

A name is a column of the rule's query or one of its labels. It stands for the value as JSON has it, a text without its
quotes; a number with a fraction is rounded to six digits, and what is missing is a dash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

MISSING = "–"  # noqa: RUF001  # a dash, as tables have it
FILLED_CHARACTERS_MAX = 1000  # of one value: a stack trace as a group key should not make the text unreadable

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class BadTemplate(ValueError):
    """A text with a brace that is not closed, or not opened."""

    def __init__(self, place: int) -> None:
        super().__init__(f"the brace at character {place + 1} stands alone")


def names_in(template: str) -> list[str]:
    """The names in a text, in their order.

    Raises:
        BadTemplate: a brace stands alone.
    """
    names: list[str] = []
    for part in _PART.finditer(template):
        if part[0] in ("{", "}"):
            raise BadTemplate(part.start())
        if part[1] is not None:
            names.append(part[1])
    return names


def fill(template: str, values: Mapping[str, Any]) -> str:
    """A text with its names filled in; of a name that is not known, a dash."""

    def filled(part: re.Match[str]) -> str:
        return part[0][0] if part[1] is None else shown(values.get(part[1]))

    return _PART.sub(filled, template)


def shown(value: Any) -> str:
    """A value as it stands in a text."""
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= FILLED_CHARACTERS_MAX else text[: FILLED_CHARACTERS_MAX - 1] + "…"


def label_text(value: Any) -> str:
    """A value as a label has it: whole, because labels identify."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def fill_all(templates: Mapping[str, str], *values: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Several texts; of two values of one name the later counts."""
    known: dict[str, Any] = {}
    for some in values:
        known.update(some)
    return {name: fill(template, known) for name, template in templates.items()}
