"""`GET /v1/jobs`: what the store does by itself, and how it went. `POST /v1/jobs/{kind}/run`: do it now."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import falcon
import falcon.asgi
import orjson

from server.errors import RequestError
from server.jobs import JOBS
from server.parameters import Parameters, number_parameter
from storage.metadata import JOBS_LISTED_MAX, JobRow, Metadata
from storage.times import format_time, shown_time

LIMIT_DEFAULT = 100


class Jobs:
    """Lists jobs and their latest runs."""

    parameters: ClassVar[Parameters] = {"GET": ("kind", "limit")}

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The kinds, and the latest runs, the newest first."""
        kind = req.get_param("kind")
        limit = number_parameter(req, "limit", JOBS_LISTED_MAX) or LIMIT_DEFAULT
        runs = await asyncio.to_thread(self._metadata.jobs, limit, kind)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps(
            {
                "kinds": [
                    {"kind": job.kind, "summary": job.summary, "every_s": job.every_s}
                    for job in JOBS.values()
                ],
                "jobs": [_run(run) for run in runs],
            }
        )


class AskedJob:
    """Asks for a run."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def on_post(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, kind: str) -> None:
        """202: the scheduler runs it as soon as one of its kind does not run."""
        if kind not in JOBS:
            raise RequestError(404, "unknown-job", f"no job {kind!r}", f"there are: {', '.join(JOBS)}")
        await asyncio.to_thread(self._metadata.ask_job, kind)
        resp.status = falcon.HTTP_202
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps({"asked": kind})


def _run(run: JobRow) -> dict[str, Any]:
    return {
        "id": run.id,
        "kind": run.kind,
        "stream": run.stream,
        "state": run.state,
        "started": format_time(run.started_us),
        "ended": shown_time(run.ended_us),
        "took_ms": None if run.ended_us is None else (run.ended_us - run.started_us) / 1000,
        "outcome": run.outcome,
    }
