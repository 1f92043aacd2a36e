"""What a caller got wrong: every mistake in a text with its code, its place and a way out.

A mistake as people see it; programs get the same as JSON:

    error[unknown-operator]: no operator :betwen
     3 |  [:betwen :latency_ms 10 20]
       |   ^^^^^^^
    hint: did you mean :between?
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

LINE_COLUMNS_MAX = 100  # a longer line is cut around its mistake: what is shown must fit a terminal
TAB_COLUMNS = 4  # a tab is shown as so many blanks wherever it stands, so that carets line up everywhere
QUOTED_CHARACTERS_MAX = 40  # of the caller's own text within a message: enough to recognise it

_LINE_END = re.compile(r"\r\n|\n|\r")
_BREAKS = re.compile(r"[\t-\r ]+")
_CUT = "…"
_UNSHOWABLE = (
    "\N{REPLACEMENT CHARACTER}"  # stands for controls and surrogates: they would upset terminals and UTF-8
)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong, and where: character offsets into the text, half-open."""

    code: str
    message: str
    start: int
    end: int
    hint: str | None = None

    def __post_init__(self) -> None:
        """A place lies in a text, forwards."""
        assert 0 <= self.start <= self.end


class QueryError(Exception):
    """All that is wrong with one text: never empty, sorted by place.

    Attributes:
        mistakes: what is wrong, first place first.
        text: what was read, where whoever raises it has it.
    """

    mistakes: tuple[Mistake, ...]
    text: str | None

    def __init__(self, mistakes: Iterable[Mistake], text: str | None = None) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: (mistake.start, mistake.end)))
        self.text = text
        assert self.mistakes
        super().__init__(self.mistakes, text)

    def __str__(self) -> str:
        return "; ".join(f"{mistake.code}: {mistake.message}" for mistake in self.mistakes)

    def render(self, text: str | None = None) -> str:
        """The mistakes for people: each with its line and a caret, a blank line between two."""
        lines = _Lines(self._text(text))
        return "\n\n".join("\n".join(_rendered(mistake, lines)) for mistake in self.mistakes)

    def to_json(self, text: str | None = None) -> list[dict[str, Any]]:
        """The mistakes for programs: code, message, line and column (characters, from 1), perhaps a hint."""
        lines = _Lines(self._text(text))
        return [_jsonable(mistake, lines) for mistake in self.mistakes]

    def _text(self, text: str | None) -> str:
        return text if text is not None else self.text or ""


def quoted(text: str) -> str:
    """The caller's text as it may stand in a message: bounded, and safe for terminals and UTF-8."""
    text = _BREAKS.sub(" ", text)
    if len(text) > QUOTED_CHARACTERS_MAX:
        text = text[: QUOTED_CHARACTERS_MAX - 1] + _CUT
    return "".join(_shown(character) for character in text)


def line_number(text: str, offset: int) -> int:
    """The number of the line that holds an offset, from 1."""
    return _Lines(text).find(offset) + 1


class _Lines:
    """Where each line of a text begins and ends, found once for all mistakes in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        ends = [match.span() for match in _LINE_END.finditer(text)]
        self.spans = list(
            zip([0, *(end for _, end in ends)], [*(start for start, _ in ends), len(text)], strict=True)
        )

    def find(self, offset: int) -> int:
        """The index of the line that holds an offset; a line end belongs to the line it ends."""
        low, high = 0, len(self.spans) - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.spans[middle][0] <= offset else (low, middle - 1)
        return low


def _jsonable(mistake: Mistake, lines: _Lines) -> dict[str, Any]:
    index = lines.find(mistake.start)
    found: dict[str, Any] = {
        "code": mistake.code,
        "message": mistake.message,
        "line": index + 1,
        "column": mistake.start - lines.spans[index][0] + 1,
    }
    return found if mistake.hint is None else {**found, "hint": mistake.hint}


def _rendered(mistake: Mistake, lines: _Lines) -> Iterator[str]:
    index = lines.find(mistake.start)
    begin, finish = lines.spans[index]
    start = min(mistake.start, finish) - begin
    end = max(min(mistake.end, finish) - begin, start)
    line, before, marked = _cut(lines.text[begin:finish], start, end)
    number = str(index + 1)
    yield f"error[{mistake.code}]: {mistake.message}"
    yield f" {number} | {line}".rstrip()
    yield f" {' ' * len(number)} | {' ' * before}{'^' * max(marked, 1)}"
    if mistake.hint is not None:
        yield f"hint: {mistake.hint}"


def _cut(line: str, start: int, end: int) -> tuple[str, int, int]:
    """A line as shown, the columns before its mistake and those of the mistake, all within the width."""
    # A third of the width is left before the mistake: enough to see what it is part of.
    first = _back(line, start, LINE_COLUMNS_MAX // 3) if start > LINE_COLUMNS_MAX // 2 else 0
    shown = [_CUT] if first else []
    columns = before = marked = len(shown)
    marked = 0
    for position in range(first, len(line)):
        piece = _shown(line[position])
        width = _columns(piece)
        if columns + width > LINE_COLUMNS_MAX - 1 and position < len(line) - 1:
            shown.append(_CUT)
            break
        shown.append(piece)
        columns += width
        before += width if position < start else 0
        marked += width if start <= position < end else 0
    return "".join(shown), before, marked


def _back(line: str, start: int, columns: int) -> int:
    """The index from which `columns` columns lead up to `start`."""
    while start > 0 and columns > 0:
        start -= 1
        columns -= max(_columns(_shown(line[start])), 1)
    return start


def _shown(character: str) -> str:
    if character == "\t":
        return " " * TAB_COLUMNS
    # Format characters could turn the direction of a line round; private ones have no known width.
    return _UNSHOWABLE if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else character


def _columns(piece: str) -> int:
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in piece
    )
