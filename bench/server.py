"""A klomp of our own on a fresh folder, and what it uses of the machine."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

PORT = 18099
START_S = 15.0


class Client:
    """One kept-alive connection."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=120)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def post(self, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        """Status and body."""
        self._connection.request("POST", path, body=body, headers={"Content-Type": content_type})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def query(self, text: str) -> bytes:
        """The body of an answer; raises for anything but 200."""
        status, data = self.post("/v1/query", text.encode(), "application/edn")
        if status != 200:
            raise RuntimeError(data.decode())
        return data


class Server:
    """A running server; stop it."""

    def __init__(self) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="klomp-bench-"))
        self.url = f"http://127.0.0.1:{PORT}"
        command = [sys.executable, "-c", "from server.cli import main; main()", "serve"]
        self.process = subprocess.Popen([*command, "--data", str(self.data), "--port", str(PORT)])
        deadline = time.monotonic() + START_S
        while not self._ready():
            if time.monotonic() > deadline:
                raise RuntimeError("the server does not start")
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            return Client(self.url).get("/readyz")[0] == 200
        except OSError:
            return False

    def _pids(self) -> list[int]:
        found = [self.process.pid]
        for pid in found:  # it grows: children of children are found too
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found

    def cpu_s(self) -> float:
        """Processor seconds of all processes so far."""
        ticks = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, kind: str = "VmHWM") -> float:
        """Sum over all processes of the peak of resident memory (VmHWM), or of what is resident now (VmRSS)."""
        total = 0
        for pid in self._pids():
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(next(line for line in status.splitlines() if line.startswith(kind)).split()[1])
        return total / 1024

    def disk_bytes(self) -> int:
        """Bytes on disk, links counted once."""
        sizes = {}
        for root, _, files in os.walk(self.data):
            for name in files:
                stat = os.stat(os.path.join(root, name))
                sizes[stat.st_ino] = stat.st_blocks * 512
        return sum(sizes.values())

    def stop(self) -> None:
        """Stop it and remove its data."""
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.data)
