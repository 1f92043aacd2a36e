"""`klomp rules`: the alert rules of a server: list, show, save, delete, try, replay; and unit tests of rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import click
import orjson
from rich.console import Console

from dsl.errors import QueryError
from server.cli.common import Failure, client_failures, counted, format_option, url_option, visible, warn
from server.cli.refusals import refusals_shown
from server.cli.saved import RULES, content_type, document_path
from server.cli.saved_commands import Saved, add_saved_commands
from server.cli.table import print_table
from server.client import Client


@click.group(invoke_without_command=True)
@url_option
@click.pass_context
def rules(context: click.Context, *, url: str) -> None:
    """Look after alert rules; without a command, list them.

    \b
      klomp rules
      klomp rules try errors.edn                 what it would find now; nobody is told
      klomp rules replay errors.edn --since -7d  when it would have fired
      klomp rules put errors errors.edn
      klomp rules show errors
      klomp rules test errors.test.edn           unit tests: records in, alerts out; no server needed
      klomp rules versions errors
      klomp rules restore errors 1
      klomp rules delete errors
    """  # noqa: D301  # \b keeps lines as they are
    context.obj = url
    if context.invoked_subcommand is None:
        list_rules.invoke(list_rules.make_context("list", [], parent=context))


@rules.command("list")
@format_option
@url_option
def list_rules(*, form: str, url: str) -> None:
    """List the rules and how they stand."""
    with client_failures(), Client(url) as client:
        rows = client.call("GET", RULES)["rules"]
    if form == "json":
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    shown = [
        {
            "name": row["name"],
            "version": str(row["version"]),
            "state": row["state"],
            "firing": str(row["alerts"]["firing"]),
            "pending": str(row["alerts"]["pending"]),
            "last evaluation": row["last_evaluation"] or "",
        }
        for row in rows
    ]
    columns = ("name", "version", "state", "firing", "pending", "last evaluation")
    print_table(Console(), shown, columns, right=("version", "firing", "pending"))
    click.echo(counted(len(rows), "rule"))


add_saved_commands(
    rules,
    Saved(
        root=RULES,
        noun="rule",
        as_json=lambda found: found,
        json_help="; with --format json also how it stands",
        first_version=1,
        delete_help=": its alerts end",
    ),
)


@rules.command("try")
@click.argument("file", type=click.File("rb"))
@click.option("--at", help="When; a time, or such as now-2h. [default: now]")
@click.option("--json", "as_json", is_flag=True, help="The file is JSON, not EDN.")
@format_option
@url_option
def try_rule(*, file: BinaryIO, at: str | None, as_json: bool, form: str, url: str) -> None:
    """Say what a rule in a file would find now. Nobody is told, and nothing is kept."""
    parameters = [] if at is None else [("at", at)]
    with client_failures(), refusals_shown(), Client(url) as client:
        found = client.call(
            "POST",
            f"{RULES}/test",
            body=file.read(),
            parameters=parameters,
            headers=content_type(as_json=as_json),
        )
    if form == "json":
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    names = list(found["groups"][0]["value"]) if found["groups"] else []
    shown = [
        {"": "fires" if one["fires"] else "", **{name: _cell(one["value"][name]) for name in names}}
        for one in found["groups"]
    ]
    print_table(Console(), shown, ("", *names))
    click.echo(f"{counted(len(shown), 'group')}, {found['fires']} would fire at {found['at']}")
    warn(found["warnings"])


@rules.command
@click.argument("rule")
@click.option("--since", default="-1d", show_default=True, help="From when: -7d, or a time.")
@click.option("--until", default="now", show_default=True, help="Until when.")
@click.option("--json", "as_json", is_flag=True, help="The file is JSON, not EDN.")
@format_option
@url_option
def replay(*, rule: str, since: str, until: str, as_json: bool, form: str, url: str) -> None:
    """Walk a rule over the past and print when it would have fired. RULE is a file, or the name of a saved rule."""
    parameters = [("since", f"now{since}" if since.startswith("-") else since), ("until", until)]
    headers = content_type(as_json=as_json)
    with client_failures(), refusals_shown(), Client(url) as client:
        if Path(rule).is_file():
            body = Path(rule).read_bytes()
        else:
            body, headers = (
                client.call("GET", document_path(RULES, rule))["text"].encode(),
                content_type(as_json=False),
            )
            parameters.append(("name", rule))
        found = client.call("POST", f"{RULES}/replay", body=body, parameters=parameters, headers=headers)
    if form == "json":
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    shown = [
        {
            "at": one["at"],
            "": one["state"],
            "labels": " ".join(
                f"{name}={text}" for name, text in one["labels"].items() if name != "alertname"
            ),
            "value": orjson.dumps(one["value"]).decode(),
        }
        for one in found["history"]
    ]
    print_table(Console(), shown, ("at", "", "labels", "value"))
    fired = sum(one["state"] == "firing" for one in found["history"])
    click.echo(
        f"fired {counted(fired, 'time')} in {counted(found['evaluations'], 'evaluation')}, "
        f"{found['active']} active at the end · {found['took_ms']:.0f} ms"
    )
    if found["cut"]:
        click.echo("warning: there were more changes than are shown; take a shorter time", err=True)


@rules.command
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def test(*, files: tuple[Path, ...]) -> None:
    """Run unit tests of rules: records in, times, alerts that must be there. Exit code 1 when one fails."""
    from server.alerts.unit import read_suite, run, time_text  # noqa: PLC0415  # the whole language: only where it is needed

    ran = failed = 0
    for path in files:
        text = path.read_text(encoding="utf-8")
        try:
            suite = read_suite(text, _beside(path))
        except QueryError as error:
            click.echo(f"{path}:", err=True)
            click.echo(error.render(text), err=True)
            raise SystemExit(2) from error
        except OSError as error:
            raise Failure(f"cannot read {error.filename}: {error.strerror}") from error
        for made, failures in run(suite):
            ran += 1
            failed += bool(failures)
            click.echo(f"{'FAILED' if failures else 'ok    '} {path}: {visible(made.name)}")
            for one in failures:
                click.echo(f"  {one.rule} at {time_text(one.at_us)}")
                for line in one.lines:
                    click.echo(f"    {visible(line)}")
    click.echo(f"{counted(ran, 'test')}, {failed} failed")
    if failed:
        raise SystemExit(1)


def _beside(path: Path) -> Callable[[str], str]:
    """Reads files whose paths are written as seen from another."""
    return lambda other: (path.parent / other).read_text(encoding="utf-8")


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
