"""What a job is: something that the store does by itself from time to time, one of a kind at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from storage.metadata import Metadata
from storage.paths import DataDirectory


@dataclass(frozen=True, slots=True)
class JobContext:
    """What jobs work on.

    Attributes:
        data: The data directory.
        metadata: What is set.
        now_us: The time of day, microseconds since 1970.
        stopping: Whether the process has to end: a long job stops at the next good place.
    """

    data: DataDirectory
    metadata: Metadata
    now_us: Callable[[], int]
    stopping: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of job.

    Attributes:
        kind: Its name.
        summary: What it does, for people.
        every_s: How often it runs. A run that is missed is made up for once.
        run: Does it; what it returns, as JSON, is the outcome that `GET /v1/jobs` shows.
    """

    kind: str
    summary: str
    every_s: int
    run: Callable[[JobContext], Any]


class JobFailed(Exception):
    """A job did not do all that it should; `outcome` says what it did, and what not."""

    def __init__(self, outcome: dict[str, Any]) -> None:
        super().__init__(outcome.get("error", "failed"))
        self.outcome = outcome
