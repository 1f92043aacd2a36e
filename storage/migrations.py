"""The schema of the metadata file, step by step: what a file of an older program lacks is added to it.

Append only: a step that was released never changes, because files exist that have taken it. Each is a tuple of SQL
statements, run in one transaction with the others that a file lacks.
"""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    # What is set of streams; the runs of jobs, and those that are asked for.
    (
        """
        CREATE TABLE streams (
            name       TEXT PRIMARY KEY,
            settings   TEXT NOT NULL,     -- JSON, as it was given: what it does not say has its default
            created_us INTEGER NOT NULL,
            version    INTEGER NOT NULL   -- rises by one at every change
        ) STRICT
        """,
        """
        CREATE TABLE jobs (
            id         INTEGER PRIMARY KEY AUTOINCREMENT,
            kind       TEXT NOT NULL,
            stream     TEXT,              -- NULL for one that is about all
            started_us INTEGER NOT NULL,
            ended_us   INTEGER,
            state      TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
            outcome    TEXT               -- JSON
        ) STRICT
        """,
        "CREATE INDEX jobs_of_kind ON jobs (kind, id)",
        # Jobs that were asked for, until the scheduler takes them.
        "CREATE TABLE asked (kind TEXT PRIMARY KEY) STRICT",
    ),
    # Records that somebody wants gone.
    (
        """
        CREATE TABLE deletions (
            id        INTEGER PRIMARY KEY AUTOINCREMENT,
            stream    TEXT NOT NULL,
            query     TEXT NOT NULL,     -- EDN: which records go
            now_us    INTEGER NOT NULL,  -- what `now` stands for in it
            until     INTEGER NOT NULL,  -- records from this number on came later and stay
            state     TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
            deleted   INTEGER NOT NULL DEFAULT 0,
            remaining INTEGER,           -- NULL until they are counted
            error     TEXT,
            ended_us  INTEGER
        ) STRICT
        """,
    ),
    # Documents with a name and all their versions: templates, rules, channels.
    (
        """
        CREATE TABLE documents (
            change   INTEGER PRIMARY KEY AUTOINCREMENT,  -- rises with every version of any document
            kind     TEXT NOT NULL,
            name     TEXT NOT NULL,
            version  INTEGER NOT NULL,  -- of this name, from 1
            body     TEXT NOT NULL,     -- EDN, as it was saved; of a deletion empty
            author   TEXT NOT NULL,
            saved_us INTEGER NOT NULL,
            deleted  INTEGER NOT NULL CHECK (deleted IN (0, 1)),
            UNIQUE (kind, name, version)
        ) STRICT
        """,
        "CREATE INDEX documents_of_kind ON documents (kind, change)",
    ),
)
