"""What `klomp ingest` tells on stderr: each record that is not taken, how it goes, and the sum of it."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from server.cli.common import counted, grouped, sized, visible
from server.cli.documents import Reading
from server.cli.shipper import Batch, Fate
from server.client import ClientError, LostAnswerError

REJECTED_SHOWN_MAX = 10  # in full; of the rest only how many of each code

REJECTED = 1  # exit codes
FAILED = 2
INTERRUPTED = 130  # as of any program that Ctrl-C ended


class Report:
    """What is told on stderr: each record that was not taken, how it goes, and the sum of it."""

    def __init__(self, total_bytes: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_s = clock()
        self._accepted = 0
        self._rejected: Counter[str] = Counter()
        self._unshown: Counter[str] = Counter()
        self._unclear: list[tuple[Batch, ClientError]] = []
        self._failed = False
        self._unsearchable = False
        self._readings: list[Reading] = []
        self._done_bytes = 0
        self._read_bytes: Callable[[], int] = lambda: 0
        self.interrupted = False
        columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}")]
        self._progress = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=total_bytes, told="")
        self._live = self._progress.console.is_terminal

    def __enter__(self) -> Self:
        if self._live:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._progress.stop()

    def begin(self, reading: Reading, read_bytes: Callable[[], int]) -> None:
        """A file is begun."""
        self._readings.append(reading)
        self._read_bytes = read_bytes

    def done(self, size_bytes: int) -> None:
        """A file was read to its end."""
        self._done_bytes += size_bytes
        self._read_bytes = lambda: 0

    def show(self) -> None:
        """How it goes."""
        if not self._live:
            return
        read_bytes = self._done_bytes + self._read_bytes()
        told = f"{counted(self._accepted, 'record')} · {self._rate()} · {sized(read_bytes)}"
        name = Path(self._readings[-1].name).name
        self._progress.update(self._task, description=name, completed=read_bytes, told=told)

    def fate(self, fate: Fate) -> None:
        """What became of a batch."""
        self._accepted += fate.answer.accepted
        if not fate.answer.searchable:
            self._unsearchable = True
        for row in fate.answer.rejected:
            place = fate.batch.reading.place(fate.batch.records[row.index].place)
            self.rejected(place, row.code, row.message)
        unlisted = fate.answer.rejected_count - len(fate.answer.rejected)
        if unlisted > 0:
            self._rejected["not listed"] += unlisted
            self._unshown["not listed"] += unlisted
        if fate.error is not None:
            self._unclear.append((fate.batch, fate.error))

    def rejected(self, place: str, code: str, message: str) -> None:
        """A record is not taken, by the server or by us."""
        self._rejected[code] += 1
        if self._rejected.total() - self._unshown.total() > REJECTED_SHOWN_MAX:
            self._unshown[code] += 1
        else:
            self._say(f"{place}: {code}: {message}")

    def failed(self, message: str) -> None:
        """Something else than a record is wrong."""
        self._failed = True
        self._say(*f"error: {message}".split("\n"))

    def end(self, sent_to: str | None) -> int:
        """The sum, and the exit code; `sent_to` is the last place sent, where not everything was."""
        if self._unshown:
            codes = ", ".join(f"{grouped(number)} {code}" for code, number in self._unshown.most_common())
            self._say(f"… and {grouped(self._unshown.total())} more: {codes}")
        for reading in self._readings:
            if reading.not_utf8:
                what = "was not UTF-8 and was" if reading.not_utf8 == 1 else "were not UTF-8 and were"
                first = reading.place(reading.not_utf8_first)
                self._say(f"{counted(reading.not_utf8, 'line')} {what} read as Latin-1, the first at {first}")
        self._say_unclear()
        if self._unsearchable:
            self._say("the records are on disk, but the server did not get round to indexing all of them yet")
        if self.interrupted:
            self._say("interrupted")
        if sent_to is not None:
            self._say(f"  what follows {sent_to} was not sent" if sent_to else "  nothing was sent")
        took_s = self._clock() - self._started_s
        sums = f"{counted(self._accepted, 'record')} accepted, {grouped(self._rejected.total())} rejected"
        self._say(f"{sums} in {took_s:.1f} s ({self._rate()})")
        if self.interrupted:
            return INTERRUPTED
        if self._failed:
            return FAILED
        return REJECTED if self._rejected else 0

    def _say_unclear(self) -> None:
        """Batches that came to nothing, or nobody knows to what."""
        for message in dict.fromkeys(str(error) for _, error in self._unclear):
            self.failed(message)
        for batch, error in self._unclear:
            fate = (
                "nobody knows if the server has them" if isinstance(error, LostAnswerError) else "not taken"
            )
            self._say(f"  {batch.first} to {batch.last}: {fate}")

    def _rate(self) -> str:
        took_s = max(self._clock() - self._started_s, 0.001)
        return f"{grouped(self._accepted / took_s)} records/s"

    def _say(self, *lines: str) -> None:
        for line in lines:
            if self._live:
                self._progress.console.print(Text(visible(line)), soft_wrap=True)
            else:
                click.echo(visible(line), err=True)
