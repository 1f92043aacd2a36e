"""`klomp query 'EDN'`: ask a server, or a folder of data without one, and print the answer."""

from pathlib import Path
from typing import Any

import click

from server.cli.answers import answer_of, answer_options, print_answer
from server.cli.common import client_failures, url_option
from server.cli.folder import engine_over
from server.cli.question import question_options, question_text, whole_question
from server.cli.refusals import refusals_shown
from server.client import Client


@click.command
@question_options
@answer_options
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
    if data is None:
        with client_failures(), refusals_shown(), Client(url) as client:
            answer = answer_of(client.query(text, after=after))
    else:
        with engine_over(data, text) as engine:
            answer = engine.query(text, after=after)
    print_answer(answer, form, width)
