"""`klomp channels`: where notifications go, whether they arrive, and what was sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from server.cli.common import Failure, client_failures, counted, format_option, url_option
from server.cli.refusals import refusals_shown
from server.cli.saved import CHANNELS, author, document_path, print_versions, restore_version
from server.cli.table import print_table
from server.client import Client

STATES = ("pending", "failed", "sent", "dead")


@click.group(invoke_without_command=True)
@url_option
@click.pass_context
def channels(context: click.Context, *, url: str) -> None:
    r"""List the channels of notifications; set, try and look at them.

    \b
      klomp channels                                   all of them
      klomp channels put ops channel.edn               set one from a file, or - for what is piped in
      klomp channels test ops                          send a notification now
      klomp channels history --state dead              what could not be sent
      klomp channels resend ops                        send that again
    """
    context.obj = url
    if context.invoked_subcommand is None:
        with client_failures(), Client(url) as client:
            rows = client.call("GET", CHANNELS)["channels"]
        print_table(Console(), rows, ("name", "type", "url", "version", "author", "saved"))
        click.echo(counted(len(rows), "channel"))


@channels.command()
@click.argument("name")
@url_option
def show(*, name: str, url: str) -> None:
    """Show one: its settings without secrets, how it fares, what it was sent."""
    with client_failures(), Client(url) as client:
        found = client.call("GET", document_path(CHANNELS, name))
    shown = {key: found[key] for key in ("name", "version", "settings", "breaker", "notifications")}
    click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))


@channels.command()
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@url_option
def put(*, name: str, file: Path, url: str) -> None:
    """Set one from a file of EDN or JSON."""
    text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    with client_failures(), refusals_shown(), Client(url) as client:
        found = client.put(document_path(CHANNELS, name), text, author())
    click.echo(f"channel {name} has version {found['version']}")


@channels.command()
@click.argument("name")
@url_option
def delete(*, name: str, url: str) -> None:
    """Take one away. Its versions stay."""
    with client_failures(), Client(url) as client:
        client.call("DELETE", document_path(CHANNELS, name), headers=author())
    click.echo(f"channel {name} is gone")


@channels.command()
@click.argument("name")
@format_option
@url_option
def versions(*, name: str, form: str, url: str) -> None:
    """List the versions of one, the newest first."""
    print_versions(CHANNELS, name, form=form, url=url)


@channels.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1))
@url_option
def restore(*, name: str, version: int, url: str) -> None:
    """Save an old version again, as the newest, its secrets too."""
    restore_version(CHANNELS, name, version, url=url)


@channels.command()
@click.argument("name")
@url_option
def test(*, name: str, url: str) -> None:
    """Send a notification that says it is a test; exit code 2 where it does not arrive."""
    with client_failures(), Client(url) as client:
        outcome = client.post(f"{document_path(CHANNELS, name)}/test", {})
    if not outcome["ok"]:
        raise Failure(f"it did not arrive: {outcome['detail']}")
    click.echo(f"sent: {outcome['detail']} ({outcome['took_ms']:.0f} ms)")


@channels.command()
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--channel", help="Only those of one channel.")
@click.option("--rule", help="Only those of one rule.")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True)
@url_option
def history(*, url: str, state: str | None, channel: str | None, rule: str | None, limit: int) -> None:
    """List what was sent, the newest first, and what became of it."""
    given = {"state": state, "channel": channel, "rule": rule, "limit": str(limit)}
    asked = [(key, value) for key, value in given.items() if value is not None]
    with client_failures(), Client(url) as client:
        rows = client.call(
            "GET",
            "/v1/notifications",
            parameters=asked,
        )["notifications"]
    print_table(
        Console(), [_row(row) for row in rows], ("id", "created", "channel", "rule", "kind", "state", "error")
    )
    click.echo(counted(len(rows), "notification"))


@channels.command()
@click.argument("name")
@url_option
def resend(*, name: str, url: str) -> None:
    """Send again all that was given up."""
    with client_failures(), Client(url) as client:
        resent = client.post(f"{document_path(CHANNELS, name)}/resend", {})["resent"]
    click.echo(f"{counted(resent, 'notification')} will be sent again")


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "error": row["error"] or ""}
