"""The catalog of a stream, `catalog.json`: its live segments and how far the index reaches.

It is replaced as a whole, after the view it describes: whoever reads the catalog and then opens the view finds at
least the records that the catalog promises. It is derived: without it the indexer makes it anew from the segments.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.paths import write_atomically

CATALOG_VERSION = 1


class SegmentEntry(BaseModel):
    """What is known of one segment.

    Attributes:
        first: Number of its first record.
        until: Number after its last indexed record.
        records: How many records are indexed.
        raw_bytes: Their JSON and times before compression.
        data_bytes: Length of the data file up to there.
        min_us: Smallest timestamp, None while it is empty.
        max_us: Largest timestamp, None while it is empty.
        sealed: Whether it will never change again.
        tantivy: The ids of its index segments.
    """

    model_config = ConfigDict(frozen=True)

    first: int
    until: int
    records: int = 0
    raw_bytes: int = 0
    data_bytes: int = 0
    min_us: int | None = None
    max_us: int | None = None
    sealed: bool = False
    tantivy: tuple[str, ...] = ()


class Catalog(BaseModel):
    """The live segments of a stream, in the order of their numbers.

    Attributes:
        version: Of this format.
        stream: The stream's name.
        generation: Rises by one at every publication.
        segments: The live segments.
    """

    model_config = ConfigDict(frozen=True)

    version: int = CATALOG_VERSION
    stream: str
    generation: int = 0
    segments: tuple[SegmentEntry, ...] = ()

    @property
    def searchable_until(self) -> int:
        """Every record with a smaller number is in the index."""
        return self.segments[-1].until if self.segments else 1

    @property
    def records(self) -> int:
        """All indexed records."""
        return sum(segment.records for segment in self.segments)

    @property
    def min_us(self) -> int | None:
        """The smallest timestamp of all."""
        return min((s.min_us for s in self.segments if s.min_us is not None), default=None)

    @property
    def max_us(self) -> int | None:
        """The largest timestamp of all."""
        return max((s.max_us for s in self.segments if s.max_us is not None), default=None)

    def save(self, path: Path) -> None:
        """Replace the catalog file."""
        write_atomically(path, self.model_dump_json().encode(), durable=False)


def load_catalog(path: Path) -> Catalog | None:
    """The catalog in a file; None when there is none that can be read (it will be made anew)."""
    try:
        catalog = Catalog.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return catalog if catalog.version == CATALOG_VERSION else None


@dataclass(slots=True)
class CatalogFile:
    """A catalog file that is read again only when it was replaced."""

    path: Path
    _stamp: tuple[int, int, int] = (0, 0, 0)
    _catalog: Catalog | None = None

    def read(self) -> Catalog | None:
        """The newest catalog, or None while there is none."""
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return None
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            catalog = load_catalog(self.path)
            if catalog is not None:
                self._catalog, self._stamp = catalog, stamp
        return self._catalog
