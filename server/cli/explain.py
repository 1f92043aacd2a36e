"""`klomp explain 'EDN'`: how a question is understood and answered, and what that costs, before anything runs."""

import sys
from pathlib import Path
from typing import Any

import click
import orjson

from dsl.errors import QueryError
from server.cli.common import Failure, client_failures, url_option
from server.cli.question import exit_rendered, question_options, question_text, whole_question
from server.cli.tree import explanation_lines
from server.client import Client, RefusedError


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
    found = (
        _ask_server(text, url, after, run=run) if data is None else _ask_folder(text, data, after, run=run)
    )
    if form == "json":
        option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
        click.echo(orjson.dumps(found, option=option).decode())
        return
    for line in explanation_lines(found):
        click.echo(line)


def _ask_server(text: str, url: str, after: str | None, *, run: bool) -> dict[str, Any]:
    with client_failures():
        try:
            with Client(url) as client:
                return client.explain(text, after=after, run=run)
        except RefusedError as error:
            if error.rendered is None:
                raise
            exit_rendered(error.rendered)


def _ask_folder(text: str, data: Path, after: str | None, *, run: bool) -> dict[str, Any]:
    from server.embedded import open_embedded  # noqa: PLC0415  # the whole store: only where it is asked in here
    from storage.errors import StoreError  # noqa: PLC0415

    try:
        with open_embedded(data) as engine:
            return engine.explain(text, after=after, run=run)
    except QueryError as error:
        exit_rendered(error.render(text))
    except StoreError as error:
        raise Failure(error.message, error.hint or None) from error
