"""`klomp apply DIR` and `klomp export DIR`: all that is set, as EDN files that can be kept under version control.

DIR/streams/app.edn   DIR/templates/slowest.edn   DIR/rules/checkout-errors.edn   DIR/channels/ops.edn
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

import click

from dsl.errors import QueryError
from dsl.reader import read
from server.cli.common import Failure, client_failures, counted, url_option, visible, warn
from server.cli.saved import author
from server.client import Client, RefusedError
from server.variables import references

FOLDERS = {"streams": "stream", "templates": "template", "rules": "rule", "channels": "channel"}
SUFFIX = ".edn"
FILE_BYTES_MAX = 1 << 20  # a document has 64 KiB at most; what is larger is no document
CONTEXT_LINES = 3
COLOURS = {"create": "green", "update": "yellow", "delete": "red"}
SIGNS = {"create": "+", "update": "~", "delete": "-"}
DONE = {"create": "created", "update": "changed", "delete": "deleted"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file: where it lies, and the document that it is."""

    path: Path
    kind: str
    name: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.kind, self.name


@click.command(name="apply")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Print the difference and change nothing.")
@click.option(
    "--prune/--no-prune",
    default=True,
    show_default=True,
    help="Delete templates, rules and channels that have no file, of the kinds that have a folder.",
)
@click.option(
    "--delete-streams", is_flag=True, help="Delete streams that have no file, with ALL THEIR RECORDS."
)
@url_option
def apply(folder: Path, *, dry_run: bool, prune: bool, delete_streams: bool, url: str) -> None:
    r"""Make streams, templates, rules and channels what the EDN files of a directory say.

    The difference is printed first. Where one file has a mistake nothing is changed, and doing it again changes
    nothing. In channels ${NAME} stands for a variable of the environment, ${NAME:-else} for one that may be missing.

    \b
      klomp apply config --dry-run      what would change
      klomp export config               begin with what is set
    """
    kinds = [kind for name, kind in FOLDERS.items() if (folder / name).is_dir()]
    if not kinds:
        raise Failure(f"{folder} has none of the folders {', '.join(FOLDERS)}", "klomp export writes them")
    sources = list(_sources(folder))
    request = {
        "files": [{"kind": one.kind, "name": one.name, "text": one.text} for one in sources],
        "kinds": kinds,
        "variables": _variables(sources),
        "prune": prune,
        "delete_streams": delete_streams,
    }
    with client_failures(), Client(url) as client:
        try:
            planned = client.post("/v1/apply", {**request, "dry_run": True})
            changes = planned["changes"]
            _print(changes)
            warn(
                {**one, "message": f"{one['kind']} {one['name']}: {one['message']}"}
                for one in planned["warnings"]
            )
            if not dry_run and any(one["change"] != "none" for one in changes):
                client.post("/v1/apply", request, author())
                click.echo("applied")
        except RefusedError as error:
            raise _failure(error, sources) from error


@click.command(name="export")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Write over files that are there.")
@url_option
def export(folder: Path, *, force: bool, url: str) -> None:
    """Write streams, templates, rules and channels as EDN files, as `klomp apply` reads them.

    For each secret there stands a reference to the environment; without that variable `apply` keeps what is set.
    """
    with client_failures(), Client(url) as client:
        answer = client.call("GET", "/v1/export")
    files = answer["files"]
    folders = {kind: name for name, kind in FOLDERS.items()}
    targets = {folder / folders[one["kind"]] / (one["name"] + SUFFIX): one["text"] + "\n" for one in files}
    others = [path for path, text in targets.items() if path.exists() and path.read_text("utf-8") != text]
    if others and not force:
        raise Failure(f"{others[0]} is there, and says something else", "--force writes over it")
    try:
        for kind in answer["kinds"]:
            (folder / folders[kind]).mkdir(parents=True, exist_ok=True)
        for path, text in targets.items():
            path.write_text(text, "utf-8")
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {error.strerror}") from error
    click.echo(f"{counted(len(targets), 'file')} in {folder}")


def _sources(folder: Path) -> Iterator[Source]:
    for name, kind in FOLDERS.items():
        for path in sorted((folder / name).glob(f"*{SUFFIX}")):
            try:
                if path.stat().st_size > FILE_BYTES_MAX:
                    raise Failure(
                        f"{path} is larger than {FILE_BYTES_MAX} bytes", "a document is at most 64 KiB"
                    )
                yield Source(path, kind, path.name.removesuffix(SUFFIX), path.read_text("utf-8"))
            except UnicodeDecodeError as error:
                raise Failure(f"{path} is not UTF-8 at byte {error.start}") from error
            except OSError as error:
                raise Failure(f"cannot read {path}: {error.strerror}") from error


def _variables(sources: Sequence[Source]) -> dict[str, str]:
    """Those variables of the environment that channels name: no other one is sent."""
    names: set[str] = set()
    for one in sources:
        if one.kind == "channel":
            try:
                names |= references(read(one.text))
            except QueryError:
                continue  # the server says what is wrong with it, together with all else
    return {name: os.environ[name] for name in names if name in os.environ}


def _failure(error: RefusedError, sources: Sequence[Source]) -> Failure:
    """What is wrong with each file, by its place."""
    refused = error.body.get("files")
    if not refused:
        return Failure(error.message, error.hint)
    paths = {one.key: str(one.path) for one in sources}
    lines: list[str] = []
    for entry in refused:
        path = paths.get((entry["kind"], entry["name"]), f"{entry['kind']} {entry['name']}")
        for item in entry["errors"]:
            place = f":{item['line']}:{item['column']}" if "line" in item else ""
            lines.append(f"{path}{place}: {item['message']} [{item['code']}]")
            if "line" not in item and "hint" in item:
                lines.append(f"  hint: {item['hint']}")
        if entry.get("text"):
            lines += [f"  {line}" for line in entry["text"].splitlines()]
    return Failure("nothing is changed:\n" + "\n".join(visible(line) for line in lines))


def _print(changes: Sequence[dict[str, Any]]) -> None:
    told = [one for one in changes if one["change"] != "none"]
    for one in told:
        click.secho(
            f"{SIGNS[one['change']]} {one['kind']} {one['name']}", fg=COLOURS[one["change"]], bold=True
        )
        if one["hidden"]:
            click.echo("    a secret changes")
        for line in _difference(one["before"], one["after"]):
            colour = {"+": "green", "-": "red"}.get(line[:1])
            click.secho(f"    {visible(line)}", fg=colour)
    counts = [
        f"{sum(one['change'] == what for one in told)} {done}"
        for what, done in DONE.items()
        if any(one["change"] == what for one in told)
    ]
    same = len(changes) - len(told)
    click.echo(", ".join([*counts, f"{same} as they are"]))


def _difference(before: str | None, after: str | None) -> Iterator[str]:
    lines = unified_diff(
        (before or "").splitlines(), (after or "").splitlines(), n=CONTEXT_LINES, lineterm=""
    )
    for line in lines:
        if not line.startswith(("---", "+++", "@@")):
            yield f"{line[:1]} {line[1:]}"
