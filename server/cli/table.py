"""Rows as a table that fits the terminal: telling columns first, the message last, long values cut.

timestamp                    level  service   http.status  message
2026-01-02T03:04:05.678901Z  error  edge              504  POST /checkout 504 in 5012.3 ms
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from dsl.keys.top import OTHER
from server.cli.common import visible

GAP = 2  # blanks between columns
VALUE_COLUMNS_MAX = 28  # of a value beside the message: a timestamp has 27
IDENTIFIER_COLUMNS = (
    24  # what is longer is an identifier or a sentence: shown only where there is room for all else
)
MESSAGE_PART = 0.4  # of the width is kept for the message while other columns are added
FLOAT_DIGITS = 7  # for people; all digits are in every other format

_STYLES = {
    "trace": "dim",
    "debug": "dim",
    "info": "green",
    "warn": "yellow",
    "error": "red",
    "fatal": "bold red",
}
_FIRST = ("timestamp", "level", "service")
_LAST = "message"
_ADDRESS = ("_stream", "_number")  # where a record lies: for programs

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is shown."""

    name: str
    width: int
    right: bool


def print_table(
    console: Console,
    rows: Sequence[Row],
    columns: Sequence[str] | None = None,
    *,
    width: int = 0,
    right: Collection[str] = (),
    rest: str = _LAST,
) -> list[str]:
    """Print rows, each on one line; returns the names of the fields for which there was no room.

    Args:
        console: to print on; what is no terminal gets no colours.
        rows: the rows of an answer.
        columns: what the question asked for, in its order; None for whole records.
        width: in terminal columns; 0 for as many as it takes.
        right: columns to align on the right, beside those that hold only numbers.
        rest: the column that gets the room that is left.
    """
    flat = [
        dict(_flattened(row)) | {name: row[name] for name in columns or () if isinstance(row.get(name), dict)}
        for row in rows
    ]
    wanted = _wanted(flat) if columns is None else list(columns)
    shown = {name: [_shown(row.get(name)) for row in flat] for name in wanted}
    chosen = [
        Column(name, taken, name in right or _are_numbers(row.get(name) for row in flat))
        for name, taken in _fitting(shown, width, rest).items()
    ]
    header = [Text(_cell(visible(column.name), column), "bold") for column in chosen]
    if rows:
        _print_line(console, header)
    for index in range(len(rows)):
        _print_line(console, [_styled(column, shown[column.name][index]) for column in chosen])
    return [name for name in wanted if name not in {column.name for column in chosen}]


def _print_line(console: Console, cells: Sequence[Text]) -> None:
    line = Text(" " * GAP).join(cells)
    line.rstrip()
    console.print(line, soft_wrap=True)


def _styled(column: Column, shown: str) -> Text:
    return Text(_cell(shown, column), _STYLES.get(shown, "") if column.name == "level" else "")


def _cell(text: str, column: Column) -> str:
    """A text in exactly the width of its column."""
    if cell_len(text) > column.width:
        return set_cell_size(text, column.width - 1) + "…"
    blanks = " " * (column.width - cell_len(text))
    return blanks + text if column.right else text + blanks


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if value == OTHER:
        return "(others)"
    if isinstance(value, str):
        return visible(value)
    return f"{value:.{FLOAT_DIGITS}g}" if isinstance(value, float) else visible(orjson.dumps(value).decode())


def _are_numbers(values: Iterator[Any]) -> bool:
    kinds = {type(value) for value in values} - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def _flattened(row: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their dotted paths; an array is a leaf."""
    for name, value in row.items():
        if isinstance(value, dict) and value and value != OTHER:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _wanted(rows: Sequence[Row]) -> list[str]:
    """The fields worth a look: time, level, service, then what most rows have, identifiers after it, the message."""
    counts = Counter(name for row in rows for name, value in row.items() if value is not None)
    several = len({row.get("_stream") for row in rows}) > 1
    apart = {*_FIRST, *_ADDRESS, _LAST}
    widths = {name: max(_widest(row.get(name) for row in rows), len(name)) for name in counts}
    rest = sorted(
        (name for name in counts if name not in apart),
        key=lambda name: (widths[name] > IDENTIFIER_COLUMNS, -counts[name]),
    )
    first = [*_FIRST, *(_ADDRESS[:1] if several else [])]
    return [name for name in (*first, *rest, _LAST) if counts[name]]


def _widest(values: Iterator[Any]) -> int:
    return max((cell_len(_shown(value)) for value in values), default=0)


def _fitting(shown: Mapping[str, Sequence[str]], width: int, rest: str) -> dict[str, int]:
    """The columns that a width has room for, at least one, each with its own width; one gets the rest."""
    full = {name: max(map(cell_len, (visible(name), *values))) for name, values in shown.items()}
    if not width:
        return full
    message = min(full[rest], int(width * MESSAGE_PART)) + GAP if rest in full else 0
    chosen: dict[str, int] = {}
    left = width + GAP - message
    for name, widest in full.items():
        needs = max(min(widest, VALUE_COLUMNS_MAX), cell_len(visible(name)))
        if name != rest and (needs + GAP <= left or not chosen):
            chosen[name] = needs
            left -= needs + GAP
    if message:
        chosen[rest] = min(full[rest], max(left + message - GAP, len(rest)))
    return {name: chosen[name] for name in full if name in chosen}
