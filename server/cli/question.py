"""The question of a command: whole, or a predicate that options complete; typed, in a file or on standard input."""

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from dsl.errors import QueryError
from dsl.reader import read
from server.cli.common import Decorated, Failure, visible
from server.encode import edn
from storage.paths import STREAM_NAME


def question_options(function: Decorated) -> Decorated:
    """What commands that take a question share."""
    for option in reversed(
        (
            click.argument("question", required=False),
            click.option("--file", "file", type=click.File("rb"), help="Read the question from a file."),
            click.option(
                "--from",
                "streams",
                multiple=True,
                metavar="STREAM",
                help="Complete a predicate: where to look.",
            ),
            click.option("--last", metavar="DURATION", help='Complete a predicate: how far back, like "1h".'),
            click.option(
                "--limit", type=click.IntRange(0), help="Complete a predicate: how many rows at most."
            ),
            click.option(
                "--after",
                metavar="CURSOR",
                help="The next page: the cursor that the page before ended with.",
            ),
            click.option(
                "--data",
                type=click.Path(exists=True, file_okay=False, path_type=Path),
                help="Ask a folder of data itself, without a server.",
            ),
        )
    ):
        function = option(function)
    return function


def question_text(question: str | None, file: Any) -> str:
    """What was typed, or lies in a file.

    Raises:
        click.UsageError: both.
        Failure: it is not UTF-8.
    """
    if question is not None and file is not None:
        raise click.UsageError("a question and --file: give one of them")
    if question == "-":
        file = sys.stdin.buffer
    if file is None:
        return question or ""
    try:
        return bytes(file.read()).decode()
    except UnicodeDecodeError as error:
        raise Failure(f"the question is not UTF-8 at byte {error.start}") from error


def whole_question(text: str, streams: tuple[str, ...], last: str | None, limit: int | None) -> str:
    """The whole question: `text` itself where it is one, else the map that has it as its `:where`."""
    start = text.lstrip()
    completes = bool(streams) or last is not None or limit is not None
    if start and not start.startswith("["):
        if completes:
            raise click.UsageError(
                "--from, --last and --limit complete a predicate; a whole question has :from, :time, :limit"
            )
        return text
    if not start and not completes:
        raise click.UsageError("""no question; ask one like: klomp query '[:= :level "error"]'""")
    if start:
        try:
            read(text)  # alone first, so that a mistake in it is shown in what was typed
        except QueryError as error:
            exit_rendered(error.render())
    parts = [f":where {text.strip()}"] if start else []
    for name in streams:
        if name != "*" and not STREAM_NAME.match(name):
            raise click.BadParameter(f"no name of a stream: {name!r}", param_hint="--from")
    if "*" in streams:
        parts.append(":from :*")
    elif streams:
        parts.append(f":from [{' '.join(map(edn.name, streams))}]")
    if last is not None:
        parts.append(f":time {{:last {edn.string(last)}}}")
    if limit is not None:
        parts.append(f":limit {limit}")
    return "{" + "\n ".join(parts) + "}"


def exit_rendered(rendered: str) -> NoReturn:
    """End with the mistakes of a question as they are shown."""
    for line in rendered.split("\n"):
        click.echo(visible(line), err=True)
    raise SystemExit(Failure.exit_code)
