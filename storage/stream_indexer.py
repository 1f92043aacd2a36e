"""The indexing of one stream: its newest segment is followed as it grows, sealed ones are made anew where need be.

What was done is published by an edit of the stream's catalog.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from storage.catalog import Catalog, CatalogFile, SegmentEntry, load_catalog
from storage.format import FILE_HEADER
from storage.paths import SegmentDirectory, StreamDirectory
from storage.publication import Edit, Hold, edit
from storage.segment import begin_lost, can_be_shown, index_is_usable, seal
from storage.segment_indexer import SegmentIndexer, remove_index
from storage.set_aside import set_aside
from storage.stop import panics_named
from storage.synced import SyncedReader

log = logging.getLogger(__name__)

COMMIT_AFTER_S = 0.35  # a steady stream is committed this often: well within the second that is promised
COMMIT_BEHIND_AFTER_S = 1.5  # while far behind, larger commits cost fewer merges
# A machine that is slow as well would make small ones, and become slower: of 10 000 records each costs half as much
# again as of 100 000. So while behind it waits for as many, but not for longer than this.
COMMIT_BEHIND_RECORDS, COMMIT_BEHIND_AFTER_S_MOST = 100_000, 5.0
BEHIND_BYTES = 4 << 20  # compressed bytes not yet read that count as far behind
WRITER_IDLE_S = 30.0  # a stream silent for so long gives its writer's memory back
FOLDER_TICK_NS = (
    100_000_000  # changes of a folder within a tick of the file system's clock, 10 ms, look like one
)
MEND_RETRY_S = 10.0  # after an index could not be made anew
REBUILD_SLICE_S = 0.2  # how long new records wait for an index that is made anew


class StreamIndexer:
    """Indexes one stream, segment after segment, and publishes what it did.

    The newest segment that is not sealed is followed as it grows. Beside it, one at a time, the indexes of sealed
    segments are made anew where they are missing or of no use; the others are served meanwhile.
    """

    def __init__(
        self, directory: StreamDirectory, clock: Callable[[], float], *, new: bool = False, threads: int = 1
    ) -> None:
        self._threads = threads
        self.directory = directory
        self._clock = clock
        self._hold = Hold(directory)
        self._catalog = CatalogFile(directory.catalog)
        self._synced: SyncedReader | None = None
        self._active: SegmentIndexer | None = None
        self._rebuild: SegmentIndexer | None = None
        self._segments_stamp = 0
        self._firsts: list[int] = []
        self._last_read_s = clock()
        self._mend_not_before_s = 0.0
        self.trouble: str | None = None  # why an index cannot be made anew now
        try:
            self._look_for_segments()
            # What comes into being from now on has no index yet; what is there already should have one.
            self._old = frozenset[int]() if new else frozenset(self._firsts)
            self._edit(self._reconciled, relink=True)
        except BaseException:
            self._hold.release()
            raise

    def _reconciled(self, catalog: Catalog) -> Catalog:
        """The catalog with what the folders say: sealed segments that it lacks, and indexes that are of no use."""
        checked = []
        for entry in catalog.segments:
            segment = self.directory.segment(entry.first, entry.generation)
            is_newest = not entry.sealed and entry.first == self._firsts[-1]  # which the log begins again
            if is_newest and not segment.data.exists():
                log.error("%s is gone; what was in it is lost", segment.data)
                continue
            lost = not is_newest and begin_lost(segment)
            usable = not lost and (index_is_usable(segment) if entry.sealed else can_be_shown(segment))
            if not usable and not entry.rebuilding:
                log.warning("the index of %s is missing or of no use and is made anew", segment.root)
            asked = entry.rebuilding  # by `klomp rebuild`, or it was not finished
            checked.append(entry.model_copy(update={"rebuilding": asked or not usable}))
        return catalog.model_copy(update={"segments": tuple(checked)})

    def _look_for_segments(self) -> None:
        try:
            stamp = os.stat(self.directory.segments).st_mtime_ns
        except FileNotFoundError:
            return
        if stamp != self._segments_stamp:
            self._firsts = self.directory.segment_firsts()
            self._segments_stamp = settled(stamp)

    @property
    def is_gone(self) -> bool:
        """Whether the stream was deleted; another one of its name may be there."""
        return self._hold.is_gone()

    def step(self) -> bool:
        """Do what there is to do now; whether anything was done.

        Raises:
            UnknownStream: the stream was deleted. Whatever else is raised may have the same cause: see `is_gone`.
        """
        self._hold.check()
        self._look_for_segments()
        self._catalog.read()
        if self._catalog.is_lost:
            self._find_catalog()
        busy = self._follow()
        return self._mend() or busy

    def _find_catalog(self) -> None:
        """Make a catalog anew that was lost or damaged under us."""
        log.error("%s is gone or damaged and is made anew", self.directory.catalog)
        active = self._active
        if active is None:
            self._edit(self._reconciled, relink=True)
            return
        active.commit()
        entry = active.entry(sealed=False)
        self._edit(lambda catalog: self._reconciled(catalog).with_segment(entry), relink=True)

    def _follow(self) -> bool:
        """Index what is new in the newest segment that is not sealed."""
        now = self._clock()
        if self._active is None and not self._open_next():
            return False
        self._begin_anew_if_asked()
        active = self._active
        assert active is not None
        behind = active.backlog_bytes() > BEHIND_BYTES
        patience = COMMIT_BEHIND_AFTER_S if behind else COMMIT_AFTER_S
        was_lost = active.catching_up
        following = next((first for first in self._firsts if first > active.segment.first), None)
        # The log begins a segment when the one before it is synced to its end.
        end = active.synced_end(self._synced_reader()) if following is None else None
        taken = active.read(now + patience, self._clock, end)
        if taken:
            self._last_read_s = now
        if following is not None and not taken:
            active.pass_rest(following, self._data_bytes(active.segment.first))
            self._seal(active)
            return True
        if behind and active.uncommitted < COMMIT_BEHIND_RECORDS:
            patience = COMMIT_BEHIND_AFTER_S_MOST
        waited = self._clock() - active.uncommitted_since
        if (active.uncommitted and (not taken or waited >= patience)) or was_lost != active.catching_up:
            active.commit()
            self._publish(active.entry(sealed=False))
            return True
        if now - self._last_read_s > WRITER_IDLE_S:
            active.close()
        return taken > 0

    def _synced_reader(self) -> SyncedReader:
        if self._synced is None:
            self._synced = SyncedReader(self.directory.synced)
            self._hold.check()  # it may be that of another stream
        return self._synced

    def _open_next(self) -> bool:
        catalog = self._catalog.read()
        done = catalog.sealed_until if catalog else 0
        for first in self._firsts:
            if first >= done:
                segment = self.directory.segment(first)
                if first != self._firsts[-1]:
                    begin_lost(segment)
                elif not segment.data.exists() or segment.data.stat().st_size < FILE_HEADER.size:
                    return False  # the log is about to begin it
                self._active = SegmentIndexer(
                    segment, self.directory.name, new=first not in self._old, threads=self._threads
                )
                self._publish(self._active.entry(sealed=False))
                return True
        return False

    def _begin_anew_if_asked(self) -> None:
        """Throw the index of the segment that is followed away, where somebody asked for that, or its data were cut."""
        catalog = self._catalog.read()
        active = self._active
        if active is None or catalog is None:
            return
        shorter = active.backlog_bytes() < 0
        if shorter:
            log.error("%s is shorter than it was", active.segment.data)
        elif not any(s.rebuilding and s.first == active.segment.first for s in catalog.segments):
            return
        log.warning("the index of %s is made anew", active.segment.root)
        active.abandon()
        remove_index(active.segment.index)
        self._active = anew = SegmentIndexer(active.segment, self.directory.name, threads=self._threads)
        self._edit(lambda catalog: catalog.with_segment(anew.entry(sealed=False)))

    def _seal(self, active: SegmentIndexer) -> None:
        """Close a segment that no more will be written to."""
        active.close()
        # What went bad since it was read would get a checksum that makes it look whole.
        set_aside(active.segment, active.entry(sealed=True).until, unpacked=False)
        seal(active.segment, active.entry(sealed=True))
        self._publish(active.entry(sealed=True))
        active.release()
        self._active = None

    def _mend(self) -> bool:
        """Go on with making an index anew, if one is needed; whether there was anything to do."""
        if self._rebuild is None:
            if self._clock() < self._mend_not_before_s:
                return False
            catalog = self._catalog.read()
            # The one that is still written to is begun anew by `_follow`.
            asked = [s for s in catalog.segments if s.rebuilding and s.sealed] if catalog else []
            entry = asked[0] if asked else None
            if entry is None:
                self.trouble = None
                return False
            segment = self.directory.segment(entry.first, entry.generation)
            if self._is_live(entry.first, entry.generation):
                begin_lost(segment)
            try:
                with panics_named():
                    self._rebuild = SegmentIndexer(segment, self.directory.name, entry.generation, aside=True)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is about this segment alone
                if self._is_live(entry.first, entry.generation):
                    self._put_off(segment, error)
                return True
        try:
            with panics_named():
                going_on = self._go_on_mending(self._rebuild)
        except Exception as error:
            rebuild, self._rebuild = self._rebuild, None
            if rebuild is None:
                raise
            rebuild.abandon()
            if self._is_live(rebuild.segment.first, rebuild.generation):
                self._put_off(rebuild.segment, error)
            else:
                log.info("%s was dropped while its index was made anew", rebuild.segment.root)
            return True
        self.trouble = None
        return going_on

    def _put_off(self, segment: SegmentDirectory, error: Exception) -> None:
        """Try again later to make an index anew: what comes in meanwhile has its rights as well."""
        why = f"the index of segment {segment.root.name} cannot be made anew: {error}"
        if why != self.trouble:
            log.error("stream %s: %s; it is tried again", self.directory.name, why)
        self.trouble = why
        self._mend_not_before_s = self._clock() + MEND_RETRY_S

    def _is_live(self, first: int, generation: int) -> bool:
        """Whether a segment has not been dropped or replaced."""
        catalog = load_catalog(self.directory.catalog)
        return catalog is not None and any(
            (s.first, s.generation) == (first, generation) for s in catalog.segments
        )

    def _go_on_mending(self, rebuild: SegmentIndexer) -> bool:
        if rebuild.read(self._clock() + REBUILD_SLICE_S, self._clock):
            return True
        rebuild.pass_rest(self._until(rebuild), self._data_bytes(rebuild.segment.first))
        rebuild.adopt()
        entry = rebuild.entry(sealed=True).model_copy(update={"catching_up": False})
        seal(rebuild.segment, entry)
        rebuild.release()
        self._rebuild = None
        self._edit(lambda catalog: _with_mended(catalog, entry))
        log.warning("the index of %s is made anew", rebuild.segment.root)
        return True

    def _until(self, rebuild: SegmentIndexer) -> int:
        """The number that a segment ends before, as far as the catalog knows."""
        catalog = self._catalog.read()
        first = rebuild.segment.first
        return next((s.until for s in catalog.segments if s.first == first), first) if catalog else first

    def _data_bytes(self, first: int) -> int:
        """The length that a data file had, as far as the catalog knows."""
        catalog = self._catalog.read()
        return next((s.data_bytes for s in catalog.segments if s.first == first), 0) if catalog else 0

    @property
    def mending(self) -> tuple[int, int] | None:
        """Bytes read and bytes there are, of the segment whose index is being made anew; None for none."""
        busy = self._rebuild or (
            self._active if self._active is not None and self._active.catching_up else None
        )
        if busy is None:
            return None
        size = busy.segment.data.stat().st_size
        return size - busy.backlog_bytes(), size

    def _publish(self, entry: SegmentEntry) -> None:
        """Say what a segment is like now; that somebody asked for its index to be made anew is kept."""

        def with_mark(catalog: Catalog) -> Catalog:
            marked = any(s.rebuilding and s.first == entry.first for s in catalog.segments)
            return catalog.with_segment(entry.model_copy(update={"rebuilding": marked}))

        self._edit(with_mark)

    def _edit(self, change: Edit, *, relink: bool = False) -> None:
        """Change the catalog of this stream, and never that of another one that has its name now."""

        def checked(catalog: Catalog) -> Catalog:
            self._hold.check()
            return change(catalog)

        edit(self.directory, checked, relink=relink)

    def abandon(self) -> None:
        """Let go without another word: the stream was deleted."""
        for indexer in (self._active, self._rebuild):
            if indexer is not None:
                indexer.abandon()
        self._active = self._rebuild = None
        self._let_go()

    def close(self) -> None:
        """Commit and publish what was read, then let go."""
        if self.is_gone:
            self.abandon()
            return
        if self._rebuild is not None:
            self._rebuild.release()
            self._rebuild = None
        if self._active is not None:
            active = self._active
            had = active.uncommitted
            active.close()
            if had:
                self._publish(active.entry(sealed=False))
            active.release()
            self._active = None
        self._let_go()

    def _let_go(self) -> None:
        if self._synced is not None:
            self._synced.close()
            self._synced = None
        self._hold.release()


def _with_mended(catalog: Catalog, entry: SegmentEntry) -> Catalog:
    """The catalog with a segment whose index was made anew, unless it was dropped or replaced meanwhile."""
    if any((s.first, s.generation) == (entry.first, entry.generation) for s in catalog.segments):
        return catalog.with_segment(entry)
    return catalog


def settled(stamp_ns: int) -> int:
    """When a folder last changed, as far as that says that it did not since; 0 while it is too early to say."""
    return stamp_ns if time.time_ns() - stamp_ns > FOLDER_TICK_NS else 0
