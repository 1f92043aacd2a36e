"""What the commands for saved documents share: their paths, what a file of one is sent as, and in whose name."""

from __future__ import annotations

import getpass
from typing import Any
from urllib.parse import quote

import click
import orjson
from rich.console import Console

from server.cli.common import client_failures
from server.cli.refusals import refusals_shown
from server.cli.table import print_table
from server.client import Client

CHANNELS, RULES, TEMPLATES = "/v1/channels", "/v1/rules", "/v1/templates"


def document_path(root: str, name: str) -> str:
    """The path of one document: names are typed by people, and may need quoting."""
    return f"{root}/{quote(name, safe='')}"


def content_type(*, as_json: bool) -> dict[str, str]:
    """The header that says how a document is written."""
    return {"Content-Type": "application/json" if as_json else "application/edn"}


def author() -> dict[str, str]:
    """The header that says who runs the command, where the system knows."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return {}
    # Headers are latin-1 to Python's client: this way the bytes are those of UTF-8, as the server takes them.
    return {"X-Klomp-Author": name.encode().decode("latin-1")} if name.isprintable() else {}


def print_versions(root: str, name: str, *, form: str, url: str) -> None:
    """List the versions of a document, the newest first."""
    with client_failures(), refusals_shown(), Client(url) as client:
        rows = client.call("GET", f"{document_path(root, name)}/versions")["versions"]
    if form == "json":
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    print_table(Console(), [_version(row) for row in rows], ("version", "saved", "author", ""))


def restore_version(root: str, name: str, version: int, *, url: str) -> dict[str, Any]:
    """Save an old version of a document again, as the newest; the server's answer."""
    headers = {**content_type(as_json=True), **author()}
    body = orjson.dumps({"version": version})
    with client_failures(), refusals_shown(), Client(url) as client:
        found = client.call("POST", f"{document_path(root, name)}/restore", body=body, headers=headers)
    click.echo(f"restored {name}, now version {found['version']}")
    return found


def _version(row: dict[str, Any]) -> dict[str, Any]:
    note = "deleted" if row.get("deleted") else "built in" if row.get("builtin") else ""
    return {"version": str(row["version"]), "saved": row["saved"] or "", "author": row["author"], "": note}
