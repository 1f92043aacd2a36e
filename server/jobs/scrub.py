"""The job `scrub`: reads sealed segments again, a little at a time, and deals with what the disk has let go bad."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from server.jobs.base import Job, JobContext
from storage.scrub import Scrub
from storage.scrub_tables import ScrubTables
from storage.times import format_time

EVERY_S = 600  # a thousand runs a week: each has little to do
FOUND_SHOWN_MAX = 100

log = logging.getLogger(__name__)


def run(context: JobContext) -> dict[str, Any]:
    """Read what is due; how much, how far the round is, and what was found."""
    tables = ScrubTables(context.metadata)
    scrub = Scrub(context.data, tables.place(), context.now_us(), EVERY_S, stopping=context.stopping)
    try:
        read_bytes = scrub.run()
    finally:
        new = tables.note(scrub.place, scrub.found, scrub.well, scrub.live)
        for one in new:
            log.error("the scrub found %s: %s", one.path, one.message)
    shown = [asdict(one) for one in new[:FOUND_SHOWN_MAX]]
    place = scrub.place
    return {
        "read_bytes": read_bytes,
        "round": {
            "begun": format_time(place.begun_us),
            "read_bytes": place.read_bytes,
            "done": place.whole,
        },
        "found": [{name: one[name] for name in ("stream", "path", "code", "message")} for one in shown],
        "found_count": len(new),
    }


SCRUB = Job(
    kind="scrub",
    summary="reads all that is sealed again within a week, and finds what the disk has let go bad",
    every_s=EVERY_S,
    run=run,
)
