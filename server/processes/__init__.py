"""The processes of a server: one role a file, one line in `ROLES`; `python -m server.processes ROLE SETTINGS`.

They start in this order and stop in the other: first what takes records in, last what makes them searchable.

Each imports only its own file: what the others import would cost it some twenty megabytes and half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.settings import Settings

ROLES = ("indexer", "scheduler", "http")


def run_role(role: str, settings: Settings) -> None:
    """Be the process of this role until SIGTERM.

    Raises:
        StoreError: it cannot begin.
    """
    run: Callable[[Settings], None] = import_module(f"server.processes.{role}").run
    run(settings)
