"""`klomp templates`: the saved templates of a server: list, show, save, delete, and their versions."""

from typing import Any, BinaryIO

import click
import orjson
from rich.console import Console

from server.cli.common import Failure, client_failures, counted, format_option, url_option
from server.cli.refusals import refusals_shown
from server.cli.run import run
from server.cli.saved import (
    TEMPLATES,
    author,
    content_type,
    document_path,
    print_versions,
    restore_version,
)
from server.cli.table import print_table
from server.client import Client


@click.group(invoke_without_command=True)
@click.pass_context
def templates(context: click.Context) -> None:
    """Look after saved templates; without a command, list them. `klomp run NAME` runs one.

    \b
      klomp templates
      klomp templates show slowest-routes > mine.edn
      klomp templates put slowest-routes mine.edn
      klomp templates versions slowest-routes
      klomp templates restore slowest-routes 1
      klomp templates delete slowest-routes
    """  # noqa: D301  # \b keeps lines as they are
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


@templates.command
@click.argument("name")
@click.option("--version", type=click.IntRange(0), help="An old version, also of one that was deleted.")
@click.option("--format", "form", type=click.Choice(["edn", "json"]), default="edn", show_default=True)
@url_option
def show(*, name: str, version: int | None, form: str, url: str) -> None:
    """Print a template as it was saved."""
    parameters = [] if version is None else [("version", str(version))]
    with client_failures(), refusals_shown(), Client(url) as client:
        found = client.call("GET", document_path(TEMPLATES, name), parameters=parameters)
    if found.get("deleted"):
        raise Failure(f"version {found['version']} is the deletion of {name}")
    click.echo(
        found["text"] if form == "edn" else orjson.dumps(found["template"], option=orjson.OPT_INDENT_2)
    )


@templates.command
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.option("--if-version", type=click.IntRange(0), help="Only if this is the newest version.")
@click.option("--json", "as_json", is_flag=True, help="The file is JSON, not EDN.")
@url_option
def put(*, name: str, file: BinaryIO, if_version: int | None, as_json: bool, url: str) -> None:
    """Save a template from a file; - is standard input."""
    headers = {**content_type(as_json=as_json), **author()}
    if if_version is not None:
        headers["If-Match"] = f'"{if_version}"'
    with client_failures(), refusals_shown(), Client(url) as client:
        found = client.call("PUT", document_path(TEMPLATES, name), body=file.read(), headers=headers)
    click.echo(f"saved {found['name']}, version {found['version']}")


@templates.command
@click.argument("name")
@url_option
def delete(*, name: str, url: str) -> None:
    """Delete a template; its versions stay and can be restored."""
    with client_failures(), refusals_shown(), Client(url) as client:
        found = client.call("DELETE", document_path(TEMPLATES, name), headers=author())
    click.echo(f"deleted {name}; klomp templates restore {name} {found['version'] - 1} brings it back")


@templates.command
@click.argument("name")
@format_option
@url_option
def versions(*, name: str, form: str, url: str) -> None:
    """List the versions of a template, the newest first."""
    print_versions(TEMPLATES, name, form=form, url=url)


@templates.command
@click.argument("name")
@click.argument("version", type=click.IntRange(0))
@url_option
def restore(*, name: str, version: int, url: str) -> None:
    """Save an old version again, as the newest."""
    restore_version(TEMPLATES, name, version, url=url)


templates.add_command(run)


def _value(param: dict[str, Any]) -> str:
    return f"{param['name']}=…" if param["required"] else f"[{param['name']}]"
