"""Documents with a name, such as templates, rules and channels: every change is a version, and none is lost.

What they say is no matter of this module: a body is text. A deletion is a version too, with no body, so that what was
deleted can be read, and saved again as a new version. Versions of a name rise by one and are never given twice.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from storage.errors import BadDocumentName, TooManyDocuments, VersionConflict
from storage.metadata import Metadata

DOCUMENTS_MAX = 10_000  # of one kind, living: listing reads them all, and a loop gone wrong should end
VERSIONS_KEPT = (
    1_000  # of one name: years of changes by hand; a program that saves all day must not fill the disk
)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_NAME_HINT = "a name is 1 to 100 letters, digits, _ . and -, and begins with a letter, a digit or _"
_COLUMNS = "kind, name, version, body, author, saved_us, deleted"


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a document.

    Attributes:
        kind: Such as `template`.
        name: Unique among those of its kind.
        version: From 1.
        body: EDN, as it was saved; empty where `deleted`.
        author: Who saved it, as they said.
        saved_us: When, microseconds since 1970.
        deleted: Whether this version says that there is none any more.
    """

    kind: str
    name: str
    version: int
    body: str
    author: str
    saved_us: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A document that shall be another one.

    Attributes:
        kind: Such as `template`.
        name: Of the document.
        seen: The version that it has; 0 where there is none.
        body: EDN; None is a deletion.
    """

    kind: str
    name: str
    seen: int
    body: str | None


class Documents:
    """The documents in a metadata file. Thread-safe, and safe beside other processes."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def put(
        self,
        kind: str,
        name: str,
        body: str,
        *,
        author: str,
        now_us: int,
        expected: int | None = None,
        create_only: bool = False,
    ) -> Document:
        """Save a document as its next version; what is saved already makes none.

        Args:
            kind: Such as `template`.
            name: Of the document.
            body: EDN, not empty.
            author: Who saves it.
            now_us: When that is.
            expected: The version that must be the newest; None is any, or no document at all.
            create_only: Whether there must be none yet.

        Raises:
            BadDocumentName: no document can be called so.
            VersionConflict: the newest version is another one than expected.
            TooManyDocuments: it would be one too many of its kind.
        """
        check_document_name(kind, name)
        assert body
        with self._metadata.writing() as database:
            newest = _newest(database, kind, name)
            _check_version(kind, name, newest, expected)
            living = newest is not None and not newest.deleted
            if create_only and living:
                hint = "choose another name, or leave out If-None-Match to replace it"
                raise VersionConflict(f"there is a {kind} {name!r} already", hint)
            if newest is not None and living and newest.body == body:
                return newest
            if not living:
                _check_room(database, kind)
            made = Document(
                kind, name, newest.version + 1 if newest else 1, body, author, now_us, deleted=False
            )
            _add(database, made)
        return made

    def get(self, kind: str, name: str, version: int | None = None) -> Document | None:
        """A version of a document, also of one that is deleted; without `version` the newest, unless deleted."""
        if version is not None:
            rows = self._metadata.read(
                f"SELECT {_COLUMNS} FROM documents WHERE kind = ? AND name = ? AND version = ?",  # noqa: S608
                kind,
                name,
                version,
            )
            return _document(rows[0]) if rows else None
        rows = self._metadata.read(_NEWEST, kind, name)
        found = _document(rows[0]) if rows else None
        return None if found is None or found.deleted else found

    def versions(self, kind: str, name: str) -> list[Document]:
        """All kept versions of a document, the newest first; none where there never was one."""
        rows = self._metadata.read(
            f"SELECT {_COLUMNS} FROM documents WHERE kind = ? AND name = ? ORDER BY version DESC",  # noqa: S608
            kind,
            name,
        )
        return [_document(row) for row in rows]

    def delete(self, kind: str, name: str, *, author: str, now_us: int, expected: int | None = None) -> bool:
        """Save that there is no such document any more; whether there was one.

        Raises:
            VersionConflict: the newest version is another one than expected.
        """
        with self._metadata.writing() as database:
            newest = _newest(database, kind, name)
            if newest is None or newest.deleted:
                return False
            _check_version(kind, name, newest, expected)
            _add(database, Document(kind, name, newest.version + 1, "", author, now_us, deleted=True))
        return True

    def change_all(self, changes: Sequence[Change], *, author: str, now_us: int) -> None:
        """Save and delete several documents, all of them or none.

        Raises:
            BadDocumentName: a document cannot be called so.
            VersionConflict: one of them has another version by now than it was seen to have.
            TooManyDocuments: it would be one too many of a kind.
        """
        for change in changes:
            check_document_name(change.kind, change.name)
        with self._metadata.writing() as database:
            for change in changes:
                newest = _newest(database, change.kind, change.name)
                seen = 0 if newest is None or newest.deleted else newest.version
                if seen != change.seen:
                    raise VersionConflict(
                        f"the {change.kind} {change.name!r} was changed at the same time", "try again"
                    )
                if change.body is not None and seen == 0:
                    _check_room(database, change.kind)
                version = newest.version + 1 if newest else 1
                body, gone = change.body or "", change.body is None
                _add(database, Document(change.kind, change.name, version, body, author, now_us, gone))

    def generation(self, kind: str) -> int:
        """A number that rises with every change of a document of this kind; 0 before the first. Cheap to ask for."""
        ((generation,),) = self._metadata.read("SELECT max(change) FROM documents WHERE kind = ?", kind)
        return int(generation or 0)

    def list(self, kind: str) -> list[Document]:
        """The newest version of every document that is not deleted, by name."""
        rows = self._metadata.read(
            f"SELECT {_COLUMNS} FROM (SELECT {_COLUMNS}, row_number()"  # noqa: S608
            " OVER (PARTITION BY name ORDER BY version DESC) AS age FROM documents WHERE kind = ?)"
            " WHERE age = 1 AND NOT deleted ORDER BY name",
            kind,
        )
        return [_document(row) for row in rows]


