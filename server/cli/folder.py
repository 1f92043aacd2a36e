"""What commands that work on a data directory itself share: its option, its first mistakes, progress on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsl.errors import QueryError
from server.cli.common import Decorated, Failure, sized
from server.cli.question import exit_rendered
from storage.errors import StoreError
from storage.paths import DataDirectory

if TYPE_CHECKING:
    from server.engine import Engine

SHOW_EVERY_S = 0.2

data_option: Callable[[Decorated], Decorated] = click.option(
    "--data",
    envvar="KLOMP_DATA",
    default="data",
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="The folder that holds everything; a server may run on it.",
)


@contextmanager
def engine_over(path: Path, text: str | None = None) -> Iterator[Engine]:
    """What answers questions to a folder, with no server; within it, what goes wrong ends the command.

    Args:
        path: The folder.
        text: What is asked, to show mistakes in.
    """
    from server.embedded import open_embedded  # noqa: PLC0415  # the whole store: only where it is asked in here

    try:
        with open_embedded(path) as engine:
            yield engine
    except QueryError as error:
        exit_rendered(error.render(text))
    except StoreError as error:
        raise Failure(error.message, error.hint or None) from error


def data_directory(path: Path, failure: type[Failure] = Failure) -> DataDirectory:
    """The store in a folder, or a clear end."""
    problem = None
    if not path.exists():
        problem = f"there is no {path}"
    elif not path.is_dir():
        problem = f"{path} is no folder"
    elif not (path / "streams").is_dir() and any(path.iterdir()) and not (path / "klomp.lock").exists():
        problem = f"{path} holds no store"
    if problem is not None:
        raise failure(problem, "name the folder that klomp serve has as --data")
    return DataDirectory(path)


class Progress:
    """How far something is, on one line of a terminal that is gone at the end; nothing where there is none.

    Args:
        what: What is being done.
        total: How many bytes there are to do, 0 where nobody knows.
    """

    def __init__(self, what: str, total: int = 0) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._shown_s = 0.0
        self._terminal = sys.stderr.isatty()

    def __call__(self, done: int) -> None:
        """Count some bytes more."""
        self._done += done
        share = f"{100 * min(self._done / self._total, 1):.0f} %" if self._total else sized(self._done)
        self.show(f"{self._what} … {share}")

    def show(self, line: str) -> None:
        """Say something else."""
        now = time.monotonic()
        if self._terminal and now - self._shown_s >= SHOW_EVERY_S:
            click.echo(f"\r\x1b[K{line}", err=True, nl=False)
            self._shown_s = now

    def end(self) -> None:
        """Make the line empty again."""
        if self._terminal and self._shown_s:
            click.echo("\r\x1b[K", err=True, nl=False)
