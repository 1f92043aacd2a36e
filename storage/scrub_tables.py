"""What is remembered of the scrub in `klomp.db`: where it is, and what it found that nothing could be done about."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import astuple, fields, replace

from storage.metadata import Metadata
from storage.scrub import Found, Place

FINDINGS_MAX = 1000  # remembered: beyond, a disk has more to say than anyone reads

_PLACE = ", ".join(field.name for field in fields(Place))
_FOUND = ", ".join(field.name for field in fields(Found) if field.name != "stays")


class ScrubTables:
    """The tables of the scrub.

    Args:
        metadata: The open file.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def place(self) -> Place | None:
        """Where the last run ended; None where there was none."""
        rows = self._metadata.read(f"SELECT {_PLACE} FROM scrub")  # noqa: S608  # names of ours
        if not rows:
            return None
        values = dict(zip(_PLACE.split(", "), rows[0], strict=True))
        return Place(**{**values, "ended": bool(values["ended"]), "whole": bool(values["whole"])})

    def findings(self) -> list[Found]:
        """What is wrong and stays so, by path."""
        rows = self._metadata.read(f"SELECT {_FOUND} FROM scrub_findings ORDER BY path")  # noqa: S608
        return [replace(Found(*row), stays=True) for row in rows]

    def note(
        self,
        place: Place,
        found: Iterable[Found],
        well: Iterable[str],
        live: Collection[tuple[str, int, int]],
    ) -> list[Found]:
        """Note what a run did; what of it is new.

        Args:
            place: Where it ended.
            found: What it found.
            well: Paths that are well.
            live: The segments that there are: stream, first number, generation. Others are forgotten.
        """
        known = self.findings()
        gone = [one.path for one in known if (one.stream, one.first, one.generation) not in live]
        before = {(one.path, one.code, one.message) for one in known}
        new = [one for one in found if (one.path, one.code, one.message) not in before]
        room = FINDINGS_MAX - len(known)
        with self._metadata.writing() as database:
            database.executemany(
                "DELETE FROM scrub_findings WHERE path = ?", [(path,) for path in (*well, *gone)]
            )
            for one in [one for one in new if one.stays][:room]:
                database.execute(
                    f"INSERT OR REPLACE INTO scrub_findings ({_FOUND}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                    astuple(one)[:-1],
                )
            database.execute("DELETE FROM scrub")
            marks = ", ".join("?" for _ in fields(Place))
            database.execute(f"INSERT INTO scrub ({_PLACE}) VALUES ({marks})", astuple(place))  # noqa: S608
        return new
