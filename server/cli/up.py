"""`klomp up`, what `make run` runs: a store with demo logs in it, three questions with their answers, and more logs."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from server.cli.demo import CALM_PART
from server.cli.readiness import address, when_ready
from server.cli.serve import server_options, settings_of, supervise
from server.cli.table import print_table
from server.client import Client, ClientError
from server.clock import now_us
from server.demo.feed import feed
from server.demo.generator import MINUTE_US, Demo
from server.settings import Settings

STREAM = "main"
PAST_MINUTES = 15
RATE = 20.0  # records a second on average: enough to see something move
TICK_S = 1.0
ROWS_SHOWN = 5
WIDTH = 110  # columns of the tables

QUESTIONS: tuple[tuple[str, str, dict[str, int]], ...] = (
    ("the newest errors", '[:= :level "error"]', {"limit": ROWS_SHOWN}),
    (
        "who had them, and how slow were they",
        """{:time {:last "30m"}
  :group-by [:service]
  :aggregate {:requests [:count] :errors [:count [:= :level "error"]] :p95_ms [:percentile :latency_ms 95]}
  :order-by [[:errors :desc]] :limit 5}""",
        {},
    ),
    (
        "a needle: where is the wooden shoe dance",
        '{:where [:match :message "klompendans"] :select [:timestamp :service :message]}',
        {},
    ),
)


@click.command(short_help="Run a store with demo logs in it.")
@server_options
def up(**options: Any) -> None:
    """Run a store, fill it with the logs of a demo shop, and show what can be asked of them.

    It is `klomp serve` and `klomp demo` in one; Ctrl-C stops both. A second start goes on with the data of the first.
    """
    settings = settings_of(options)
    stop = threading.Event()
    guide = threading.Thread(target=_guide, args=(settings, stop), name="demo", daemon=True)
    supervise(settings, when_ready(settings, guide.start))
    stop.set()
    click.echo("stopped; all that was acknowledged is in " + str(settings.data))


def _guide(settings: Settings, stop: threading.Event) -> None:
    """Fill the store, explain it, and go on filling it until told to stop."""
    url = address(settings)
    try:
        with Client(url) as client:
            shop = _fill(client, settings)
            _explain(client, url, settings)
            while not stop.wait(TICK_S):
                for _ in feed(client, STREAM, shop.records(now_us())):
                    pass
    except ClientError as error:
        if not stop.is_set():
            click.echo(f"the demo stopped: {error}", err=True)


def _fill(client: Client, settings: Settings) -> Demo:
    """Write the past once; a demo that goes on from now."""
    begin_us = now_us()
    if any(stream["name"] == STREAM and stream["records"] for stream in client.streams()):
        click.echo(f"{settings.data} has logs already: going on with them")
        return Demo(begin_us, begin_us, rate=RATE)
    past_us = PAST_MINUTES * MINUTE_US
    shop = Demo(1, begin_us - past_us, rate=RATE, calm_us=int(past_us * CALM_PART))
    for _ in feed(client, STREAM, shop.records(begin_us)):
        pass
    client.ingest(STREAM, [orjson.dumps(HELLO)], refresh=True)
    return shop


def _program() -> str:
    """How this command is called from here."""
    path = Path(sys.argv[0])
    if shutil.which(path.name) == str(path):
        return path.name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


HELLO = {"level": "info", "service": "klomp", "message": "klomp is up: the clogs are danced in"}


def _explain(client: Client, url: str, settings: Settings) -> None:
    console = Console(highlight=False, soft_wrap=True, width=WIDTH)
    program = _program()
    shown_url = "" if url == "http://127.0.0.1:8080" else f" --url {url}"
    console.print(f"\nklomp is at {url}, its data is in {settings.data}\n", style="bold")
    for title, question, options in QUESTIONS:
        extra = "".join(f" --{name} {value}" for name, value in options.items())
        console.print(f"# {title}", style="bold")
        console.print(f"{program} query{shown_url}{extra} '{question}'\n", markup=False)
        document = question if question.startswith("{") else f"{{:where {question} :limit {ROWS_SHOWN}}}"
        answer = client.query(document)
        print_table(console, answer["rows"], answer.get("columns"), width=WIDTH)
        for name, how in answer.get("approximate", {}).items():
            console.print(f"({name} is approximate: {how})", markup=False)
        console.print()
    console.print(f"or:  curl {url}/query -d '{{:limit 3}}'")
    console.print("read on in docs/quickstart.md; more logs come in as you read; Ctrl-C stops all\n")
