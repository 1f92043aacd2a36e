"""A klomp of our own on a fresh folder, and what it uses of the machine.

Memory is said in two ways. Resident memory (RSS) counts a page in each process that has it, so a sum over processes
counts pages that they share several times, files that are mapped among them. Proportional memory (PSS) counts a share
of such a page in each: its sum is what the processes have of the machine. Both count mapped files, which the kernel can
drop at any time; anonymous memory is what it cannot.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.client import Client

START_S = 15.0
STOP_S = 60.0
SETTLE_S_MIN, SETTLE_S_MAX = 3.0, 300.0  # merges end, caches of the disk are written back
QUIET_S = 1.0  # it is quiet when it was so long
QUIET_SHARE = 0.1  # of one core: what an idle server uses at most
WATCH_S = 2.0  # reading the pages of a large process takes milliseconds


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes of all processes together: resident, proportional, and of the latter what no file backs."""

    resident_mb: float = 0.0
    proportional_mb: float = 0.0
    anonymous_mb: float = 0.0

    def __or__(self, other: Memory) -> Memory:
        """The greater of each."""
        return Memory(
            max(self.resident_mb, other.resident_mb),
            max(self.proportional_mb, other.proportional_mb),
            max(self.anonymous_mb, other.anonymous_mb),
        )

    def __str__(self) -> str:
        return f"PSS {self.proportional_mb:.0f} MB ({self.anonymous_mb:.0f} anonymous), RSS {self.resident_mb:.0f} MB"


class Processes:
    """A process and all that it started: what they use."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def pids(self) -> list[int]:
        """All that live now."""
        found = [self._pid]
        for pid in found:  # it grows: children of children are found too
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, _text(children).split())
        return found

    def cpu_s(self) -> float:
        """Processor seconds so far, of children that have ended too."""
        ticks = 0
        for pid in self.pids():
            if text := _text(Path(f"/proc/{pid}/stat")):
                fields = text.rsplit(")", 1)[1].split()
                ticks += sum(map(int, fields[11:15]))  # its own, user and system, and those of ended children
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> Memory:
        """What they have now."""
        found = {"Rss": 0, "Pss": 0, "Pss_Anon": 0}
        for pid in self.pids():
            for line in _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
                name, _, rest = line.partition(":")
                if name in found:
                    found[name] += int(rest.split()[0])
        return Memory(*(kilobytes / 1024 for kilobytes in found.values()))

    def peaks_mb(self) -> float:
        """The sum of each process's own peak of resident memory (VmHWM): no less than the peak of the sum."""
        total = 0
        for pid in self.pids():
            for line in _text(Path(f"/proc/{pid}/status")).splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1])
        return total / 1024


def _text(path: Path) -> str:
    """A file of /proc; nothing of a process that has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Peak:
    """The most memory seen."""

    def __init__(self, look: Callable[[], Memory]) -> None:
        self._look = look
        self.memory = Memory()

    def look(self) -> None:
        """See what there is now."""
        self.memory |= self._look()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look again and again meanwhile."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(WATCH_S):
                self.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.look()


class Server:
    """A running server; stop it."""

    def __init__(self, options: tuple[str, ...] = ()) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="klomp-bench-"))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-c", "from server.cli import main; main()", "serve"]
        self._process = subprocess.Popen([*command, "--data", str(self.data), "--port", str(port), *options])
        self.processes = Processes(self._process.pid)
        deadline = time.monotonic() + START_S
        while not self._ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.stop()
                raise RuntimeError("the server does not start")
            time.sleep(0.05)
        self.start_cpu_s = self.processes.cpu_s()

    def _ready(self) -> bool:
        client = Client(self.url)
        try:
            return client.get("/readyz")[0] == 200
        except OSError:
            return False
        finally:
            client.close()

    def settle(self) -> float:
        """Wait until it has little to do, and say how many seconds that took."""
        started = time.monotonic()
        used_s = self.processes.cpu_s()
        while (waited_s := time.monotonic() - started) < SETTLE_S_MAX:
            time.sleep(QUIET_S)
            before_s, used_s = used_s, self.processes.cpu_s()
            if used_s - before_s < QUIET_SHARE * QUIET_S and waited_s >= SETTLE_S_MIN - QUIET_S:
                break
        return time.monotonic() - started

    def disk_bytes(self) -> int:
        """Bytes on disk, links counted once."""
        sizes = {}
        for root, _, files in os.walk(self.data):
            for name in files:
                try:
                    stat = os.stat(os.path.join(root, name))
                except FileNotFoundError:  # a merge has just ended
                    continue
                sizes[stat.st_ino] = stat.st_blocks * 512
        return sum(sizes.values())

    def stop(self) -> None:
        """Stop it and remove its data."""
        self._process.terminate()
        self._process.wait(STOP_S)
        shutil.rmtree(self.data)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
