"""`klomp serve`: run the store until Ctrl-C or SIGTERM."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from server.settings import Settings
from server.supervisor import PortTaken, Supervisor
from storage.errors import StoreError

EXIT_USAGE = 2

Function = TypeVar("Function", bound=Callable[..., None])


def server_options(function: Function) -> Function:
    """The options of every command that runs a server: one for each setting."""
    for name, field in reversed(Settings.model_fields.items()):
        option = click.option(
            f"--{name.replace('_', '-')}",
            name,
            envvar=f"KLOMP_{name.upper()}",
            default=field.default,
            show_default=True,
            type=click.Path(path_type=Path) if field.annotation is Path else field.annotation,
            help=f"{(field.description or name).capitalize()}.",
        )
        function = option(function)
    return function


def supervise(settings: Settings, on_tick: Callable[[Supervisor], None]) -> None:
    """Run a server in the foreground, with its signals and its first mistakes seen to."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="klomp %(asctime)s %(levelname)s: %(message)s"
    )
    try:
        supervisor = Supervisor(settings)
    except (StoreError, PortTaken) as error:
        hint = getattr(error, "hint", "") or "stop what listens there, or use another --port"
        click.echo(f"klomp: {error}\nhint: {hint}", err=True)
        sys.exit(EXIT_USAGE)
    except OSError as error:
        click.echo(f"klomp: cannot use {settings.data}: {error.strerror}", err=True)
        sys.exit(EXIT_USAGE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.run(lambda: on_tick(supervisor))


def settings_of(options: dict[str, Any]) -> Settings:
    """Settings from options, or a clear end."""
    try:
        settings = Settings.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])).replace("_", "-")
        message = first["msg"].lower().replace("input", f"{first['input']}", 1)
        click.echo(f"klomp: --{name}: {message}", err=True)
        sys.exit(EXIT_USAGE)
    return settings.model_copy(update={"data": settings.data.absolute()})


@click.command()
@server_options
def serve(**options: Any) -> None:
    """Run the store: HTTP, the indexer, and what watches over them.

    Ctrl-C or SIGTERM stops it; nothing that was acknowledged is lost, however it ends. Every option can be set by an
    environment variable too: --query-threads by KLOMP_QUERY_THREADS.

    \b
    Example:
      klomp serve --data /var/lib/klomp --port 8080
    """  # noqa: D301  # \b keeps lines as they are
    settings = settings_of(options)
    from server.cli.readiness import announce  # noqa: PLC0415

    supervise(settings, announce(settings))
