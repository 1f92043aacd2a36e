"""The processes of a server: one role a file, one line in `ROLES`; `python -m server.processes ROLE SETTINGS`.

They start in this order and stop in the other: first what takes records in, last what makes them searchable.
"""

from __future__ import annotations

from collections.abc import Callable

from server.processes import http, indexer, scheduler
from server.settings import Settings

ROLES: dict[str, Callable[[Settings], None]] = {
    "indexer": indexer.run,
    "scheduler": scheduler.run,
    "http": http.run,
}
