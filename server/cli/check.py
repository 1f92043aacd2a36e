"""`klomp check`: read all of a store and say what is not as it should be, and what to do about it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import orjson

from server.cli.common import Failure, counted, sized, visible
from server.cli.folder import Progress, data_directory, data_option
from storage import check as store_check
from storage.errors import UnknownStream
from storage.findings import Finding, Severity

WORDS = {Severity.HARMLESS: "harmless", Severity.DAMAGE: "DAMAGE", Severity.UNKNOWN: "UNKNOWN"}
SHOWN_MAX = 200  # findings; a disk that dies has thousands, and the last say no more than the first


class CannotTell(Failure):
    """Nothing could be checked."""

    exit_code = int(Severity.UNKNOWN)


class _Check(click.Command):
    """A mistake on the command line ends it as what cannot be checked: 2 would say that records are lost."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context, as always."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            raise CannotTell(error.format_message(), "see klomp check --help") from error


@click.command(cls=_Check)
@click.argument("streams", nargs=-1, metavar="[STREAM]…")
@data_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def check(*, streams: tuple[str, ...], data: Path, form: str) -> None:
    """Read everything that is stored and compare it with its checksums; nothing is changed.

    It may run beside a server, and needs none.

    \b
      klomp check --data /var/lib/klomp
      klomp check app nginx --format json

    \b
    Exit code:
      0  all is well
      1  something is wrong that costs no record: it was never acknowledged, or is made anew
      2  records are damaged or lost
      3  it cannot be told: no such folder or stream, or a newer klomp wrote it
    """  # noqa: D301  # \b keeps lines as they are
    directory = data_directory(data, CannotTell)
    begun = time.monotonic()
    try:
        progress = Progress("checking", store_check.data_bytes(directory, streams))
        report = store_check.check(directory, streams, progress=progress)
        progress.end()
    except UnknownStream as error:
        raise CannotTell(error.message, error.hint) from error
    if form == "json":
        click.echo(orjson.dumps(_document(report), option=orjson.OPT_INDENT_2))
    else:
        _print(report, time.monotonic() - begun)
    sys.exit(report.exit_code)


def _document(report: store_check.Report) -> dict[str, Any]:
    return {
        "exit_code": report.exit_code,
        "streams": [
            {
                "name": stream.name,
                "segments": stream.segments,
                "records": stream.records,
                "data_bytes": stream.data_bytes,
            }
            for stream in report.streams
        ],
        "findings": [
            {
                "severity": finding.severity.name.lower(),
                "code": finding.code,
                "stream": finding.stream,
                "path": finding.path,
                "message": finding.message,
                "advice": finding.advice,
            }
            for finding in report.findings
        ],
    }


def _print(report: store_check.Report, took_s: float) -> None:
    for finding in report.findings[:SHOWN_MAX]:
        _print_finding(finding)
    if len(report.findings) > SHOWN_MAX:
        click.echo(f"… and {counted(len(report.findings) - SHOWN_MAX, 'finding')} more: see --format json")
    records = sum(stream.records for stream in report.streams)
    segments = sum(stream.segments for stream in report.streams)
    size = sized(sum(stream.data_bytes for stream in report.streams))
    read = f"{counted(len(report.streams), 'stream')}, {counted(segments, 'segment')}, {counted(records, 'record')}"
    click.echo(f"read {read}, {size} in {took_s:.1f} s: {_verdict(report.findings)}")


def _print_finding(finding: Finding) -> None:
    click.echo(f"{WORDS[finding.severity]} {visible(finding.path)}: {visible(finding.message)}")
    click.echo(f"  {finding.advice}")


def _verdict(findings: list[Finding]) -> str:
    if not findings:
        return "all is well"
    counts = {severity: sum(f.severity is severity for f in findings) for severity in Severity}
    kinds = (
        (Severity.UNKNOWN, "unknown format"),
        (Severity.DAMAGE, "damage"),
        (Severity.HARMLESS, "harmless finding"),
    )
    return ", ".join(counted(counts[severity], noun) for severity, noun in kinds if counts[severity])
