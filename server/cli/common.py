"""What the subcommands share: options, exit with an error, numbers and durations as people write them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from server.client import DEFAULT_URL, ClientError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _url(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """The server of a command: what stands behind it, or else behind the group that it is of."""
    given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    return context.obj if not given and isinstance(context.obj, str) else value


url_option: Callable[[Decorated], Decorated] = click.option(
    "--url",
    envvar="KLOMP_URL",
    default=DEFAULT_URL,
    show_default=True,
    show_envvar=True,
    callback=_url,
    help="The server.",
)

format_option: Callable[[Decorated], Decorated] = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
)


class Failure(click.ClickException):
    """What ends a command with `error: …` and exit code 2: nothing, or not everything, was done."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}; {hint}")

    def show(self, file: Any = None) -> None:  # noqa: ARG002  # errors go to stderr, whatever click was told
        """Print it on stderr."""
        click.echo(f"error: {self.message}", err=True)


@contextmanager
def client_failures() -> Iterator[None]:
    """Within it, what goes wrong with the server ends the command."""
    try:
        yield
    except ClientError as error:
        raise Failure(error.message, error.hint) from error


def grouped(number: float) -> str:
    """A number with its thousands set apart: 20 000."""
    return f"{number:,.0f}".replace(",", " ")


def counted(number: int, noun: str) -> str:
    """So many of something: 1 record, 20 000 records."""
    return f"{grouped(number)} {noun}{'' if number == 1 else 's'}"


def sized(size_bytes: float) -> str:
    """Bytes for people, in powers of 1024: 4.2 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def warn(warnings: Iterable[Mapping[str, str]]) -> None:
    """Print a server's warnings, `{"message": …, "hint": …}`, on standard error."""
    for warning in warnings:
        click.echo(f"warning: {visible(with_hint(warning))}", err=True)


def with_hint(warning: Mapping[str, str]) -> str:
    """A warning and what to do about it, where it says that."""
    return f"{warning['message']}; {warning['hint']}" if warning.get("hint") else str(warning["message"])


def visible(text: str) -> str:
    """Text of others on one line, with nothing in it that a terminal would obey."""
    return _CONTROL.sub(_pictured, text)


_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _pictured(match: re.Match[str]) -> str:
    character = match[0]
    if character == "\n":
        return "⏎"
    if character == "\t":
        return " "
    return chr(0x2400 + ord(character)) if character < " " else "\N{REPLACEMENT CHARACTER}"
