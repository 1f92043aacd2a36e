"""What every child process does first: log like its siblings, die with its parent, leave Ctrl-C to it."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def start(role: str, parent: int) -> None:
    """Set this process up as the child of a supervisor.

    Args:
        role: Its name in the log.
        parent: The supervisor's process. It says so itself: to ask who it is would be too late where it died since.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"{role} {LOG_FORMAT}")
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)  # the parent died before it could be bound to
    signal.signal(signal.SIGINT, signal.SIG_IGN)
