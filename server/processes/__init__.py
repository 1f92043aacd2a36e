"""The processes of a server: one role a file, one line in `ROLES`; `python -m server.processes ROLE SETTINGS`."""

from __future__ import annotations

from collections.abc import Callable

from server.processes import http, indexer
from server.settings import Settings

ROLES: dict[str, Callable[[Settings], None]] = {
    "indexer": indexer.run,
    "http": http.run,
}
