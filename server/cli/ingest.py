"""`klomp ingest FILE…|-`: send files of logs, or what a pipe brings, and tell what became of every record."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from server.cli.common import client_failures, url_option
from server.cli.documents import Kind, Skipped, SourceError
from server.cli.report import Report
from server.cli.shipper import Shipper, batches
from server.cli.sources import open_source
from server.client import Client, Compression

CONNECTIONS = 2  # one sends while the other waits for its disk
AHEAD = 2  # batches of each connection: one under way, one ready


@click.command
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
@click.option("--stream", default="main", show_default=True, help="Where to; it is made on first use.")
@click.option(
    "--as",
    "kind",
    type=click.Choice([kind.value for kind in Kind]),
    help="What the files hold, where the beginning misleads.",
)
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="Add a field to each text line.")
@click.option("--refresh", is_flag=True, help="Come back only when all records can be found.")
@click.option(
    "--batch",
    "batch_records",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Records in a request, of at most 4 MiB.",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 16),
    help=f"Requests at a time. [default: {CONNECTIONS}; 1 for text, whose lines have only their order]",
)
@click.option("--compress", type=click.Choice(["zstd", "gzip"]), help="Compress requests, for slow networks.")
@url_option
def ingest(
    *,
    files: tuple[str, ...],
    stream: str,
    kind: str | None,
    fields: tuple[str, ...],
    refresh: bool,
    batch_records: int,
    connections: int | None,
    compress: Compression | None,
    url: str,
) -> None:
    """Send files of logs, or with - what comes in on a pipe.

    A file may hold JSON lines, text (each line becomes the message of a record), one JSON document, or EDN
    maps; its beginning tells which. Files compressed with gzip, zstd, bzip2 or xz are read as they are.

    \b
      klomp ingest app.ndjson
      klomp ingest access.log.*.gz --stream nginx --field service=nginx
      journalctl -f -o json | klomp ingest - --stream journal

    Every record that is not taken is named with its place and the reason. Exit code: 0 all were taken, 1 some
    were rejected, 2 it stopped before the end.
    """  # noqa: D301  # \b keeps lines as they are
    options = _Options(None if kind is None else Kind(kind), _constants(fields), batch_records, connections)
    with client_failures():
        client = Client(url, connections=options.connections_max)
    report = Report(_total_bytes(files))
    shipper = Shipper(
        client,
        stream,
        connections=options.connections_max,
        refresh=refresh,
        compress=compress,
        on_fate=report.fate,
    )
    with client, report, shipper:
        try:
            whole = all(_send_file(name, options, shipper, report) for name in files)
            whole = shipper.finish() and whole
        except SourceError as error:
            report.failed(str(error))
            shipper.finish()
            whole = False
        except KeyboardInterrupt:
            report.interrupted = True
            shipper.wait()
            whole = False
    raise SystemExit(report.end(None if whole else shipper.last or ""))


@dataclass(frozen=True, slots=True)
class _Options:
    kind: Kind | None
    fields: dict[str, str]
    batch_records: int
    connections: int | None

    @property
    def connections_max(self) -> int:
        return self.connections or CONNECTIONS

    def ahead_max(self, kind: Kind) -> int:
        """How many batches may be under way."""
        # Lines of text have no time but that of their arrival, and must arrive one batch after another.
        in_order = self.connections is None and kind is Kind.TEXT
        return 1 if in_order else AHEAD * self.connections_max


def _constants(fields: Sequence[str]) -> dict[str, str]:
    constants = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not name:
            message = f"write NAME=VALUE, like service=nginx, not {field!r}"
            raise click.BadParameter(message, param_hint="--field")
        constants[name] = value
    return constants


def _total_bytes(files: Sequence[str]) -> int | None:
    statuses = [None if name == "-" else Path(name).stat() for name in files]
    sizes = [status.st_size for status in statuses if status is not None and stat.S_ISREG(status.st_mode)]
    return sum(sizes) if len(sizes) == len(files) else None


def _send_file(name: str, options: _Options, shipper: Shipper, report: Report) -> bool:
    """Send one file; false when it was not sent whole."""
    with open_source(name) as source:
        reading, items = source.begin(options.kind, options.fields)
        report.begin(reading, source.read_bytes)
        for batch in batches(reading, items, options.batch_records):
            if isinstance(batch, Skipped):
                report.rejected(reading.place(batch.place), batch.code, batch.message)
            elif not shipper.ship(batch, ahead_max=options.ahead_max(reading.kind)):
                return False
            report.show()
        report.done(source.size_bytes or 0)
    return True
