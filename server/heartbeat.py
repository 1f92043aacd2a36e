"""The indexer's heartbeat: a file that it touches, and whose time says that it lives."""

from __future__ import annotations

HEARTBEAT_FILE = "indexer.alive"  # in the data directory
HEARTBEAT_S = 1.0  # how often
