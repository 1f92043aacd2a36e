"""The job `housekeeping`: removes what crashes, deleted streams and ended processes left on the disk."""

from __future__ import annotations

from typing import Any

from server.jobs.base import Job, JobContext
from storage.alerts import AlertTables
from storage.backup import remove_staging
from storage.drop import collect, empty_trash
from storage.errors import UnknownStream
from storage.notifications import Notifications
from storage.own_views import remove_stale_links, remove_stale_views


def run(context: JobContext) -> dict[str, Any]:
    """Remove what nobody needs; how much of what there was."""
    segments = 0
    for name in context.data.stream_names():
        if context.stopping():
            break
        try:
            segments += collect(context.data.stream(name), context.now_us() / 1_000_000)
        except UnknownStream:
            continue  # it was deleted since it was listed
    streams, views = empty_trash(context.data), remove_stale_views(context.data)
    remove_stale_links(context.data)  # after that, nothing has a name for what was in the trash
    remove_staging(context.data)
    return {
        "segments": segments,
        "streams": streams,
        "views": views,
        "runs": context.metadata.forget_jobs(),
        "notifications": Notifications(context.metadata).forget(),
        "alerts": AlertTables(context.metadata).forget(context.now_us()),
    }


HOUSEKEEPING = Job(
    kind="housekeeping",
    summary="removes what crashes, deleted streams and ended processes left, and forgets old runs of jobs",
    every_s=600,
    run=run,
)
