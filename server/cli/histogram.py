"""`klomp histogram 'EDN'`: how many records over time, as bars on a terminal.

2026-01-02 10:00      12  ████████████
2026-01-02 10:05       5  █████
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from dsl.histogram import COUNT
from server.cli.answers import answer_of, print_answer, warnings_of
from server.cli.common import client_failures, counted, grouped, url_option, visible
from server.cli.folder import engine_over
from server.cli.question import question_options, question_text, whole_question
from server.cli.refusals import refusals_shown
from server.client import Client
from server.encode import edn

BAR_COLUMNS_MIN, BAR_COLUMNS_MAX = 20, 80
EIGHTHS = " ▏▎▍▌▋▊▉█"
# Of a stack each value has a shade, and a colour where there are any: not everybody sees those.
SHADES = ("█", "▓", "▒", "░", "▚", "▞", "▤", "▥", "▦", "▧")
COLOURS = (
    "red",
    "yellow",
    "green",
    "cyan",
    "blue",
    "magenta",
    "bright_red",
    "bright_yellow",
    "bright_green",
    "white",
)
NONE, OTHER = "(none)", "(other)"


@dataclass(slots=True)
class Bucket:
    """One bar: when it begins, and how many of each value; without a stack of the one value None."""

    at: str
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


@click.command
@question_options
@click.option("--by", metavar="FIELD", help="Count each value of this field apart.")
@click.option("--top", type=click.IntRange(1), help="Of so many values, the most frequent. [default: 5]")
@click.option("--bucket", metavar="DURATION", help="How wide a bar is. [default: at most 120 bars]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["bars", "table", "json", "ndjson", "edn", "csv"]),
    default="bars",
    show_default=True,
)
@click.option("--width", type=click.IntRange(40), help="Of the bars. [default: the terminal's]")
@url_option
def histogram(
    *,
    question: str | None,
    file: Any,
    streams: tuple[str, ...],
    last: str | None,
    limit: int | None,
    after: str | None,
    data: Path | None,
    by: str | None,
    top: int | None,
    bucket: str | None,
    form: str,
    width: int | None,
    url: str,
) -> None:
    """Count over time what a question finds; - reads it from standard input.

    It takes the same questions as `klomp query`; of a whole one only :from, :time and :where matter.

    \b
      klomp histogram '[:= :level "error"]' --last 6h
      klomp histogram --last 1d --by level
      klomp histogram '{:from :app :time {:last "1h"}}' --bucket 1m

    Exit code: 0 answered, 2 a mistake in the question or no answer.
    """  # noqa: D301  # \b keeps lines as they are
    if limit is not None or after is not None:
        raise click.UsageError("a histogram counts all that match: --limit and --after are for klomp query")
    own = {"by": by, "bucket": bucket}
    said = [f":{name} {edn.string(text)}" for name, text in own.items() if text is not None]
    if top is not None:
        said.append(f":top {top}")
    typed = question_text(question, file)
    text = whole_question(typed, streams, last, limit) if typed or streams or last else "{}"
    if said:
        if not text.rstrip().endswith("}"):
            raise click.UsageError("--by, --top and --bucket complete a map; put them into the question")
        text = text.rstrip()[:-1] + "\n " + "\n ".join(said) + "}"
    found = _ask_server(text, url) if data is None else _ask_folder(text, data)
    if form == "bars":
        _print_bars(found, by, width)
    else:
        answer = answer_of(found)
        answer.about = {name: found[name] for name in ("bucket", "since", "until") if name in found}
        print_answer(answer, form, width)


def _ask_server(text: str, url: str) -> dict[str, Any]:
    with client_failures(), refusals_shown(), Client(url) as client:
        headers = {"Content-Type": "application/edn"}
        return client.call("POST", "/v1/histogram", body=text.encode(), headers=headers)


def _ask_folder(text: str, data: Path) -> dict[str, Any]:
    from server.encode import json  # noqa: PLC0415  # the whole store: only where it is asked in here
    from server.engine.histogram import Histograms  # noqa: PLC0415

    with engine_over(data, text) as engine:
        found: dict[str, Any] = orjson.loads(json.encode(Histograms(engine).of(text)))
        return found


def _print_bars(found: dict[str, Any], by: str | None, width: int | None) -> None:
    console = Console()
    stacked = next((name for name in found.get("columns", ()) if name not in {"timestamp", COUNT}), by)
    buckets, names = _buckets(found["rows"], stacked)
    if stacked is not None and names:
        legend = [_piece(place, 1).append(f" {visible(name)}", "default") for place, name in enumerate(names)]
        console.print(Text("  ").join(legend), soft_wrap=True)
    most = max((bucket.total for bucket in buckets), default=0)
    digits = len(grouped(most))
    shown = _times(buckets)
    left = max((len(text) for text in shown), default=0) + digits + 4
    room = min(max((width or console.width) - left, BAR_COLUMNS_MIN), BAR_COLUMNS_MAX)
    for bucket, at in zip(buckets, shown, strict=True):
        line = Text(f"{at}  {grouped(bucket.total):>{digits}}  ")
        line.append_text(_bar(bucket, names, most, room, stacked=stacked is not None))
        line.rstrip()
        console.print(line, soft_wrap=True)
    total = sum(bucket.total for bucket in buckets)
    if buckets:
        click.echo()
    said = [counted(total, "record"), counted(len(buckets), "bucket")]
    if "bucket" in found:
        said[1] += f" of {found['bucket']}"
    click.echo(" · ".join([*said, f"{found['took_ms']:.1f} ms"]))
    for warning in warnings_of(answer_of(found)):
        click.echo(f"warning: {visible(warning)}", err=True)
    sys.stdout.flush()


def _buckets(rows: Sequence[dict[str, Any]], stacked: str | None) -> tuple[list[Bucket], list[str]]:
    """The bars, and the values that they are made of, in the order of the rows."""
    found: dict[str, Bucket] = {}
    names: dict[str, None] = {}
    for row in rows:
        bucket = found.setdefault(row["timestamp"], Bucket(row["timestamp"]))
        name = "" if stacked is None else _named(row.get(stacked))
        names.setdefault(name)
        bucket.counts[name] = bucket.counts.get(name, 0) + row[COUNT]
    ordered = sorted(names, key=lambda name: name in {OTHER, NONE})
    return list(found.values()), ordered


def _named(value: Any) -> str:
    if value is None:
        return NONE
    if value == {"other": True}:
        return OTHER
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _times(buckets: Sequence[Bucket]) -> list[str]:
    """When the bars begin, without what is zero in all of them."""
    times = [bucket.at for bucket in buckets]
    if all(time.endswith("T00:00:00.000000Z") for time in times):
        return [time[:10] for time in times]
    if all(time.endswith(":00.000000Z") for time in times):
        return [f"{time[:10]} {time[11:16]}" for time in times]
    if all(time.endswith(".000000Z") for time in times):
        return [f"{time[:10]} {time[11:19]}" for time in times]
    return [f"{time[:10]} {time[11:23]}" for time in times]


def _bar(bucket: Bucket, names: Sequence[str], most: int, room: int, *, stacked: bool) -> Text:
    if not most or not bucket.total:
        return Text()
    if not stacked:
        eighths = max(round(bucket.total / most * room * 8), 1)
        return Text("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip())
    line = Text()
    done = 0
    for place, name in enumerate(names):
        done += bucket.counts.get(name, 0)
        columns = round(done / most * room) - cell_len(line.plain)
        line.append_text(_piece(place, max(columns, 0)))
    return line


def _piece(place: int, columns: int) -> Text:
    return Text(SHADES[place % len(SHADES)] * columns, COLOURS[place % len(COLOURS)])
