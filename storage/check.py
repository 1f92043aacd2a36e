"""`klomp check`: a whole store read from end to end, and all that is not as it should be. It changes nothing.

It may run beside a server. What is seen of a store that changes is looked at twice, and told when it was there both
times.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from storage.catalog import Catalog, SegmentEntry, load_catalog
from storage.check_data import DataFile, Progress, Stretch, read_data
from storage.check_index import IndexFiles, check_footer, check_meta, read_index
from storage.errors import UnknownStream
from storage.findings import Finding, Severity
from storage.format import FILE_HEADER
from storage.locks import is_held, shared
from storage.paths import STREAM_NAME, DataDirectory, SegmentDirectory, StreamDirectory
from storage.quarantine import stretches
from storage.segment import SegmentMeta, checksum, file_names, load_meta, recover_entries
from storage.synced import Synced, load_synced
from storage.versions import HINT, unknown_metadata_version, unknown_versions
from storage.view import META, read_meta, segment_ids

LOOK_AGAIN_S = 0.3  # what a running server was in the middle of is done by then
ORPHAN_AGE_S = 600.0  # what is younger may be a segment that a running server is making

HARMLESS, DAMAGE, UNKNOWN = Severity.HARMLESS, Severity.DAMAGE, Severity.UNKNOWN
LOST = "to have them again, restore a backup that was made before; all other records are served"
NOTHING = "nothing to do"

Tell = Callable[..., None]


@dataclass(slots=True)
class CheckedStream:
    """What was read of one stream."""

    name: str
    segments: int = 0
    records: int = 0
    data_bytes: int = 0


@dataclass(slots=True)
class Report:
    """What a check read, and what it found, the worst first."""

    streams: list[CheckedStream] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 where all is well, else the worst severity."""
        return max((int(finding.severity) for finding in self.findings), default=0)


