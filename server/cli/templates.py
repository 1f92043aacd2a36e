"""`klomp templates`: the saved templates of a server: list, show, save, delete, and their versions."""

from typing import Any

import click
import orjson
from rich.console import Console

from server.cli.common import client_failures, counted, format_option, url_option
from server.cli.run import run
from server.cli.saved import TEMPLATES
from server.cli.saved_commands import Saved, add_saved_commands
from server.cli.table import print_table
from server.client import Client


@click.group(invoke_without_command=True)
@url_option
@click.pass_context
def templates(context: click.Context, *, url: str) -> None:
    """Look after saved templates; without a command, list them. `klomp run NAME` runs one.

    \b
      klomp templates
      klomp templates show slowest-routes > mine.edn
      klomp templates put slowest-routes mine.edn
      klomp templates versions slowest-routes
      klomp templates restore slowest-routes 1
      klomp templates delete slowest-routes
    """  # noqa: D301  # \b keeps lines as they are
    context.obj = url
    if context.invoked_subcommand is None:
        list_templates.invoke(list_templates.make_context("list", [], parent=context))


@templates.command("list")
@format_option
@url_option
def list_templates(*, form: str, url: str) -> None:
    """List the templates with what they are for; those with a version of 0 are built in."""
    with client_failures(), Client(url) as client:
        rows = client.call("GET", TEMPLATES)["templates"]
    if form == "json":
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    shown = [
        {
            "name": row["name"],
            "version": "built in" if row.get("builtin") else str(row["version"]),
            "values": " ".join(_value(param) for param in row["params"]),
            "what it is for": row["doc"] or row.get("mistake", ""),
        }
        for row in rows
    ]
    print_table(Console(), shown, ("name", "version", "values", "what it is for"))
    click.echo(counted(len(rows), "template"))


add_saved_commands(
    templates,
    Saved(
        root=TEMPLATES,
        noun="template",
        as_json=lambda found: found["template"],
        json_help="",
        first_version=0,
        delete_help="",
    ),
)
templates.add_command(run)


def _value(param: dict[str, Any]) -> str:
    return f"{param['name']}=…" if param["required"] else f"[{param['name']}]"
