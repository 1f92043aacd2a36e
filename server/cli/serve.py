"""`klomp serve`: run the store until Ctrl-C or SIGTERM."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from pydantic import ValidationError

from server.settings import Settings
from server.supervisor import PortTaken, Supervisor
from storage.errors import StoreLocked

EXIT_USAGE = 2

Function = TypeVar("Function", bound=Callable[..., None])

SERVER_OPTIONS = (
    click.option(
        "--data", default="data", show_default=True, type=click.Path(path_type=Path), help="Where all lies."
    ),
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    click.option("--port", default=8080, show_default=True, help="Port to listen on."),
)


def server_options(function: Function) -> Function:
    """The options of every command that runs a server."""
    for option in reversed(SERVER_OPTIONS):
        function = option(function)
    return function


def supervise(settings: Settings, on_tick: Callable[[Supervisor], None]) -> None:
    """Run a server in the foreground, with its signals and its first mistakes seen to."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="klomp %(asctime)s %(levelname)s: %(message)s"
    )
    try:
        supervisor = Supervisor(settings)
    except (StoreLocked, PortTaken) as error:
        hint = getattr(error, "hint", "") or "stop what listens there, or use another --port"
        click.echo(f"klomp: {error}\nhint: {hint}", err=True)
        sys.exit(EXIT_USAGE)
    except OSError as error:
        click.echo(f"klomp: cannot use {settings.data}: {error.strerror}", err=True)
        sys.exit(EXIT_USAGE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run(lambda: on_tick(supervisor))


def settings_of(data: Path, host: str, port: int) -> Settings:
    """Settings from options, or a clear end."""
    try:
        return Settings(data=data.absolute(), host=host, port=port)
    except ValidationError as error:
        first = error.errors()[0]
        click.echo(f"klomp: {'.'.join(map(str, first['loc']))}: {first['msg']}", err=True)
        sys.exit(EXIT_USAGE)


@click.command()
@server_options
def serve(data: Path, host: str, port: int) -> None:
    """Run the store: HTTP, the indexer, and what watches over them.

    Ctrl-C or SIGTERM stops it; nothing that was acknowledged is lost, however it ends.

    \b
    Example:
      klomp serve --data /var/lib/klomp --port 8080
    """  # noqa: D301  # \b keeps lines as they are
    settings = settings_of(data, host, port)
    from server.cli.readiness import announce  # noqa: PLC0415

    supervise(settings, announce(settings))
