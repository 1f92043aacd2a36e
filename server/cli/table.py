"""Rows as a table that fits the terminal: telling columns first, the message last, long values cut."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server.cli.common import visible

WIDTH_MIN = 40  # below it nothing can be read; the terminal wraps then
VALUE_COLUMNS_MAX = 28  # of a value beside the message: a timestamp has 27
MESSAGE_COLUMNS_MIN = 40  # kept for the message while other columns are added
GAP = 2  # blanks between columns

_LEVEL_STYLES = {
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


def print_table(
    console: Console, rows: Sequence[Row], columns: Sequence[str] | None, width: int
) -> list[str]:
    """Print rows as a table of that width, each on one line; returns the fields there was no room for.

    Args:
        console: to print on; what is no terminal gets no colours.
        rows: the rows of an answer.
        columns: what the question asked for, in its order; None for whole records.
        width: in terminal columns; 0 for as many as it takes.
    """
    flat = [dict(_flattened(row)) for row in rows]
    wanted = _wanted(flat) if columns is None else list(columns)
    widths = {name: _width(name, flat, cut=width > 0 and name != _LAST) for name in wanted}
    chosen = _fitting(wanted, widths, max(width, WIDTH_MIN)) if width else wanted
    if not chosen:
        return []
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in chosen:
        numbers = all(isinstance(row[name], int | float) for row in flat if row.get(name) is not None)
        table.add_column(
            Text(visible(name)),
            width=widths[name],
            justify="right" if numbers else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in flat:
        table.add_row(*(_cell(name, row.get(name)) for name in chosen))
    console.print(table, soft_wrap=True, width=max(sum(widths[name] + GAP for name in chosen), WIDTH_MIN))
    return [name for name in wanted if name not in chosen]


def _flattened(row: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their dotted paths; an array is a leaf."""
    for name, value in row.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _wanted(rows: Iterable[Row]) -> list[str]:
    """All columns worth a look: time, level and service, the rest by how many rows have it, the message."""
    rows = list(rows)
    counts = Counter(name for row in rows for name, value in row.items() if value is not None)
    order = list(dict.fromkeys(name for row in rows for name in row))
    several = len({row.get("_stream") for row in rows}) > 1
    hidden = {*_FIRST, _LAST, *(_ADDRESS[1:] if several else _ADDRESS)}
    rest = sorted(
        (name for name in order if name not in hidden and counts[name]), key=lambda name: -counts[name]
    )
    if several:
        rest = ["_stream", *(name for name in rest if name != "_stream")]
    return [*(name for name in _FIRST if counts[name]), *rest, *([_LAST] if counts[_LAST] else [])]


def _width(name: str, rows: Iterable[Row], *, cut: bool) -> int:
    widest = max((cell_len(_shown(row[name])) for row in rows if row.get(name) is not None), default=0)
    return max(cell_len(visible(name)), min(widest, VALUE_COLUMNS_MAX) if cut else widest)


def _fitting(wanted: Sequence[str], widths: dict[str, int], width: int) -> list[str]:
    """As many columns as the width holds, with room for the message; its width becomes what is left."""
    message = _LAST in wanted
    left = width - (min(widths[_LAST], MESSAGE_COLUMNS_MIN) + GAP if message else 0)
    chosen: list[str] = []
    for name in wanted:
        needs = widths[name] + GAP
        if name != _LAST and (needs <= left + GAP or not chosen):
            chosen.append(name)
            left -= needs
    if message:
        taken = sum(widths[name] + GAP for name in chosen)
        widths[_LAST] = max(min(widths[_LAST], width - taken), min(widths[_LAST], 10))
        chosen.append(_LAST)
    return chosen


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return visible(value)
    return "" if value is None else visible(orjson.dumps(value).decode())


def _cell(name: str, value: Any) -> Text:
    style = _LEVEL_STYLES.get(str(value), "") if name == "level" else ""
    return Text(_shown(value), style=style)
