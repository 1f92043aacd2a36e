"""The text of a notification: templates such as `{service}: {n} errors`, checked before use, and what they become.

A template is text with names in braces; `{{` and `}}` are braces. A name stands for what the alert says of it, and for
nothing where it says nothing. A name has no format and reaches no attribute: a template cannot run code.

    [{status}] {rule}                   of a title
    {summary} ({labels.service})        of an alert
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

TEMPLATE_CHARACTERS_MAX = 4096  # a page: what is longer is nobody's alert
VALUE_CHARACTERS_MAX = 1024  # of one value in a text: a label is a word, an annotation a sentence
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"[A-Za-z_][\w.\-/]*")


class BadTemplate(ValueError):
    """A text that is no template: what is wrong, and a way out."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read: texts and names in turn, a text first and last."""

    texts: tuple[str, ...]
    names: tuple[str, ...]

    def render(self, value: Callable[[str], str]) -> str:
        """The text, with what `value` gives for each name."""
        out = [self.texts[0]]
        for name, text in zip(self.names, self.texts[1:], strict=True):
            out += [bounded(value(name), VALUE_CHARACTERS_MAX), text]
        return "".join(out)


def read_template(text: str, known: Iterable[str], prefixes: Sequence[str] = ()) -> Template:
    """A template of which every name is known.

    Args:
        text: The template.
        known: The names that there are.
        prefixes: Such as `labels.`: what begins so is known as well.

    Raises:
        BadTemplate: a brace that is none of a name, or a name that is not known.
    """
    if len(text) > TEMPLATE_CHARACTERS_MAX:
        raise BadTemplate(
            f"the template has {len(text)} characters", f"use at most {TEMPLATE_CHARACTERS_MAX}"
        )
    known = list(known)
    texts, names, end = [""], list[str](), 0
    for match in _PIECE.finditer(text):
        texts[-1] += text[end : match.start()]
        end = match.end()
        name = match[1]
        if match[0] in ("{{", "}}"):
            texts[-1] += match[0][0]
        elif name is None:
            raise BadTemplate(f"a lone {match[0]} at character {match.start() + 1}", f"write {match[0] * 2}")
        elif not _NAME.fullmatch(name) or not (name in known or name.startswith(tuple(prefixes))):
            there = ", ".join([*known, *(f"{prefix}NAME" for prefix in prefixes)])
            raise BadTemplate(f"no name {{{name}}}", f"there are: {there}; a brace itself is {{{{")
        else:
            names.append(name)
            texts.append("")
    texts[-1] += text[end:]
    return Template(tuple(texts), tuple(names))


def bounded(text: str, characters_max: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def fit(blocks: Sequence[str], characters_max: int) -> str:
    """As many of the blocks as fit, an empty line between two, and how many are left out."""
    whole = "\n\n".join(blocks)
    if len(whole) <= characters_max:
        return whole
    for kept in range(len(blocks) - 1, 0, -1):
        text = "\n\n".join([*blocks[:kept], f"… and {len(blocks) - kept} more"])
        if len(text) <= characters_max:
            return text
    rest = "" if len(blocks) == 1 else f"\n\n… and {len(blocks) - 1} more"
    if len(rest) >= characters_max:
        return bounded(blocks[0], characters_max)
    return bounded(blocks[0], characters_max - len(rest)) + rest


def shown(value: object) -> str:
    """A value as people read it: numbers without noise, texts as they are."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.7g}"
    return str(value)


def listed(values: Mapping[str, object]) -> str:
    """`service=edge, level=error`, in the order given."""
    return ", ".join(f"{name}={shown(value)}" for name, value in values.items())
