"""The indexer's sign of life, `indexer.alive`: touched every second, and in it what it cannot index, by stream.

    {"app": "the disk gives no answer"}

It is empty where all is well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import orjson

HEARTBEAT_FILE = "indexer.alive"
HEARTBEAT_S = 1.0
HEARTBEAT_STALE_S = 10.0  # a large commit may hold the indexer for some seconds

log = logging.getLogger(__name__)


class Heartbeat:
    """The file, for the indexer and for those who look whether it lives.

    Args:
        data: The data directory.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / HEARTBEAT_FILE
        self._told: bytes | None = None

    def beat(self, failing: Mapping[str, str]) -> None:
        """Be alive. A disk that refuses this is no reason not to be."""
        told = orjson.dumps(dict(failing)) if failing else b""
        try:
            if told == self._told:
                self._path.touch()
            else:
                self._path.write_bytes(told)
                self._told = told
        except OSError as error:
            log.warning("cannot say that the indexer lives: %s", error)
            self._told = None

    def age_s(self) -> float:
        """Seconds since the last beat; infinite where there was none."""
        try:
            return time.time() - self._path.stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    def failing(self) -> dict[str, str]:
        """What cannot be indexed now and why, by stream."""
        try:
            found = orjson.loads(self._path.read_bytes() or b"{}")
        except (FileNotFoundError, orjson.JSONDecodeError):
            return {}  # it is just being written
        return found if isinstance(found, dict) else {}
