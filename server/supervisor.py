"""The supervisor, `klomp serve`: starts the processes of a server, restarts one that dies, stops them in order."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from server.clock import now_us
from server.processes import ROLES
from server.settings import Settings
from storage.locks import hold_lock
from storage.metadata import set_damaged_aside
from storage.paths import DataDirectory, make_durably
from storage.suspicion import suspect
from storage.versions import refuse_unknown_versions

log = logging.getLogger(__name__)

POLL_S = 0.05
RESTART_AFTER_S = 0.2  # doubled at every death in a row
RESTART_AFTER_MAX_S = 5.0
STEADY_AFTER_S = 10.0  # a process that lived so long starts with the short wait again
STOP_TIMEOUT_S = 30.0  # then it is killed: the log is synced, the index is derived


class PortTaken(Exception):
    """Nothing can listen on the wanted address."""


@dataclass(slots=True)
class _Child:
    """One role's process."""

    role: str
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    wait_s: float = RESTART_AFTER_S
    due_s: float = 0.0


class Supervisor:
    """Runs a server's processes.

    Args:
        settings: Of the server.

    Raises:
        StoreLocked: another server has the data directory.
        FormatUnknown: a newer klomp wrote something there.
        MetadataUnwritable: the disk refuses them.
        PortTaken: the address cannot be listened on.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        if not settings.data.exists():
            check_port(settings.host, settings.port)  # where it is taken, nothing is left behind
        make_durably(settings.data)
        self._lock = hold_lock(settings.data / "klomp.lock", f"another klomp serves {settings.data}")
        refuse_unknown_versions(DataDirectory(settings.data))
        set_damaged_aside(DataDirectory(settings.data).metadata, now_us())
        check_port(settings.host, settings.port)
        self._children = [_Child(role) for role in ROLES]
        self._stopping = False

    def stop(self) -> None:
        """Ask `run` to end; safe to call from a signal handler."""
        self._stopping = True

    def run(self, on_tick: Callable[[], None] | None = None) -> None:
        """Supervise until stopped, then stop everything in order.

        Args:
            on_tick: Called some twenty times a second.
        """
        try:
            while not self._stopping:
                for child in self._children:
                    self._tend(child)
                if on_tick is not None:
                    on_tick()
                time.sleep(POLL_S)
        finally:
            # First the process that takes records in, so that the indexer sees all of them.
            for child in reversed(self._children):
                self._end(child)
            os.close(self._lock)

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                return
            if now - child.started_s > STEADY_AFTER_S:
                child.wait_s = RESTART_AFTER_S
            log.error("%s ended with %s; it starts again in %.1f s", child.role, _ending(code), child.wait_s)
            if code == -signal.SIGBUS:
                suspect(DataDirectory(self._settings.data))  # a mapped file has become shorter, or unreadable
            child.process = None
            child.due_s = now + child.wait_s
            child.wait_s = min(2 * child.wait_s, RESTART_AFTER_MAX_S)
        if now >= child.due_s:
            settings = self._settings.model_dump_json()
            command = [sys.executable, "-m", "server.processes", child.role, settings, str(os.getpid())]
            child.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  # our own
            child.started_s = now

    @staticmethod
    def _end(child: _Child) -> None:
        if child.process is None or child.process.poll() is not None:
            return
        child.process.send_signal(signal.SIGTERM)
        try:
            child.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            log.error("%s did not stop within %.0f s and is killed", child.role, STOP_TIMEOUT_S)  # noqa: TRY400
            child.process.kill()
            child.process.wait()


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def check_port(host: str, port: int) -> None:
    """Find out now, and say it well, when the address can't be had.

    Raises:
        PortTaken: it can't.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}") from error
