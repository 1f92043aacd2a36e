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
    # Alert rules: how each stands, the alerts of each, what became of them, what is owed to whom, what is kept quiet.
    (
        """
        CREATE TABLE rule_states (
            rule        TEXT PRIMARY KEY,
            last_us     INTEGER NOT NULL,  -- the time of the newest evaluation
            evaluations INTEGER NOT NULL,
            missed      INTEGER NOT NULL,  -- evaluations that were not made at their time
            made_up     INTEGER NOT NULL,  -- those of them that were made later
            errors      INTEGER NOT NULL,
            failing     INTEGER NOT NULL,  -- errors in a row, up to now
            outcome     TEXT NOT NULL      -- JSON: what the newest evaluation found
        ) STRICT
        """,
        """
        CREATE TABLE alerts (
            rule        TEXT NOT NULL,
            fingerprint TEXT NOT NULL,     -- 16 hex digits of the labels
            state       TEXT NOT NULL CHECK (state IN ('pending', 'firing', 'resolved')),
            alert       TEXT NOT NULL,     -- JSON: labels, times, values, who was told what
            PRIMARY KEY (rule, fingerprint)
        ) STRICT
        """,
        """
        CREATE TABLE alert_history (
            id          INTEGER PRIMARY KEY AUTOINCREMENT,
            rule        TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            was         TEXT NOT NULL,
            state       TEXT NOT NULL,
            at_us       INTEGER NOT NULL,
            labels      TEXT NOT NULL,     -- JSON
            value       TEXT NOT NULL      -- JSON: the columns of its group
        ) STRICT
        """,
        "CREATE INDEX history_of_rule ON alert_history (rule, id)",
        # Groups that a rule has seen, so that it can tell when one falls silent.
        """
        CREATE TABLE known_groups (
            rule        TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            labels      TEXT NOT NULL,     -- JSON
            seen_us     INTEGER NOT NULL,  -- the time of its newest record
            PRIMARY KEY (rule, fingerprint)
        ) STRICT
        """,
        # Who has taken note of an alert. It counts for this one time that it is active.
        """
        CREATE TABLE acknowledgements (
            rule        TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            active_us   INTEGER NOT NULL,
            note        TEXT NOT NULL,
            author      TEXT NOT NULL,
            at_us       INTEGER NOT NULL,
            PRIMARY KEY (rule, fingerprint, active_us)
        ) STRICT
        """,
        """
        CREATE TABLE silences (
            id         TEXT PRIMARY KEY,
            matchers   TEXT NOT NULL,      -- JSON: [{"name", "operator", "value"}], all of which hold
            starts_us  INTEGER NOT NULL,
            ends_us    INTEGER NOT NULL,
            author     TEXT NOT NULL,
            comment    TEXT NOT NULL,
            created_us INTEGER NOT NULL
        ) STRICT
        """,
        # What is owed to channels: written in one transaction with the change of the alert that owes it.
        """
        CREATE TABLE notifications (
            id          INTEGER PRIMARY KEY AUTOINCREMENT,
            rule        TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            channel     TEXT NOT NULL,
            kind        TEXT NOT NULL CHECK (kind IN ('firing', 'resolved', 'repeat')),
            created_us  INTEGER NOT NULL,
            due_us      INTEGER NOT NULL,
            payload     TEXT NOT NULL,     -- JSON, see storage/notifications.py
            state       TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'dead')),
            attempts    INTEGER NOT NULL DEFAULT 0,
            next_us     INTEGER NOT NULL,  -- not before this time is it tried
            error       TEXT,
            sent_us     INTEGER
        ) STRICT
        """,
        "CREATE INDEX notifications_due ON notifications (state, next_us)",
        "CREATE INDEX notifications_of_rule ON notifications (rule, id)",
    ),
    # Attempts to notify that failed, and channels that are left alone for a while.
    (
        """
        CREATE TABLE attempts (
            notification INTEGER NOT NULL,
            at_us        INTEGER NOT NULL,
            took_us      INTEGER NOT NULL,
            error        TEXT NOT NULL,
            status       INTEGER            -- of HTTP, where there was one
        ) STRICT
        """,
        "CREATE INDEX attempts_of_notification ON attempts (notification)",
        """
        CREATE TABLE breakers (
            channel      TEXT PRIMARY KEY,
            failures     INTEGER NOT NULL,  -- in a row
            opened_us    INTEGER,           -- NULL while the channel is notified
            opened_times INTEGER NOT NULL   -- in a row, each twice as long
        ) STRICT
        """,
        "CREATE INDEX notifications_of_channel ON notifications (channel, state, id)",
    ),
    # Where the scrub is, and what it found that nothing could be done about.
    (
        """
        CREATE TABLE scrub (
            begun_us   INTEGER NOT NULL,  -- when the round began
            read_bytes INTEGER NOT NULL,  -- in it
            stream     TEXT NOT NULL,     -- the file that is being read
            first      INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            file       TEXT NOT NULL,
            offset     INTEGER NOT NULL,  -- how much of it is read, and the checksum of that
            crc        INTEGER NOT NULL,
            ended      INTEGER NOT NULL CHECK (ended IN (0, 1)),  -- the file
            whole      INTEGER NOT NULL CHECK (whole IN (0, 1))   -- the round
        ) STRICT
        """,
        """
        CREATE TABLE scrub_findings (
            stream     TEXT NOT NULL,
            first      INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            path       TEXT PRIMARY KEY,
            code       TEXT NOT NULL,
            message    TEXT NOT NULL
        ) STRICT
        """,
    ),
)
