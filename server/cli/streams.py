"""`klomp streams`: the streams of a server with their records, sizes and range of time."""

import click
import orjson
from rich.console import Console

from server.cli.common import client_failures, counted, format_option, grouped, sized, url_option
from server.cli.table import print_table
from server.client import Client

COLUMNS = ("stream", "records", "size", "on disk", "first", "last")


@click.command
@format_option
@url_option
def streams(*, form: str, url: str) -> None:
    """List the streams: the records of each, their size as written and on disk, and from when to when."""
    with client_failures(), Client(url) as client:
        rows = client.streams()
    if form == "json":
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    shown = [
        {
            "stream": row["name"],
            "records": grouped(row["records"]),
            "size": sized(row["bytes"]),
            "on disk": sized(row["disk_bytes"]),
            "first": row["first_time"] or "",
            "last": row["last_time"] or "",
        }
        for row in rows
    ]
    print_table(Console(), shown, COLUMNS, right=("records", "size", "on disk"))
    records = sum(row["records"] for row in rows)
    click.echo(f"{counted(len(rows), 'stream')} · {counted(records, 'record')}")
