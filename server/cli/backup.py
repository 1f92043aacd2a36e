"""`klomp backup` and `klomp restore`: all that is stored, into a folder or a file and back."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from server.cli.common import Failure, counted, sized, visible
from server.cli.folder import Progress, data_directory, data_option
from server.clock import now_us
from storage.archive import is_archive
from storage.backup import backup as make_backup
from storage.check import data_bytes
from storage.errors import StoreError
from storage.manifest import Manifest
from storage.paths import DataDirectory
from storage.restore import restore as restore_backup
from storage.restore import verify as verify_backup
from storage.times import format_time

EXIT_NOT_WHOLE = 1
PROBLEMS_SHOWN_MAX = 50


@click.command
@click.argument("target", type=click.Path(path_type=Path))
@data_option
def backup(*, target: Path, data: Path) -> None:
    """Copy all that is stored to TARGET: a folder, or a file that ends in .tar or .tar.zst.

    A server may run meanwhile. A folder is incremental: what did not change since the last backup into it is not copied
    again, and on the same disk most files are hard links, which take no room. A file is whole each time.

    \b
      klomp backup /backup/klomp --data /var/lib/klomp
      klomp backup /backup/klomp-$(date +%F).tar.zst

    Exit code: 0 done, 1 done, but what is stored is damaged or cannot be read (see klomp check), 2 not done.
    """  # noqa: D301  # \b keeps lines as they are
    directory = data_directory(data)
    progress = Progress("backing up", 0 if is_archive(target) else data_bytes(directory))
    begun = time.monotonic()
    try:
        outcome = make_backup(directory, target, now_us(), progress=progress)
    except StoreError as error:
        raise Failure(error.message, error.hint or None) from error
    except OSError as error:
        raise Failure(f"the backup is not made: {error}", "the one before is as it was") from error
    finally:
        progress.end()
    _print_streams(outcome.manifest)
    parts = [f"{counted(outcome.copied, 'file')} copied ({sized(outcome.copied_bytes)})"]
    if outcome.linked:
        parts.append(f"{outcome.linked} linked")
    if outcome.kept:
        parts.append(f"{outcome.kept} there already")
    click.echo(f"{target}: {', '.join(parts)}, in {time.monotonic() - begun:.1f} s")
    _exit_with(outcome.problems)


@click.command
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Where to put it: a folder that is not there yet, or is empty.",
)
@click.option("--verify", is_flag=True, help="Only read the backup and compare it with its checksums.")
@click.option("--allow-damage", is_flag=True, help="Restore what is left of a backup that is damaged.")
def restore(*, source: Path, data: Path | None, verify: bool, allow_damage: bool) -> None:
    """Put the backup SOURCE into a new data directory; every byte is compared with its checksum first.

    \b
      klomp restore /backup/klomp --data /var/lib/klomp
      klomp restore /backup/klomp-2026-01-02.tar.zst --verify

    Exit code: 0 done and whole, 1 done, but something is lost, 2 not done.
    """  # noqa: D301  # \b keeps lines as they are
    if (data is None) != verify:
        raise click.UsageError("say where with --data, or --verify to read it only")
    progress = Progress("reading")
    begun = time.monotonic()
    try:
        if data is None:
            restored = verify_backup(source, progress=progress)
        else:
            restored = restore_backup(
                source, DataDirectory(data), allow_damage=allow_damage, progress=progress
            )
    except StoreError as error:
        raise Failure(error.message, error.hint or None) from error
    except OSError as error:
        raise Failure(f"nothing is restored: {error}") from error
    finally:
        progress.end()
    if restored.manifest is not None:
        _print_streams(restored.manifest)
        made = format_time(restored.manifest.made_us)
        took_s = time.monotonic() - begun
        whole = "is whole" if not restored.problems else "is damaged"
        done = f"{source}, of {made}, {whole}" if data is None else f"{data} is as {source} has it, of {made}"
        click.echo(f"{done}, in {took_s:.1f} s")
    _exit_with([*restored.problems, *(f"lost before the backup: {lost}" for lost in restored.lost)])


def _print_streams(manifest: Manifest) -> None:
    for stream in manifest.streams:
        click.echo(
            f"{stream.name}: {counted(stream.records, 'record')} in {counted(stream.segments, 'segment')}"
        )


def _exit_with(problems: list[str]) -> None:
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        click.echo(f"warning: {visible(problem)}", err=True)
    if len(problems) > PROBLEMS_SHOWN_MAX:
        click.echo(f"warning: and {len(problems) - PROBLEMS_SHOWN_MAX} more", err=True)
    if problems:
        sys.exit(EXIT_NOT_WHOLE)