def check_document_name(kind: str, name: str) -> None:
    """Make sure that a document may be called so.

    Raises:
        BadDocumentName: it may not.
    """
    if not _NAME.fullmatch(name):
        raise BadDocumentName(f"no {kind} can be called {name[:100]!r}", _NAME_HINT)


_NEWEST = (
    f"SELECT {_COLUMNS} FROM documents WHERE kind = ? AND name = ?"  # noqa: S608  # names of columns, no values
    " ORDER BY version DESC LIMIT 1"
)


def _newest(database: sqlite3.Connection, kind: str, name: str) -> Document | None:
    row = database.execute(_NEWEST, (kind, name)).fetchone()
    return _document(row) if row else None


def _check_version(kind: str, name: str, newest: Document | None, expected: int | None) -> None:
    if expected is None:
        return
    if newest is None or newest.deleted:
        hint = "leave out If-Match to make it anew"
        raise VersionConflict(f"there is no {kind} {name!r}, so it has no version {expected}", hint)
    if newest.version != expected:
        hint = "somebody changed it since you read it: read it again, and send the ETag that comes with it"
        raise VersionConflict(f"the {kind} {name!r} has version {newest.version}, not {expected}", hint)


def _check_room(database: sqlite3.Connection, kind: str) -> None:
    ((living,),) = database.execute(
        "SELECT count(*) FROM (SELECT deleted, row_number() OVER (PARTITION BY name ORDER BY version DESC) AS age"
        " FROM documents WHERE kind = ?) WHERE age = 1 AND NOT deleted",
        (kind,),
    )
    if living >= DOCUMENTS_MAX:
        raise TooManyDocuments(
            f"there are {DOCUMENTS_MAX} documents of the kind {kind} already", "delete some that nobody needs"
        )


def _add(database: sqlite3.Connection, made: Document) -> None:
    database.execute(
        f"INSERT INTO documents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (made.kind, made.name, made.version, made.body, made.author, made.saved_us, int(made.deleted)),
    )
    database.execute(
        "DELETE FROM documents WHERE kind = ? AND name = ? AND version <= ?",
        (made.kind, made.name, made.version - VERSIONS_KEPT),
    )


def _document(row: tuple[str, str, int, str, str, int, int]) -> Document:
    kind, name, version, body, author, saved_us, deleted = row
    return Document(kind, name, version, body, author, saved_us, bool(deleted))
