"""`klomp explain 'EDN'`: how a question is understood and answered, and what that costs, before anything runs."""

import sys
from pathlib import Path
from typing import Any

import click
import orjson

from server.cli.common import client_failures, url_option
from server.cli.folder import engine_over
from server.cli.question import question_options, question_text, whole_question
from server.cli.refusals import refusals_shown
from server.cli.tree import explanation_lines
from server.client import Client


@click.command
@question_options
@click.option("--run", is_flag=True, help="Run it too, and say what that really took.")
@click.option("--format", "form", type=click.Choice(["tree", "json"]), default="tree", show_default=True)
@url_option
def explain(
    *,
    question: str | None,
    file: Any,
    streams: tuple[str, ...],
    last: str | None,
    limit: int | None,
    after: str | None,
    data: Path | None,
    run: bool,
    form: str,
    url: str,
) -> None:
    """Say how a question is understood and answered, and what it costs; - reads it from standard input.

    It takes the same questions as `klomp query`.

    \b
      klomp explain '[:contains :message "HTTP/1.1 5"]' --last 1h
      klomp explain '{:group-by [:service]}' --run

    Exit code: 0 explained, 2 a mistake in the question or no answer.
    """  # noqa: D301  # \b keeps lines as they are
    text = whole_question(question_text(question, file), streams, last, limit)
    if data is None:
        with client_failures(), refusals_shown(), Client(url) as client:
            found = client.explain(text, after=after, run=run)
    else:
        with engine_over(data, text) as engine:
            found = engine.explain(text, after=after, run=run)
    if form == "json":
        option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
        click.echo(orjson.dumps(found, option=option).decode())
        return
    for line in explanation_lines(found):
        click.echo(line)
