"""`klomp fields STREAM`: which fields the records of a stream have, of what kinds, and their most frequent values."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import orjson
from rich.console import Console

from server.cli.common import client_failures, counted, format_option, grouped, url_option, warn
from server.cli.folder import engine_over
from server.cli.refusals import refusals_shown
from server.cli.table import print_table
from server.client import Client

COLUMNS = ("field", "type", "records", "distinct", "values")
VALUES_SHOWN = 5
VALUE_CHARACTERS_MAX = 24  # of each value in the table


@click.command
@click.argument("stream", default="main")
@click.option("--last", metavar="DURATION", help='How far back, like "1h". [default: all]')
@click.option("--since", metavar="TIME", help='From when, like "now-1d/d" or "2026-01-02".')
@click.option("--until", metavar="TIME", help="Until when.")
@click.option("--where", metavar="EDN", help="Only of the records that match.")
@click.option("--name", "names", multiple=True, metavar="FIELD", help="Only this field.")
@click.option(
    "--values", type=click.IntRange(0), default=VALUES_SHOWN, show_default=True, help="Of each field."
)
@format_option
@click.option("--width", type=click.IntRange(0), help="Of the table; 0 is as wide as it gets.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Ask a folder of data itself, without a server.",
)
@url_option
def fields(
    *,
    stream: str,
    last: str | None,
    since: str | None,
    until: str | None,
    where: str | None,
    names: tuple[str, ...],
    values: int,
    form: str,
    width: int | None,
    data: Path | None,
    url: str,
) -> None:
    """List the fields of a stream: kinds, how many records have each, the most frequent values.

    \b
      klomp fields app
      klomp fields app --last 1h --where '[:= :level "error"]'
      klomp fields app --name http.path --values 50

    Exit code: 0 answered, 2 a mistake or no answer.
    """  # noqa: D301  # \b keeps lines as they are
    said = {"last": last, "since": since, "until": until, "where": where}
    if data is None:
        found = _ask_server(url, stream, said, names, values)
    else:
        found = _ask_folder(data, stream, said, names, values)
    if form == "json":
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    _print(found, width)


def _ask_server(
    url: str, stream: str, said: dict[str, str | None], names: tuple[str, ...], values: int
) -> dict[str, Any]:
    parameters = [(name, text) for name, text in said.items() if text is not None]
    parameters += [("name", name) for name in names]
    parameters.append(("values", str(values)))
    path = f"/v1/streams/{quote(stream, safe='')}/fields"
    with client_failures(), refusals_shown(), Client(url) as client:
        return client.call("GET", path, parameters=parameters)


def _ask_folder(
    data: Path, stream: str, said: dict[str, str | None], names: tuple[str, ...], values: int
) -> dict[str, Any]:
    from server.engine.asked import Asked  # noqa: PLC0415  # the whole store: only where it is asked in here
    from server.engine.fields import Fields, Wanted, fields_query  # noqa: PLC0415

    with engine_over(data) as engine:
        return Fields(engine).of(stream, fields_query(stream, said), Wanted(values, names or None), Asked())


def _print(found: dict[str, Any], width: int | None) -> None:
    console = Console()
    rows = [_row(one) for one in found["fields"]]
    print_table(
        console,
        rows,
        COLUMNS,
        width=console.width if width is None else width,
        right=("records", "distinct"),
        rest="values",
    )
    if rows:
        click.echo()
    records = "not counted" if found["records"] is None else counted(found["records"], "record")
    click.echo(f"{counted(len(rows), 'field')} · {records} · {found['took_ms']:.1f} ms")
    if not found["complete"]:
        click.echo("warning: the answer is not complete", err=True)
    warn(found.get("warnings", ()))


def _row(one: dict[str, Any]) -> dict[str, Any]:
    kinds = one.get("types", {})
    kind = one["type"]
    if len(kinds) > 1:
        kind = ", ".join(f"{name} {grouped(count)}" for name, count in kinds.items())
    return {
        "field": one["name"],
        "type": kind,
        "records": "" if one["records"] is None else grouped(one["records"]),
        "distinct": _distinct(one),
        "values": _values(one),
    }


def _distinct(one: dict[str, Any]) -> str:
    if one.get("distinct") is not None:
        return grouped(one["distinct"])
    return "many" if "types" in one else ""


def _values(one: dict[str, Any]) -> str:
    """The most frequent values, or from where to where the others lie."""
    if one.get("values"):
        return "  ".join(f"{_short(each['value'])} {grouped(each['records'])}" for each in one["values"])
    if one.get("min") is not None:
        return f"{_short(one['min'])} to {_short(one['max'])}"
    return ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= VALUE_CHARACTERS_MAX + 4 else text[: VALUE_CHARACTERS_MAX - 1] + "…"
