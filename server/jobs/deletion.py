"""The job `deletion`: makes segments anew without the records that somebody wants gone.

It begins once all records that were acknowledged when it was asked for are in sealed segments. Each segment is replaced
as a whole; a crash leaves some replaced and the others not, and the next run goes on with those. It ends when a search
finds no such record any more, and no name in the data directory leads to a file that has one.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from dsl.parse import parse
from server.engine import Engine
from server.jobs.base import Job, JobContext, JobFailed
from storage.backup import remove_staging
from storage.drop import collect, unfinished
from storage.errors import StoreError, UnknownStream
from storage.metadata import DeletionRow
from storage.own_views import remove_stale_links, remove_stale_views
from storage.paths import StreamDirectory
from storage.publication import Hold, edit, live_catalog
from storage.rewrite import SegmentGone, delete
from storage.store import Store

log = logging.getLogger(__name__)

TRIES = 20  # a segment may be put together with others between being looked at and being made anew
LET_GO_S_MAX = 5.0  # for a replacement in the making to end; longer, and the next run goes on
LET_GO_POLL_S = 0.05


def run(context: JobContext) -> dict[str, Any]:
    """Go on with every deletion that is not done; what became of each."""
    outcomes: dict[str, Any] = {}
    failed = False
    for row in reversed(context.metadata.deletions(unfinished=True)):
        if context.stopping():
            break
        store = Store(context.data)
        hold: Hold | None = None
        try:
            hold = Hold(context.data.stream(row.stream))
            outcomes[str(row.id)] = _go_on(context, store, row)
        except UnknownStream:
            context.metadata.note_deletion(
                row.id, "failed", row.deleted, None, "the stream is gone", context.now_us()
            )
        except (StoreError, OSError) as error:  # it is tried again at the next run
            log.error("deletion %d in stream %s: %s", row.id, row.stream, error)  # noqa: TRY400
            context.metadata.note_deletion(row.id, "running", row.deleted, row.remaining, str(error))
            outcomes[str(row.id)] = {"error": str(error)}
            failed = True
        finally:
            if hold is not None:
                hold.release()
            store.close()
    if failed:
        raise JobFailed({"deletions": outcomes, "error": "some could not go on"})
    return {"deletions": outcomes}


def _go_on(context: JobContext, store: Store, row: DeletionRow) -> dict[str, Any]:
    """Replace segments until no record that must go is left; what was done."""
    directory = context.data.stream(row.stream)
    catalog = store.catalog(row.stream)
    if catalog.born_us > row.now_us:
        raise UnknownStream(f"the stream {row.stream!r} is another one than it was", "")
    if catalog.sealed_until < row.until or catalog.is_mending:
        return {"waiting": "for its records to be in whole segments"}
    query = parse(row.query)
    engine = Engine(store, context.now_us)
    deleted = row.deleted
    for _ in range(TRIES):
        matching = engine.matching(query, row.now_us)
        numbers = {a.number for a in matching.addresses() if a.number < row.until} if matching else set[int]()
        context.metadata.note_deletion(row.id, "running", deleted, len(numbers))
        if not numbers:
            left = _let_go(context, store, directory)
            if left is not None:
                return {"deleted": deleted, "waiting": f"for {left}"}
            context.metadata.note_deletion(row.id, "done", deleted, 0, None, context.now_us())
            return {"deleted": deleted}
        try:
            for done in _replace(context, directory, numbers):
                deleted += done
                context.metadata.note_deletion(row.id, "running", deleted, None)
        except (SegmentGone, FileExistsError, FileNotFoundError):
            continue
        if context.stopping():
            break
    return {"deleted": deleted, "waiting": "for the next run"}


def _let_go(context: JobContext, store: Store, directory: StreamDirectory) -> str | None:
    """Remove every name of the files that were replaced; what still has one, None for nothing."""
    # The view keeps what it had for one round more: do that round now.
    edit(directory, lambda catalog: catalog)
    store.let_go(unused_s=0)
    making = unfinished(directory)
    deadline_s = time.monotonic() + LET_GO_S_MAX
    while making & unfinished(directory):
        # It may be made of segments that were replaced meanwhile: then it is given up at its end.
        if time.monotonic() > deadline_s or context.stopping():
            return "segments that are being put together"
        time.sleep(LET_GO_POLL_S)
    collect(directory, context.now_us() / 1_000_000)
    remove_stale_views(context.data)
    remove_stale_links(context.data)
    return None if remove_staging(context.data) else "a backup that is being made"


def _replace(context: JobContext, directory: StreamDirectory, numbers: set[int]) -> Any:
    """Make the segments with these records anew; for each, how many went."""
    for entry in live_catalog(directory).segments:
        here = {number for number in numbers if entry.first <= number < entry.until}
        if here and entry.sealed and not context.stopping():
            delete(directory, entry, lambda number, _time_us, _line, here=here: number not in here)  # type: ignore[misc]
            yield len(here)


DELETION = Job(
    kind="deletion",
    summary="makes segments anew without the records that were asked to go",
    every_s=10,
    run=run,
)
