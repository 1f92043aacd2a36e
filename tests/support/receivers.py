"""What notifications are sent to in tests, on loopback: an HTTP receiver, a mail server, Prometheus's Alertmanager."""

from __future__ import annotations

import email
import email.policy
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat

import orjson
import pytest
import urllib3

from tests.support.serving import free_port

ALERTMANAGER = shutil.which("prometheus-alertmanager")
WAIT_S = 30.0  # for a busy machine


def eventually(look, wait_s=WAIT_S):
    """What `look` gives once that is true."""
    deadline = time.monotonic() + wait_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@dataclass
class Got:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return orjson.loads(self.body)


class Receiver:
    """An HTTP server that keeps what it gets, and answers as it is told: `(status, headers)` in turn, then 204.

    Each answer has the same body.
    """

    def __init__(self, *answers, body=b""):
        self.got: list[Got] = []
        self.answers = iter((*answers, *repeat((204, {}), 10_000)))
        self.release = threading.Event()
        self.release.set()
        receiver, said = self, body

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                receiver.got.append(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                receiver.release.wait(WAIT_S)
                status, headers = next(receiver.answers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


class MailServer:
    """A mail server that keeps what it gets."""

    def __init__(self):
        from aiosmtpd.controller import Controller

        self.mails = []
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())

    def __enter__(self):
        self.controller.start()
        return self

    def __exit__(self, *_):
        self.controller.stop()

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802  # the name that aiosmtpd calls
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"

    def url(self, scheme="mailto"):
        host = f"127.0.0.1:{self.controller.port}"
        return f"{scheme}://{host}?from=klomp@example.com&to=ops@example.com&mode=insecure"


@contextmanager
def alertmanager(folder, hook_url):
    """A running Alertmanager that tells `hook_url` of every group at once; its URL."""
    if ALERTMANAGER is None:
        pytest.skip("prometheus-alertmanager is not installed")
    config = folder / "alertmanager.yml"
    config.write_text(
        "route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}\n"
        f"receivers: [{{name: hook, webhook_configs: [{{url: '{hook_url}', send_resolved: true}}]}}]\n"
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(
            [
                ALERTMANAGER,
                f"--config.file={config}",
                f"--storage.path={folder / 'am'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        http = urllib3.PoolManager(retries=False, timeout=5)

        def ready():
            assert process.poll() is None, (folder / "alertmanager.log").read_text()
            try:
                return http.request("GET", f"{url}/-/ready").status == 200
            except urllib3.exceptions.HTTPError:
                return False

        eventually(ready)
        yield url
    finally:
        process.terminate()
        process.wait(30)
