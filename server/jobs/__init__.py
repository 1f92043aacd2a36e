"""What the scheduler does from time to time: one job a file, one line here."""

from __future__ import annotations

from server.jobs.base import Job
from server.jobs.compaction import COMPACTION
from server.jobs.deletion import DELETION
from server.jobs.housekeeping import HOUSEKEEPING
from server.jobs.retention import RETENTION
from server.jobs.scrub import SCRUB

JOBS: dict[str, Job] = {job.kind: job for job in (RETENTION, COMPACTION, DELETION, HOUSEKEEPING, SCRUB)}
