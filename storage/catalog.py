"""The catalog of a stream, `catalog.json`: its live segments and how far the index reaches.

It is replaced as a whole, after the view it describes: whoever reads the catalog and then opens the view finds at
least the records that the catalog promises. It is derived: without it the indexer makes it anew from the segments.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from storage.checked import add_checksum, checksum_holds
from storage.paths import write_atomically
from storage.unreadable import UNREADABLE

log = logging.getLogger(__name__)

CATALOG_VERSION = 1
META_VERSION = 1  # of the `meta.json` of sealed segments, which hold a catalog's entry each


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
        generation: Rises when the segment is replaced by another that holds the same numbers.
        rebuilding: Whether its index is being made anew, so that its records cannot be found yet.
        catching_up: Whether its index was lost and is not yet where it was; what it has can be found.
        damaged: Stretches of its data that could not be read; they lie beside it in files of their own.
        damaged_bytes: Their length.
        written_s: When its last record was written, seconds since 1970; 0 while that may still move.
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
    generation: int = 0
    rebuilding: bool = False
    catching_up: bool = False
    damaged: int = 0
    damaged_bytes: int = 0
    written_s: float = 0.0


class Catalog(BaseModel):
    """The live segments of a stream, in the order of their numbers.

    Attributes:
        version: Of this format.
        stream: The stream's name.
        generation: Rises by one at every publication.
        born_us: When it was made anew, microseconds since 1970: tells a stream from a deleted one of the same name.
        sealed_until: No segment that begins before this number is still to be indexed: one that is not listed was
            dropped or replaced, and must not come back.
        segments: The live segments.
    """

    model_config = ConfigDict(frozen=True)

    version: int = CATALOG_VERSION
    stream: str
    generation: int = 0
    born_us: int = 0
    sealed_until: int = 0
    segments: tuple[SegmentEntry, ...] = ()

    @property
    def searchable_until(self) -> int:
        """Every record with a smaller number is in the index."""
        return self.segments[-1].until if self.segments else 1

    @property
    def is_mending(self) -> bool:
        """Whether an index is being made anew."""
        return any(s.rebuilding or s.catching_up for s in self.segments)

    @property
    def incomplete(self) -> str | None:
        """Why a search may miss records that are on disk; None when it misses none."""
        if self.is_mending:
            partial = sum(s.rebuilding or s.catching_up for s in self.segments)
            return f"the index of {partial} of the {len(self.segments)} segments of {self.stream} is being made anew"
        damaged = sum(s.damaged for s in self.segments)
        if damaged:
            size = sum(s.damaged_bytes for s in self.segments)
            places = "1 place" if damaged == 1 else f"{damaged} places"
            return f"{size} bytes of {self.stream} in {places} are damaged; what was in them is not found"
        return None

    def with_segment(self, entry: SegmentEntry) -> Catalog:
        """The catalog with this segment in place of the one of the same first number, or added."""
        others = [s for s in self.segments if s.first != entry.first]
        return self.model_copy(update={"segments": tuple(sorted([*others, entry], key=lambda s: s.first))})

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

    def save(self, path: Path, *, durable: bool = False) -> None:
        """Replace the catalog file; `durable` where it must not come back as it was before."""
        write_atomically(path, add_checksum(self.model_dump_json().encode()), durable=durable)


def load_catalog(path: Path) -> Catalog | None:
    """The catalog in a file; None when there is none that can be read (it will be made anew)."""
    try:
        data = path.read_bytes()
        catalog = Catalog.model_validate_json(data) if checksum_holds(data) else None
    except (FileNotFoundError, ValidationError):
        return None
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        log.error("%s cannot be read: %s", path, error.strerror)  # noqa: TRY400
        return None
    return catalog if catalog is not None and catalog.version == CATALOG_VERSION else None


@dataclass(slots=True)
class CatalogFile:
    """A catalog file that is read again only when it was replaced."""

    path: Path
    _stamp: tuple[int, int, int] = (0, 0, 0)
    _catalog: Catalog | None = None
    is_lost: bool = False  # whether the file was gone or not as it was written, when it was read last

    def read(self) -> Catalog | None:
        """The newest catalog, or None while there is none."""
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            self.is_lost = True
            return None
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            catalog = load_catalog(self.path)
            self.is_lost = catalog is None
            if catalog is not None:
                self._catalog, self._stamp = catalog, stamp
        return self._catalog
