"""The commands that all saved documents have, `show`, `put`, `versions`, `restore` and `delete`, for one kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import click
import orjson

from server.cli.common import Failure, client_failures, format_option, url_option, warn
from server.cli.refusals import refusals_shown
from server.cli.saved import author, content_type, document_path, print_versions, restore_version
from server.client import Client


@dataclass(frozen=True, slots=True)
class Saved:
    """A kind of saved documents.

    Attributes:
        root: Its path.
        noun: What one is called.
        as_json: What `show --format json` prints of an answer.
        json_help: What to know of that.
        first_version: 0 where there are some that come with klomp.
        delete_help: What to know before one is deleted.
    """

    root: str
    noun: str
    as_json: Callable[[dict[str, Any]], Any]
    json_help: str
    first_version: int
    delete_help: str


def add_saved_commands(group: click.Group, saved: Saved) -> None:
    """Give a group the commands."""
    for make in (_show, _put, _versions, _restore, _delete):
        group.add_command(make(saved))


def _show(saved: Saved) -> click.Command:
    @click.command("show", help=f"Print a {saved.noun} as it was saved{saved.json_help}.")
    @click.argument("name")
    @click.option(
        "--version",
        type=click.IntRange(saved.first_version),
        help="An old version, also of one that was deleted.",
    )
    @click.option("--format", "form", type=click.Choice(["edn", "json"]), default="edn", show_default=True)
    @url_option
    def show(*, name: str, version: int | None, form: str, url: str) -> None:
        parameters = [] if version is None else [("version", str(version))]
        with client_failures(), refusals_shown(), Client(url) as client:
            found = client.call("GET", document_path(saved.root, name), parameters=parameters)
        if found.get("deleted"):
            raise Failure(f"version {found['version']} is the deletion of {name}")
        click.echo(
            found["text"] if form == "edn" else orjson.dumps(saved.as_json(found), option=orjson.OPT_INDENT_2)
        )

    return show


def _put(saved: Saved) -> click.Command:
    @click.command("put", help=f"Save a {saved.noun} from a file; - is standard input.")
    @click.argument("name")
    @click.argument("file", type=click.File("rb"))
    @click.option(
        "--if-version", type=click.IntRange(saved.first_version), help="Only if this is the newest version."
    )
    @click.option("--json", "as_json", is_flag=True, help="The file is JSON, not EDN.")
    @url_option
    def put(*, name: str, file: BinaryIO, if_version: int | None, as_json: bool, url: str) -> None:
        headers = {**content_type(as_json=as_json), **author()}
        if if_version is not None:
            headers["If-Match"] = f'"{if_version}"'
        with client_failures(), refusals_shown(), Client(url) as client:
            found = client.call("PUT", document_path(saved.root, name), body=file.read(), headers=headers)
        click.echo(f"saved {found['name']}, version {found['version']}")
        warn(found.get("warnings", ()))

    return put


def _versions(saved: Saved) -> click.Command:
    @click.command("versions", help=f"List the versions of a {saved.noun}, the newest first.")
    @click.argument("name")
    @format_option
    @url_option
    def versions(*, name: str, form: str, url: str) -> None:
        print_versions(saved.root, name, form=form, url=url)

    return versions


def _restore(saved: Saved) -> click.Command:
    @click.command("restore", help="Save an old version again, as the newest.")
    @click.argument("name")
    @click.argument("version", type=click.IntRange(saved.first_version))
    @url_option
    def restore(*, name: str, version: int, url: str) -> None:
        warn(restore_version(saved.root, name, version, url=url).get("warnings", ()))

    return restore


def _delete(saved: Saved) -> click.Command:
    @click.command("delete", help=f"Delete a {saved.noun}{saved.delete_help}; its versions stay.")
    @click.argument("name")
    @url_option
    def delete(*, name: str, url: str) -> None:
        with client_failures(), refusals_shown(), Client(url) as client:
            found = client.call("DELETE", document_path(saved.root, name), headers=author())
        command = f"klomp {saved.noun}s restore {name} {found['version'] - 1}"
        click.echo(f"deleted {name}; {command} brings it back")

    return delete
