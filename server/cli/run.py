"""`klomp run NAME name=value …`: run a saved template with these values and print the answer."""

import click

from server.cli.answers import answer_of, answer_options, print_answer
from server.cli.common import client_failures, url_option
from server.cli.refusals import refusals_shown
from server.cli.saved import TEMPLATES, document_path
from server.client import Client


@click.command
@click.argument("name")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]…")
@click.option("--after", metavar="CURSOR", help="The next page: the cursor that the page before ended with.")
@click.option("--render", is_flag=True, help="Show the query that would be asked, and ask nothing.")
@answer_options
@url_option
def run(
    *,
    name: str,
    values: tuple[str, ...],
    after: str | None,
    render: bool,
    form: str | None,
    width: int | None,
    url: str,
) -> None:
    """Run a saved template; `klomp templates` lists them, `klomp templates show NAME` says what values one takes.

    \b
      klomp run error-rate-by-service window=1d
      klomp run search text='connection reset' rows=20
      klomp run errors-around at=2026-01-02T10:00:00Z within=10m levels=warn,error
      klomp run trace id=4bf92f3577b34da6 --render

    Exit code: 0 answered, 2 a mistake in the values or no answer.
    """  # noqa: D301  # \b keeps lines as they are
    given = [_pair(value) for value in values]
    path = document_path(TEMPLATES, name)
    with client_failures(), refusals_shown(), Client(url) as client:
        if render:
            click.echo(client.call("GET", f"{path}/render", parameters=given)["text"])
            return
        page = [] if after is None else [("after", after)]
        found = client.call("GET", f"{path}/run", parameters=[*given, *page])
    print_answer(answer_of(found), form, width)


def _pair(value: str) -> tuple[str, str]:
    name, sign, text = value.partition("=")
    if not sign or not name:
        raise click.BadParameter(f"{value!r} is no NAME=VALUE", param_hint="values")
    return name.removeprefix("?"), text
