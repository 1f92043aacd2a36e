"""The job `compaction`: puts small neighbouring segments together, so that their number grows with the logarithm."""

from __future__ import annotations

import logging
from typing import Any

from server.jobs.base import Job, JobContext, JobFailed
from storage.compaction import SPAN_SHARE, choose
from storage.errors import StoreError, UnknownStream
from storage.paths import StreamDirectory
from storage.publication import Hold, live_catalog
from storage.rewrite import compact, sealed_runs
from storage.stream_settings import stored_settings
from storage.times import US_PER_S

log = logging.getLogger(__name__)


def run(context: JobContext) -> dict[str, Any]:
    """Look at every stream; what was put together, by stream."""
    kept_us = {row.name: _kept_us(row.name, row.settings) for row in context.metadata.streams()}
    done: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name in context.data.stream_names():
        try:
            # While it is held, a stream of this name is the one that it was.
            hold = Hold(context.data.stream(name))
            try:
                made = _settle(context, context.data.stream(name), kept_us.get(name))
            finally:
                hold.release()
        except UnknownStream:
            continue  # it was deleted since it was listed
        except (StoreError, OSError) as error:  # the other streams have their rights as well
            log.error("compaction of stream %s: %s", name, error)  # noqa: TRY400
            errors[name] = str(error)
            continue
        if made:
            done[name] = {"made": made}
    if errors:
        raise JobFailed({"compacted": done, "error": "; ".join(f"{k}: {v}" for k, v in errors.items())})
    return {"compacted": done}


def _settle(context: JobContext, directory: StreamDirectory, kept_us: int | None) -> int:
    """Put segments together until none are worth it; how many were made."""
    span_us_max = None if kept_us is None else kept_us // SPAN_SHARE
    made = 0
    while not context.stopping():
        catalog = live_catalog(directory)
        window = next(filter(None, (choose(run, span_us_max) for run in sealed_runs(catalog))), None)
        if not window:
            break
        compact(directory, window)
        made += 1
    return made


def _kept_us(name: str, settings: dict[str, Any]) -> int | None:
    """How long a stream's records are kept, microseconds; None for ever."""
    age_s = stored_settings(name, settings).retention.age_s
    return None if age_s is None else age_s * US_PER_S


COMPACTION = Job(
    kind="compaction",
    summary="puts small neighbouring segments together, so that few are searched",
    every_s=60,
    run=run,
)
