"""A real server for tests: `klomp serve` as a process of its own, on a free port of loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import urllib3

KLOMP = (sys.executable, "-c", "from server.cli import main; main()")
START_S = 30.0  # for a busy machine; a server is up in about one


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Serving:
    """A running `klomp serve`."""

    def __init__(self, data: Path, port: int | None = None, *options: str) -> None:
        self.data = data
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = urllib3.PoolManager(timeout=60, retries=False, maxsize=16)
        self.log = data.parent / f"{data.name}.serve.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*KLOMP, "serve", "--data", str(data), "--port", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                if self.http.request("GET", f"{self.url}/readyz").status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def pid(self, role: str) -> int:
        """The process of a role, among the supervisor's children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in map(int, children):
            if role.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return child
        raise ProcessLookupError(role)

    def kill(self, role: str) -> None:
        """kill -9 one process."""
        os.kill(self.process.pid if role == "supervisor" else self.pid(role), signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(40)

    def request(self, method: str, path: str, body: bytes | str | None = None, **headers: str):
        """Status, decoded body and headers of an answer."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.http.request(method, self.url + path, body=body, headers=names)
        data = reply.data
        if reply.headers.get("content-type", "").startswith("application/json"):
            data = orjson.loads(data)
        return reply.status, data, reply.headers

    def ingest(self, records, stream: str = "main", *, refresh: bool = True):
        """Send records as NDJSON; the decoded answer of a 202."""
        body = b"\n".join(map(orjson.dumps, records))
        path = f"/v1/streams/{stream}/logs" + ("?refresh=wait" if refresh else "")
        status, answer, _ = self.request("POST", path, body, content_type="application/x-ndjson")
        assert status == 202, answer
        return answer

    def query(self, text: str):
        """The decoded answer of a query that must succeed."""
        status, answer, _ = self.request("POST", "/v1/query", text, content_type="application/edn")
        assert status == 200, answer
        return answer
