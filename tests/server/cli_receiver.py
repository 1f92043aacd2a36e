"""A server that keeps to the contract and can be told to fail: what the client and the commands are tested against."""

import gzip
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import zstandard

BREAK = "break"  # the connection is cut after the whole request was read
NOW = "2026-01-02T03:04:05.000000Z"
ANSWER: dict[str, Any] = {"rows": [], "cursor": None, "complete": True, "now": NOW, "took_ms": 1.5}


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def lines(self) -> list[bytes]:
        return self.body.split(b"\n")[:-1]


@dataclass
class Receiver:
    """What came in, and what is answered: `scripted` first, one for each request, then what the contract says."""

    requests: list[Request] = field(default_factory=list)
    scripted: list[Any] = field(default_factory=list)  # BREAK, (status, JSON) or (status, JSON, headers)
    answer: dict[str, Any] = field(default_factory=lambda: dict(ANSWER))
    streams: list[dict[str, Any]] = field(default_factory=list)
    reject: Callable[[bytes], tuple[str, str] | None] = lambda line: None
    body_bytes_max: int = 64 << 20
    connections: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def lines(self) -> list[bytes]:
        return [line for request in self.requests for line in request.lines]

    @property
    def records(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]

    def reply(self, request: Request) -> Any:
        with self.lock:
            self.requests.append(request)
            if self.scripted:
                return self.scripted.pop(0)
        if request.path == "/v1/query":
            return 200, self.answer
        if request.path == "/v1/streams":
            return 200, {"streams": self.streams}
        return self.ingest(request)

    def ingest(self, request: Request) -> Any:
        if len(request.body) > self.body_bytes_max:
            error = {"code": "body-too-large", "message": "the body is too large", "hint": "send less"}
            with self.lock:
                self.requests.remove(request)
            return 413, {"errors": [error]}
        rejected = []
        for index, line in enumerate(request.lines):
            verdict = _not_json(line) or self.reject(line)
            if verdict:
                rejected.append({"index": index, "code": verdict[0], "message": verdict[1]})
        accepted = len(request.lines) - len(rejected)
        answer = {"accepted": accepted, "rejected": rejected, "rejected_count": len(rejected)}
        return (202 if accepted else 422), answer


def _not_json(line: bytes) -> tuple[str, str] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return "bad-json", "not JSON"
    return None if isinstance(value, dict) else ("not-a-map", "a record is a map")


def start(receiver: Receiver) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement

        def setup(self) -> None:
            super().setup()
            with receiver.lock:
                receiver.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            encoding = self.headers["Content-Encoding"]
            if encoding == "gzip":
                body = gzip.decompress(body)
            elif encoding == "zstd":
                body = zstandard.ZstdDecompressor().decompress(body)
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.reply(Request(self.command, parts.path, parse_qs(parts.query), headers, body))
            if reply == BREAK:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, answer, *more = reply
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # clients that hang up are part of the tests

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server
