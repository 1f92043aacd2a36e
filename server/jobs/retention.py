"""The job `retention`: drops the segments that a stream's settings do not keep."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from server.jobs.base import Job, JobContext, JobFailed
from storage.catalog import Catalog, SegmentEntry
from storage.drop import disk_bytes, drop
from storage.errors import StoreError, UnknownStream
from storage.own_views import remove_stale_links
from storage.paths import StreamDirectory
from storage.retention import decide
from storage.stream_settings import RetentionSettings, stored_settings

log = logging.getLogger(__name__)


def run(context: JobContext) -> dict[str, Any]:
    """Look at every stream that has a retention; what was dropped, by stream."""
    dropped: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for row in context.metadata.streams():
        if context.stopping():
            break
        retention = stored_settings(row.name, row.settings).retention
        if retention.is_for_ever:
            continue
        try:
            gone = _apply(context.data.stream(row.name), retention, context.now_us())
        except UnknownStream:
            continue  # it is being deleted
        except (StoreError, OSError) as error:  # the other streams have their rights as well
            log.error("retention of stream %s: %s", row.name, error)  # noqa: TRY400
            errors[row.name] = str(error)
            continue
        if gone:
            dropped[row.name] = gone
            log.info("retention of stream %s dropped %s", row.name, gone)
    if dropped:
        remove_stale_links(context.data)
    if errors:
        raise JobFailed({"dropped": dropped, "error": "; ".join(f"{k}: {v}" for k, v in errors.items())})
    return {"dropped": dropped}


def _apply(directory: StreamDirectory, retention: RetentionSettings, now_us: int) -> dict[str, int] | None:
    sizes: dict[tuple[int, int], int] = {}

    def size(entry: SegmentEntry) -> int:
        key = (entry.first, entry.generation)
        if key not in sizes:
            sizes[key] = disk_bytes(directory.segment(*key).root)
        return sizes[key]

    choose = partial(_choose, retention, now_us, size)
    entries = drop(directory, choose)
    if not entries:
        return None
    return {
        "segments": len(entries),
        "records": sum(entry.records for entry in entries),
        "bytes": sum(entry.raw_bytes for entry in entries),
    }


def _choose(retention: RetentionSettings, now_us: int, size: Any, catalog: Catalog) -> list[SegmentEntry]:
    return decide(catalog.segments, retention, now_us, size)


RETENTION = Job(
    kind="retention",
    summary="drops the segments that a stream's settings do not keep",
    every_s=60,
    run=run,
)
