"""Answers to questions as commands print them: a table for people, or a format for programs."""

import sys
from collections.abc import Callable
from typing import Any

import click
import orjson
from rich.console import Console

from server.answer import Answer
from server.cli.common import Decorated, counted, grouped, visible, with_hint
from server.cli.table import print_table
from server.encode import csv, edn, json, ndjson

ENCODERS: dict[str, Callable[[Answer], bytes]] = {
    "json": json.encode,
    "ndjson": ndjson.encode,
    "edn": edn.encode,
    "csv": csv.encode,
}
HIDDEN_SHOWN_MAX = 4  # names of fields for which a table had no room
ROWS_ONLY = frozenset({"ndjson", "csv"})  # formats with no room for the cursor


def answer_options(function: Decorated) -> Decorated:
    """How to print it: what commands that print an answer share."""
    form = click.option(
        "--format",
        "form",
        type=click.Choice(["table", *ENCODERS]),
        help="How to print it. [default: table on a terminal, else ndjson]",
    )
    width = click.option(
        "--width",
        type=click.IntRange(0),
        help="Of the table; 0 is as wide as it gets. [default: the terminal's]",
    )
    return form(width(function))


def answer_of(found: dict[str, Any]) -> Answer:
    """The answer that a server gave in JSON."""
    return Answer(
        records=[orjson.dumps(row) for row in found["rows"]],
        now=found["now"],
        took_ms=found["took_ms"],
        cursor=found.get("cursor"),
        complete=found.get("complete", True),
        total=found.get("total"),
        warnings=found.get("warnings", []),
        approximate=found.get("approximate", {}),
        columns=found.get("columns"),
        times=found.get("times"),
    )


def print_answer(answer: Answer, form: str | None, width: int | None) -> None:
    """Print an answer, and on standard error what to know about it.

    Args:
        answer: To print.
        form: A format, `table`, or None for a table on a terminal and else NDJSON.
        width: Of a table; None is the terminal's, 0 as wide as it gets.
    """
    form = form or ("table" if sys.stdout.isatty() else "ndjson")
    if form == "table":
        _print_table(answer, width)
    else:
        _print_encoded(answer, form)
    for warning in warnings_of(answer):
        click.echo(f"warning: {visible(warning)}", err=True)


def warnings_of(answer: Answer) -> list[str]:
    """What to know about an answer, a line each."""
    return [
        *([] if answer.complete else ["the answer is not complete"]),
        *map(with_hint, answer.warnings),
        *(f"{name} is approximate: {how}" for name, how in answer.approximate.items()),
    ]


def _print_encoded(answer: Answer, form: str) -> None:
    encoded: bytes = ENCODERS[form](answer)
    if form == "json" and sys.stdout.isatty():
        encoded = orjson.dumps(orjson.loads(encoded), option=orjson.OPT_INDENT_2)
    click.echo(encoded, nl=not encoded.endswith(b"\n") and bool(encoded))
    if form in ROWS_ONLY and answer.cursor is not None:
        click.echo(f"{counted(len(answer.rows), 'row')}; next page: --after {answer.cursor}", err=True)


def _print_table(answer: Answer, width: int | None) -> None:
    console = Console()
    rows = answer.plain_rows()
    hidden = print_table(console, rows, answer.columns, width=console.width if width is None else width)
    if rows:
        click.echo()
    if hidden:
        names = ", ".join(hidden[:HIDDEN_SHOWN_MAX])
        more = len(hidden) - HIDDEN_SHOWN_MAX
        rest = f" and {counted(more, 'more field')}" if more > 0 else ""
        click.echo(f"no room for {visible(names)}{rest}: see --width 0, --format json")
    sums = [counted(len(rows), "row")]
    if answer.total is not None:
        sums.append(f"{grouped(answer.total)} total")
    sums.append(f"{answer.took_ms:.1f} ms")
    if answer.cursor is not None:
        sums.append(f"next page: --after {answer.cursor}")
    click.echo(" · ".join(sums))
