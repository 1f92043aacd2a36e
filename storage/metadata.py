"""The metadata of a data directory, `klomp.db`: one SQLite file for what is set and what was done, not for records.

Several processes open it: the WAL lets them read while one writes. What is written is synced before a call returns
(`synchronous=FULL`), because a setting that was acknowledged must survive a loss of power as records do.

The schema is the sum of MIGRATIONS in `storage/migrations.py`; `user_version` says how many of them a file has. A file
of a newer program is refused rather than guessed at. https://www.sqlite.org/pragma.html#pragma_user_version
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from storage.errors import FormatUnknown, MetadataUnwritable
from storage.migrations import MIGRATIONS

BUSY_TIMEOUT_MS = 10_000  # how long to wait for another process's write, which takes milliseconds
JOBS_KEPT = 100  # runs remembered of each kind: some hours of a job that runs every minute
JOBS_LISTED_MAX = 1000  # in one answer

log = logging.getLogger(__name__)

_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})
"""The disk gives no answer for a block of the file, which stays so: that is damage."""

JobState = Literal["running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class StreamRow:
    """What is set of a stream. `settings` is the JSON as it was given."""

    name: str
    settings: dict[str, Any]
    created_us: int
    version: int


@dataclass(frozen=True, slots=True)
class JobRow:
    """One run of a job. `ended_us` and `outcome` are None while it runs."""

    id: int
    kind: str
    stream: str | None
    started_us: int
    ended_us: int | None
    state: JobState
    outcome: Any


DeletionState = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class DeletionRow:
    """Records that somebody wants gone, and how far that has come."""

    id: int
    stream: str
    query: str
    now_us: int
    until: int
    state: DeletionState
    deleted: int
    remaining: int | None
    error: str | None
    ended_us: int | None


class Metadata:
    """An open metadata file. Thread-safe: one connection, one call at a time.

    Args:
        path: The file; made when missing.

    Raises:
        FormatUnknown: a newer program wrote it.
        sqlite3.Error: it is no database, or the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
        )
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._migrate(path)
        except BaseException:
            self._database.close()
            raise

    def _migrate(self, path: Path) -> None:
        with self.writing() as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise FormatUnknown(
                    f"{path} has the version {version}, this program knows {len(MIGRATIONS)}",
                    "start the newer klomp that wrote it",
                )
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def damage(self) -> str | None:
        """What is wrong with the file, None when all is well. Reads all of it."""
        with self._lock:
            found = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        return None if found == "ok" else str(found)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees what it changes: it has the file's write lock from the start.

        For what has a table and a module of its own, such as `storage/documents.py`. Whatever is raised inside rolls
        all of it back.
        """
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def read(self, statement: str, *values: Any) -> list[Any]:
        """The rows of one statement that changes nothing."""
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    # -- streams

    def stream(self, name: str) -> StreamRow | None:
        """What is set of a stream, None where nothing is."""
        rows = self.read("SELECT name, settings, created_us, version FROM streams WHERE name = ?", name)
        return _stream_row(rows[0]) if rows else None

    def streams(self) -> list[StreamRow]:
        """All streams of which anything is set, by name."""
        rows = self.read("SELECT name, settings, created_us, version FROM streams ORDER BY name")
        return [_stream_row(row) for row in rows]

    def change_stream(
        self, name: str, change: Callable[[dict[str, Any] | None], dict[str, Any]], now_us: int
    ) -> StreamRow:
        """Set something of a stream.

        Args:
            name: The stream.
            change: From the settings that are (None where nothing is set) to those that shall be; what it raises
                leaves all as it was.
            now_us: When the stream came into being, if this is the first that is heard of it.
        """
        with self.writing() as database:
            found = database.execute(
                "SELECT name, settings, created_us, version FROM streams WHERE name = ?", (name,)
            ).fetchone()
            old = _stream_row(found) if found else None
            row = StreamRow(
                name,
                change(old.settings if old else None),
                old.created_us if old else now_us,
                old.version + 1 if old else 1,
            )
            database.execute(
                "INSERT OR REPLACE INTO streams (name, settings, created_us, version) VALUES (?, ?, ?, ?)",
                (name, orjson.dumps(row.settings).decode(), row.created_us, row.version),
            )
        return row

    def forget_stream(self, name: str) -> bool:
        """Forget what is set of a stream; whether anything was."""
        with self.writing() as database:
            return database.execute("DELETE FROM streams WHERE name = ?", (name,)).rowcount > 0

    # -- jobs

    def begin_job(self, kind: str, now_us: int, stream: str | None = None) -> int:
        """Note that a job runs; its id."""
        with self.writing() as database:
            cursor = database.execute(
                "INSERT INTO jobs (kind, stream, started_us, state) VALUES (?, ?, ?, 'running')",
                (kind, stream, now_us),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def end_job(self, job: int, state: Literal["done", "failed"], outcome: Any, now_us: int) -> None:
        """Note how a job ended."""
        with self.writing() as database:
            database.execute(
                "UPDATE jobs SET ended_us = ?, state = ?, outcome = ? WHERE id = ?",
                (now_us, state, orjson.dumps(outcome).decode(), job),
            )

    def fail_running(self, kinds: list[str], outcome: Any, now_us: int) -> int:
        """Note that all runs of these kinds ended with their process; how many there were."""
        with self.writing() as database:
            return database.execute(
                "UPDATE jobs SET ended_us = ?, state = 'failed', outcome = ?"
                " WHERE state = 'running' AND kind IN (SELECT value FROM json_each(?))",
                (now_us, orjson.dumps(outcome).decode(), orjson.dumps(kinds).decode()),
            ).rowcount

    def jobs(self, limit: int, kind: str | None = None) -> list[JobRow]:
        """The latest runs, the newest first."""
        rows = self.read(
            "SELECT id, kind, stream, started_us, ended_us, state, outcome FROM jobs"
            " WHERE ?1 IS NULL OR kind = ?1 ORDER BY id DESC LIMIT ?2",
            kind,
            min(limit, JOBS_LISTED_MAX),
        )
        return [_job_row(row) for row in rows]

    def forget_jobs(self, kept: int = JOBS_KEPT) -> int:
        """Forget all but the latest runs of each kind, and never one that runs; how many were forgotten."""
        with self.writing() as database:
            return database.execute(
                "DELETE FROM jobs WHERE state != 'running' AND id IN (SELECT id FROM"
                " (SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id DESC) AS age FROM jobs)"
                " WHERE age > ?)",
                (kept,),
            ).rowcount

    def ask_job(self, kind: str) -> None:
        """Ask for a run as soon as may be."""
        with self.writing() as database:
            database.execute("INSERT OR IGNORE INTO asked (kind) VALUES (?)", (kind,))

    def asked_jobs(self) -> list[str]:
        """The kinds of which a run is asked for."""
        return [kind for (kind,) in self.read("SELECT kind FROM asked ORDER BY kind")]

    def take_asked_job(self, kind: str) -> None:
        """Forget that a run was asked for, now that it begins."""
        with self.writing() as database:
            database.execute("DELETE FROM asked WHERE kind = ?", (kind,))

    # -- deletions

    def ask_deletion(self, stream: str, query: str, now_us: int, until: int) -> int:
        """Note which records of a stream have to go; the id of the request."""
        with self.writing() as database:
            cursor = database.execute(
                "INSERT INTO deletions (stream, query, now_us, until, state) VALUES (?, ?, ?, ?, 'waiting')",
                (stream, query, now_us, until),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def note_deletion(  # noqa: PLR0917  # the columns that change
        self,
        deletion: int,
        state: DeletionState,
        deleted: int,
        remaining: int | None,
        error: str | None = None,
        ended_us: int | None = None,
    ) -> None:
        """Note how far a deletion has come."""
        with self.writing() as database:
            database.execute(
                "UPDATE deletions SET state = ?, deleted = ?, remaining = ?, error = ?, ended_us = ? WHERE id = ?",
                (state, deleted, remaining, error, ended_us, deletion),
            )

    def deletions(self, stream: str | None = None, *, unfinished: bool = False) -> list[DeletionRow]:
        """The deletions of a stream, or of all, the newest first."""
        rows = self.read(
            "SELECT id, stream, query, now_us, until, state, deleted, remaining, error, ended_us FROM deletions"
            " WHERE (?1 IS NULL OR stream = ?1) AND (NOT ?2 OR state IN ('waiting', 'running'))"
            " ORDER BY id DESC LIMIT ?3",
            stream,
            unfinished,
            JOBS_LISTED_MAX,
        )
        return [DeletionRow(*row) for row in rows]


def set_damaged_aside(path: Path, now_us: int) -> Path | None:
    """Move a metadata file that cannot be read out of the way; where to, None when all is well.

    For a store that starts: it comes up with what is not set, which keeps every record, rather than not at all.

    Raises:
        FormatUnknown: it is whole, and a newer program wrote it.
        MetadataUnwritable: the disk refuses.
    """
    try:
        metadata = Metadata(path)
        try:
            damage = metadata.damage()
        finally:
            metadata.close()
    except (
        sqlite3.OperationalError
    ) as error:  # the disk or another process is in the way, not what is in the file
        if error.sqlite_errorcode not in _UNREADABLE:
            raise MetadataUnwritable(
                f"cannot use {path}: {error}", "look at its permissions and the disk"
            ) from error
        damage = str(error)
    except sqlite3.DatabaseError as error:
        damage = str(error)
    if damage is None:
        return None
    aside = path.with_name(f"{path.name}.damaged-{now_us}")
    log.error("%s is damaged (%s) and moved to %s; what was set must be set again", path, damage, aside.name)
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _stream_row(row: tuple[str, str, int, int]) -> StreamRow:
    name, settings, created_us, version = row
    return StreamRow(name, orjson.loads(settings), created_us, version)


def _job_row(row: tuple[int, str, str | None, int, int | None, JobState, str | None]) -> JobRow:
    job, kind, stream, started_us, ended_us, state, outcome = row
    told = None if outcome is None else orjson.loads(outcome)
    return JobRow(job, kind, stream, started_us, ended_us, state, told)
