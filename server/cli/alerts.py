"""`klomp alerts`: what fires on a server."""

from __future__ import annotations

import click
import orjson
from rich.console import Console

from server.cli.common import client_failures, counted, format_option, url_option
from server.cli.refusals import refusals_shown
from server.cli.table import print_table
from server.client import Client

COLUMNS = ("state", "since", "rule", "labels", "summary")


@click.command
@click.option("--all", "every", is_flag=True, help="Also those that were resolved a moment ago.")
@click.option(
    "--match", "matchers", multiple=True, help='Of a label, such as service=auth or host=~"web-.*".'
)
@format_option
@url_option
def alerts(*, every: bool, matchers: tuple[str, ...], form: str, url: str) -> None:
    """List the alerts that are pending or fire."""
    parameters = [("match", one) for one in matchers]
    with client_failures(), refusals_shown(), Client(url) as client:
        rows = client.call("GET", "/v1/alerts", parameters=parameters)["alerts"]
    rows = [row for row in rows if every or row["state"] != "resolved"]
    if form == "json":
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    shown = [
        {
            "state": row["state"]
            + (" (silenced)" if row["silenced"] else " (acknowledged)" if row["acknowledged"] else ""),
            "since": row["resolved"] or row["fired"] or row["active"],
            "rule": row["rule"],
            "labels": " ".join(
                f"{name}={text}" for name, text in row["labels"].items() if name != "alertname"
            ),
            "summary": row["annotations"].get("summary", ""),
        }
        for row in rows
    ]
    print_table(Console(), shown, COLUMNS)
    click.echo(counted(len(rows), "alert"))
