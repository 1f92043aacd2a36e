"""`klomp rebuild`: make indexes again from the data, with a server or without."""

from __future__ import annotations

import time
from pathlib import Path

import click

from server.cli.common import Failure, counted, sized
from server.cli.folder import Progress, data_directory, data_option
from storage.catalog import SegmentEntry
from storage.errors import StoreError
from storage.paths import SEGMENT_NAME, StreamDirectory
from storage.rebuild import live_segments
from storage.rebuild import rebuild as rebuild_indexes
from storage.versions import refuse_unknown_versions


@click.command
@click.argument("stream")
@click.argument("segments", nargs=-1, metavar="[SEGMENT]…")
@data_option
def rebuild(*, stream: str, segments: tuple[str, ...], data: Path) -> None:
    """Make the index of a stream, or of some of its segments, again from its data.

    The data itself is not touched, and records go on coming in. Where a server runs, its indexer does it;
    without one this command does. What is not indexed yet is not found meanwhile, and answers say so.

    \b
      klomp rebuild app
      klomp rebuild app 00000000000000350001 --data /var/lib/klomp
    """  # noqa: D301  # \b keeps lines as they are
    directory = data_directory(data)
    progress = Progress("")
    begun = time.monotonic()

    def tell(done: int, total: int, read_bytes: int, size_bytes: int) -> None:
        part = f", {sized(read_bytes)} of {sized(size_bytes)} of the next" if size_bytes else ""
        progress.show(f"{done} of {counted(total, 'segment')}{part}")

    try:
        refuse_unknown_versions(directory)
        names = _names(directory.stream(stream), segments)
        made = rebuild_indexes(directory, stream, names, tell=tell)
    except StoreError as error:
        raise Failure(error.message, error.hint or None) from error
    finally:
        progress.end()
    click.echo(
        f"the indexes of {counted(made, 'segment')} of {stream} are made again, in {time.monotonic() - begun:.1f} s"
    )


def _names(stream: StreamDirectory, segments: tuple[str, ...]) -> list[tuple[int, int]]:
    """The segments that are meant, by the names of their folders or their first numbers."""
    live = live_segments(stream)
    return [_named(segment, live, stream) for segment in segments]


def _named(segment: str, live: list[SegmentEntry], stream: StreamDirectory) -> tuple[int, int]:
    folder = SEGMENT_NAME.match(segment)
    for entry in live:
        exact = folder is not None and (int(folder[1]), int(folder[2] or 0)) == (
            entry.first,
            entry.generation,
        )
        if exact or segment == str(entry.first):
            return entry.first, entry.generation
    shown = ", ".join(stream.segment(entry.first, entry.generation).root.name for entry in live[:5])
    raise Failure(
        f"{stream.name} has no segment {segment}", f"there are {shown}{', …' if len(live) > 5 else ''}"
    )
