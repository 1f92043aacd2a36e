"""`klomp query 'EDN'`: ask a server, or a folder of data without one, and print the answer."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from dsl.errors import QueryError
from server.answer import Answer
from server.cli.common import Failure, client_failures, counted, grouped, url_option, visible
from server.cli.question import exit_rendered, question_options, question_text, whole_question
from server.cli.table import print_table
from server.client import Client, RefusedError
from server.encode import csv, edn, json, ndjson

ENCODERS: dict[str, Callable[[Answer], bytes]] = {
    "json": json.encode,
    "ndjson": ndjson.encode,
    "edn": edn.encode,
    "csv": csv.encode,
}
HIDDEN_SHOWN_MAX = 4  # names of fields for which a table had no room
ROWS_ONLY = frozenset({"ndjson", "csv"})  # formats with no room for the cursor


@click.command
@question_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", *ENCODERS]),
    help="How to print it. [default: table on a terminal, else ndjson]",
)
@click.option(
    "--width", type=click.IntRange(0), help="Of the table; 0 is as wide as it gets. [default: the terminal's]"
)
@url_option
def query(
    *,
    question: str | None,
    file: Any,
    streams: tuple[str, ...],
    last: str | None,
    limit: int | None,
    after: str | None,
    form: str | None,
    width: int | None,
    data: Path | None,
    url: str,
) -> None:
    """Ask a question in EDN; - reads it from standard input.

    A whole question is a map; a vector is taken as its :where, and --from, --last and --limit give the rest.

    \b
      klomp query '{:time {:last "1h"} :where [:= :level "error"] :limit 20}'
      klomp query '[:phrase :message "connection reset"]' --from main --last 1h
      klomp query '{:group-by [:service] :aggregate {:n [:count]}}' --format csv
      klomp query --last 10m

    Exit code: 0 answered, 2 a mistake in the question or no answer.
    """  # noqa: D301  # \b keeps lines as they are
    text = whole_question(question_text(question, file), streams, last, limit)
    answer = _ask_server(text, url, after) if data is None else _ask_folder(text, data, after)
    print_answer(answer, form, width)


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
    for warning in _warnings(answer):
        click.echo(f"warning: {visible(warning)}", err=True)


def _ask_server(text: str, url: str, after: str | None) -> Answer:
    with client_failures():
        try:
            with Client(url) as client:
                found = client.query(text, after=after)
        except RefusedError as error:
            if error.rendered is None:
                raise
            exit_rendered(error.rendered)
    return answer_of(found)


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


def _ask_folder(text: str, data: Path, after: str | None) -> Answer:
    from server.embedded import open_embedded  # noqa: PLC0415  # the whole store: only where it is asked in here
    from storage.errors import StoreError  # noqa: PLC0415

    try:
        with open_embedded(data) as engine:
            return engine.query(text, after=after)
    except QueryError as error:
        exit_rendered(error.render(text))
    except StoreError as error:
        raise Failure(error.message, error.hint or None) from error


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


def _warnings(answer: Answer) -> list[str]:
    warnings = [] if answer.complete else ["the answer is not complete"]
    for warning in answer.warnings:
        hint = warning.get("hint")
        warnings.append(f"{warning['message']}; {hint}" if hint else str(warning["message"]))
    return warnings + [f"{name} is approximate: {how}" for name, how in answer.approximate.items()]
