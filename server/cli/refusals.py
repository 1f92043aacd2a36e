"""What a server refused, shown whole: every mistake, those in a document at their places."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from server.cli.common import visible
from server.cli.question import exit_rendered
from server.client import RefusedError


@contextmanager
def refusals_shown() -> Iterator[None]:
    """Within it, a server's no ends the command with all that it says."""
    try:
        yield
    except RefusedError as error:
        if error.rendered is not None:
            exit_rendered(error.rendered)
        for other in error.errors[1:]:
            hint = other.get("hint")
            told = visible(other["message"]) + (f"; {visible(hint)}" if hint else "")
            click.echo(f"error: {told}", err=True)
        raise