def check(
    data: DataDirectory,
    names: Sequence[str] = (),
    *,
    progress: Progress = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Check streams of a store, all of them unless some are named.

    Args:
        data: The store.
        names: Streams.
        progress: Told how many bytes of data files were read.
        sleep: Waits for so many seconds.

    Raises:
        UnknownStream: none has such a name.
    """
    known = data.stream_names()
    for name in names:
        if name not in known:
            raise UnknownStream(
                f"no stream {name!r}", f"there are: {', '.join(known)}" if known else "there are none"
            )
    report = Report()
    for name in names or known:
        findings, stream = _StreamCheck(data, name, progress).run()
        if findings and (is_held(data.root / "indexer.lock") or is_held(data.root / "writer.lock")):
            sleep(LOOK_AGAIN_S)
            again, stream = _StreamCheck(data, name, progress).run()
            seen = {(finding.code, finding.path) for finding in findings}
            findings = [finding for finding in again if (finding.code, finding.path) in seen]
        report.findings += findings
        report.streams.append(stream)
    if not names:
        report.findings += _root_findings(data)
    report.findings.sort(key=lambda finding: (-finding.severity, finding.path))
    return report


def data_bytes(data: DataDirectory, names: Sequence[str] = ()) -> int:
    """How much a check will read of data files, about."""
    found = 0
    for name in names or data.stream_names():
        directory = data.stream(name)
        for first, generation in directory.segment_folders():
            try:
                found += directory.segment(first, generation).data.stat().st_size
            except FileNotFoundError:
                continue
    return found


def _root_findings(data: DataDirectory) -> Iterator[Finding]:
    """What is not right beside the streams."""
    if data.streams.is_dir():
        for entry in sorted(os.scandir(data.streams), key=lambda entry: entry.name):
            if not (entry.is_dir() and STREAM_NAME.match(entry.name)):
                message = "no stream can have this name: it is ignored"
                yield Finding(HARMLESS, "unknown-name", f"streams/{entry.name}", message, "move it elsewhere")
    metadata = data.metadata
    unknown = unknown_metadata_version(data)
    if unknown is not None:
        yield Finding(UNKNOWN, "format-unknown", metadata.name, unknown.message, HINT)
    if metadata.exists():
        # Without a log beside it nobody has it open, and it can be read without making files for those who do.
        alone = "" if metadata.with_name(f"{metadata.name}-wal").exists() else "&immutable=1"
        try:
            with closing(
                sqlite3.connect(f"{metadata.absolute().as_uri()}?mode=ro{alone}", uri=True)
            ) as database:
                (answer,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            answer = str(error)
        if answer != "ok":
            message = f"the database is damaged: {answer}"
            yield Finding(DAMAGE, "metadata-damaged", metadata.name, message, "restore it from a backup")


class _StreamCheck:
    """One look at one stream."""

    def __init__(self, data: DataDirectory, name: str, progress: Progress) -> None:
        self._root = data.root
        self._directory = data.stream(name)
        self._progress = progress
        self._writing = is_held(data.root / "writer.lock")
        self._indexing = is_held(data.root / "indexer.lock")
        self._findings: list[Finding] = []
        self._stream = CheckedStream(name)
        self._synced = self._read_synced()  # before the data, which may grow

    def run(self) -> tuple[list[Finding], CheckedStream]:
        """All findings, and what was read."""
        unknown = {found.path: found for found in unknown_versions(self._directory)}
        for found in unknown.values():
            self._tell(UNKNOWN, "format-unknown", found.path, found.message, HINT)
        if self._directory.catalog in unknown:
            return self._findings, self._stream
        catalog = self._catalog()
        entries = recover_entries(self._directory) if catalog is None else list(catalog.segments)
        tail = self._tail(entries)
        before = 0
        for entry in entries:
            segment = self._directory.segment(entry.first, entry.generation)
            if segment.data not in unknown:
                before = self._segment(segment, entry, tail, before)
        for first in tail:
            segment = self._directory.segment(first)
            if (
                all(entry.first != first or entry.generation for entry in entries)
                and segment.data not in unknown
            ):
                before = self._segment(segment, None, tail, before)
        if catalog is not None:
            self._view()
        self._orphans(entries, tail)
        return self._findings, self._stream

    def _tell(self, severity: Severity, code: str, path: Path, message: str, advice: str) -> None:
        shown = str(path.relative_to(self._root))
        self._findings.append(Finding(severity, code, shown, message, advice, self._stream.name))

    def _rebuild(self, segment: SegmentDirectory | None = None) -> str:
        name = f" {segment.root.name}" if segment is not None else ""
        return f"klomp rebuild {self._stream.name}{name}"

    def _read_synced(self) -> Synced | None:
        path = self._directory.synced
        try:
            return load_synced(path)
        except ValueError as error:
            advice = "nothing to do: it is made anew when the stream is written to"
            self._tell(HARMLESS, "synced-damaged", path, str(error), advice)
            return None

    def _catalog(self) -> Catalog | None:
        path = self._directory.catalog
        catalog = load_catalog(path)
        if catalog is None:
            advice = "it is made anew when the server starts"
            if path.exists():
                self._tell(HARMLESS, "catalog-damaged", path, "it is not as it was written", advice)
            elif any(
                (self._directory.segment(*name).meta).exists() for name in self._directory.segment_folders()
            ):
                self._tell(HARMLESS, "catalog-missing", path, "it is gone", advice)
        return catalog

    def _tail(self, entries: Sequence[SegmentEntry]) -> list[int]:
        """The first numbers of the segments that are not sealed: the one that is written to, and what waits."""
        until = max((max(entry.until, entry.first + 1) for entry in entries if entry.sealed), default=0)
        return [first for first in self._directory.segment_firsts() if first >= until]

    # -- a segment

    def _segment(
        self, segment: SegmentDirectory, entry: SegmentEntry | None, tail: list[int], before: int
    ) -> int:
        """Check one segment whose numbers begin at `before` or later; the number where it ends."""
        self._stream.segments += 1
        index = None
        if entry is not None and not entry.rebuilding:
            index = self._index(segment, entry)  # before the data: it may grow, and has what the index has
        try:
            if segment.data.stat().st_size < FILE_HEADER.size and segment.first in tail[-1:]:
                return before  # a crash between making the file and its header: it is begun again
            file = read_data(segment.data, segment.first, self._progress)
        except FileNotFoundError:
            if entry is not None and entry.records:
                what = f"the file is gone: records {entry.first} to {entry.until - 1} are lost"
                self._tell(DAMAGE, "data-missing", segment.data, what, LOST)
            return max(before, entry.until if entry else 0)
        except OSError as error:
            self._tell(
                DAMAGE, "unreadable", segment.data, f"the disk gives no answer: {error.strerror}", LOST
            )
            return max(before, entry.until if entry else 0)
        self._stream.records += file.records
        self._stream.data_bytes += file.size
        if file.records and segment.first < before:
            what = f"it begins with number {segment.first}, the segment before it ends with {before - 1}"
            self._tell(
                DAMAGE, "numbers-overlap", segment.data, what, "restore a backup, and please report it"
            )
        known = len(self._findings)
        self._data(segment, entry, file, tail)
        whole = not any(finding.severity > HARMLESS for finding in self._findings[known:])
        if entry is not None:
            if entry.sealed:
                self._sealed(segment, entry, file, whole=whole, told=len(self._findings) > known)
            if whole and index is not None:
                self._agreement(segment, entry, file, index)
        self._left_overs(segment)
        return max(before, file.until, entry.until if entry else 0)

    def _data(
        self, segment: SegmentDirectory, entry: SegmentEntry | None, file: DataFile, tail: list[int]
    ) -> None:
        """What is wrong with a data file, without its checksum as a whole."""
        aside = {(start, end): path for path, start, end in stretches(segment)}
        aside.pop((0, FILE_HEADER.size), None)  # a damaged file header costs no record
        for stretch in file.damaged:
            path = aside.pop((stretch.start, stretch.end), None)
            if not stretch.start:
                self._tell(HARMLESS, "header-damaged", segment.data, "the file header is damaged", NOTHING)
                continue
            kept = f" (they are kept in {path.name})" if path else ""
            self._lost(segment, stretch, kept)
        if file.header_differs and not any(not stretch.start for stretch in file.damaged):
            self._tell(
                HARMLESS, "header-damaged", segment.data, "unused bytes of the file header differ", NOTHING
            )
        self._end(segment, entry, file, tail, aside)
        for path in aside.values():
            what = f"{path.stat().st_size} bytes that were damaged were set aside: their records are lost"
            self._tell(DAMAGE, "data-damaged", path, what, f"{LOST}; remove the file to end this message")
        for first, until in file.missing if entry is None or not entry.generation else ():
            what = f"records {first} to {until - 1} are missing"
            self._tell(DAMAGE, "records-missing", segment.data, what, LOST)

    def _lost(self, segment: SegmentDirectory, lost: Stretch, remark: str = "") -> None:
        what = f"bytes {lost.start} to {lost.end} are damaged{remark}: {_numbers(lost)}"
        self._tell(DAMAGE, "data-damaged", segment.data, what, LOST)

    def _end(
        self,
        segment: SegmentDirectory,
        entry: SegmentEntry | None,
        file: DataFile,
        tail: list[int],
        aside: dict[tuple[int, int], Path],
    ) -> None:
        """What is wrong with the end of a data file."""
        following = next((first for first in tail if first > segment.first), None)
        until = entry.until if entry is not None else 0
        if following is not None and segment.first in tail:
            until = following  # the log begins a segment where the one before it ends
        if self._synced is not None and self._synced.first == segment.first and segment.first in tail[-1:]:
            until = max(until, self._synced.until)
        if until > file.until:
            end = max(file.size, entry.data_bytes if entry is not None else 0)
            cut = f" (the file ends at byte {file.size})" if end > file.size else ""
            self._lost(segment, Stretch(file.end, end, file.until, until), cut)
            return
        if any(start <= file.end and end == file.size for start, end in aside):
            return  # which tells of it
        newest = segment.first in tail[-1:]
        if file.whole_end == file.size or (newest and self._writing):
            return
        what = (
            f"{file.size - file.whole_end} bytes behind the last whole batch are a write that a crash cut off"
        )
        advice = "nothing to do: nobody was told that they are kept"
        if newest:
            advice += ", and the next start sets them aside"
        self._tell(HARMLESS, "torn-tail", segment.data, what, advice)

    def _sealed(
        self, segment: SegmentDirectory, entry: SegmentEntry, file: DataFile, *, whole: bool, told: bool
    ) -> None:
        """Hold a sealed segment to what it says of itself."""
        meta = load_meta(segment)
        if meta is None:
            if not entry.rebuilding:
                what = "it is not as it was written" if segment.meta.exists() else "it is gone"
                self._tell(HARMLESS, "meta-damaged", segment.meta, what, self._rebuild(segment))
        else:
            if not told and meta.files.get(segment.data.name) != checksum(segment.data):
                what = "it is not the file that was sealed, though every record in it is whole"
                self._tell(HARMLESS, "checksum-differs", segment.data, what, self._rebuild(segment))
            derived = {"tantivy": (), "rebuilding": False, "catching_up": False}
            if meta.entry.model_copy(update=derived) != entry.model_copy(update=derived):
                what = "it says otherwise than the catalog"
                self._tell(HARMLESS, "catalog-disagrees", segment.meta, what, self._rebuild(segment))
        if whole:
            counted = (file.records, file.until) == (entry.records, entry.until)
            spans = file.min_us is None or (
                entry.min_us is not None
                and entry.max_us is not None
                and entry.min_us <= file.min_us
                and entry.max_us >= (file.max_us or 0)
            )
            if not (counted and spans):
                what = f"the catalog says {entry.records} records, there are {file.records}"
                if counted:
                    what = "the catalog has another range of times than the records"
                self._tell(HARMLESS, "catalog-disagrees", segment.data, what, self._rebuild(segment))

    # -- the index

    def _index(self, segment: SegmentDirectory, entry: SegmentEntry) -> IndexFiles | None:
        """Check a segment's index by itself; None where it is of no use."""
        advice = self._rebuild(segment)
        try:
            read = read_index(segment.index)
            problems = read.problems
            meta = load_meta(segment) if entry.sealed else None
            if meta is not None and not problems:
                problems = list(_differing(segment, meta))
                if not problems and segment_ids(read_meta(segment.index)) != entry.tantivy:
                    problems = ["it has other index segments than the catalog says"]
        except FileNotFoundError:
            self._tell(HARMLESS, "index-missing", segment.index, "it is gone", advice)
            return None
        for problem in problems:
            self._tell(HARMLESS, "index-damaged", segment.index, problem, advice)
        return None if problems else read

    def _agreement(
        self, segment: SegmentDirectory, entry: SegmentEntry, file: DataFile, index: IndexFiles
    ) -> None:
        """Hold an index to the data, which is whole."""
        if entry.catching_up:
            return
        expected: int | None = file.records
        if not entry.sealed:
            expected = file.records_until.get(index.until) if index.until else 0
        if index.until > file.until:
            what = f"it knows records up to {index.until - 1}, the data ends with {file.until - 1}"
        elif expected != index.documents or index.documents < entry.records:
            wanted = expected if expected is not None else entry.records
            what = f"it has {index.documents} records, the data has {wanted}"
        else:
            return
        self._tell(HARMLESS, "index-disagrees", segment.index, what, self._rebuild(segment))

    def _view(self) -> None:
        """Hold the view to the catalog that was published with it."""
        with shared(self._directory.root / "catalog.lock"):
            catalog = load_catalog(self._directory.catalog)
            problem = _view_problem(self._directory, catalog) if catalog is not None else None
        # One that is not there at all is made at the next start: so it is after `klomp restore`.
        if problem is not None and (self._indexing or self._directory.view.exists()):
            advice = f"{self._rebuild()} with the server stopped makes it anew"
            self._tell(HARMLESS, "view-damaged", self._directory.view, problem, advice)
        # A running indexer that is behind on a new segment is no news.
        making = catalog is not None and any(
            entry.rebuilding or (entry.catching_up and not self._indexing) for entry in catalog.segments
        )
        if catalog is not None and making and catalog.incomplete:
            advice = "wait until it is" if self._indexing else "start the server, or run " + self._rebuild()
            self._tell(HARMLESS, "index-rebuilding", self._directory.catalog, catalog.incomplete, advice)

    # -- what lies about

    def _left_overs(self, segment: SegmentDirectory) -> None:
        for path in sorted(segment.root.glob("torn-*.bin")):
            what = f"{path.stat().st_size} bytes of a write that a crash cut off were set aside"
            advice = "nothing to do: nobody was told that they are kept; remove the file when you have looked at it"
            self._tell(HARMLESS, "torn-tail", path, what, advice)
        if segment.new_index.exists() and not self._indexing:
            what = "an index that was not finished"
            self._tell(HARMLESS, "left-over", segment.new_index, what, "nothing to do: the server removes it")

    def _orphans(self, entries: Sequence[SegmentEntry], tail: list[int]) -> None:
        live = {(entry.first, entry.generation) for entry in entries} | {(first, 0) for first in tail}
        known = {self._directory.segment(*name).root.name: name for name in self._directory.segment_folders()}
        try:
            found = sorted(os.scandir(self._directory.segments), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for item in found:
            name = known.get(item.name)
            if name in live:
                continue
            try:
                young = time.time() - item.stat().st_mtime < ORPHAN_AGE_S
            except FileNotFoundError:
                continue
            if name is None:
                what, advice = "no segment has such a name: it is ignored", "move it elsewhere"
                self._tell(HARMLESS, "unknown-name", Path(item.path), what, advice)
            elif not (self._indexing and young):
                what = "no catalog names it: it was replaced or dropped, or never finished"
                advice = "nothing to do: the server removes it"
                self._tell(HARMLESS, "orphan-folder", Path(item.path), what, advice)


def _numbers(lost: Stretch) -> str:
    """Which records are lost with a stretch."""
    if lost.until - lost.first > 1:
        return f"records {lost.first} to {lost.until - 1} are lost"
    return f"record {lost.first} is lost" if lost.until > lost.first else "no record is missing"


def _differing(segment: SegmentDirectory, meta: SegmentMeta) -> Iterator[str]:
    """How the index of a sealed segment differs from what was sealed."""
    listed = {name for name in meta.files if name != segment.data.name}
    present = set(file_names(segment)) - {segment.data.name}
    yield from (f"{name} is missing" for name in sorted(listed - present))
    yield from (f"{name} was not there when it was sealed" for name in sorted(present - listed))
    for name in sorted(listed & present):
        if checksum(segment.root / name) != meta.files[name]:
            yield f"{name} does not match its checksum"


def _view_problem(directory: StreamDirectory, catalog: Catalog) -> str | None:
    """Why a view does not show what its catalog says; None when it does."""
    shown = [entry for entry in catalog.segments if not entry.rebuilding]
    if not shown:
        return None
    try:
        segments = check_meta(directory.view)
        listed = tuple(str(segment["segment_id"]) for segment in segments)
        if listed != tuple(name for entry in shown for name in entry.tantivy):
            return f"{META} lists other index segments than the catalog"
        if sum(int(segment["max_doc"]) for segment in segments) != sum(entry.records for entry in shown):
            return f"{META} lists another number of records than the catalog"
        for entry in shown:
            index = directory.segment(entry.first, entry.generation).index
            for name in entry.tantivy:
                problem = _links_problem(directory.view, index, name.replace("-", ""))
                if problem:
                    return problem
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{META} cannot be read: {error}"
    return None


def _links_problem(view: Path, index: Path, stem: str) -> str | None:
    """What is wrong with the links of one index segment."""
    linked = {name for name in os.listdir(view) if name.startswith(stem)}
    source = {name for name in os.listdir(index) if name.startswith(stem)}
    if f"{stem}.idx" in source and not source <= linked:
        return f"{min(source - linked)} is missing"
    for name in sorted(linked):
        if name in source and (view / name).samefile(index / name):
            continue  # the same bytes, and the index is checked
        problems: list[str] = []
        check_footer(view / name, problems)
        if problems:
            return problems[0]
    return None
