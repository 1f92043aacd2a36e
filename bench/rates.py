"""Rates of taking in: one record per POST over many connections, and how soon records are found under a steady load."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from bench.client import Client

RECORD = (
    b'{"level":"info","service":"search","host":"search-1","latency_ms":12.5,'
    b'"message":"request completed user_id=u123456 items=3 duration_ms=33"}'
)


@dataclass(slots=True)
class Latencies:
    """Seconds that requests took, sorted."""

    values: list[float]

    def at(self, share: float) -> float:
        """The latency that this share of requests does not exceed, in milliseconds."""
        return sorted(self.values)[min(int(share * len(self.values)), len(self.values) - 1)] * 1000


class _Sender(asyncio.Protocol):
    """One connection that sends the same request as soon as the answer to the last one is there."""

    def __init__(self, request: bytes, until: float, latencies: list[float], wrong: list[bytes]) -> None:
        self._request = request
        self._until = until
        self._latencies = latencies
        self._wrong = wrong
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not data.startswith(b"HTTP/1.1 202"):
            self._wrong.append(data[:200])
        self._latencies.append(now - self._started)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


def singles(url: str, connections: int, seconds: float) -> None:
    """One record per POST, as fast as the server takes them."""
    where = urlsplit(url)
    head = (
        f"POST /v1/streams/singles/logs HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(RECORD)}\r\n\r\n"
    )
    latencies: list[float] = []
    wrong: list[bytes] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        until = time.perf_counter() + seconds
        made = [
            await loop.create_connection(
                lambda: _Sender(head.encode() + RECORD, until, latencies, wrong), where.hostname, where.port
            )
            for _ in range(connections)
        ]
        await asyncio.gather(*(sender.closed for _, sender in made))

    asyncio.run(run())
    if wrong:
        raise RuntimeError(wrong[0].decode(errors="replace"))
    found = Latencies(latencies)
    print(
        f"one record per POST, {connections} connections: {len(latencies) / seconds:,.0f}/s acknowledged, "
        f"p50 {found.at(0.5):.1f} ms, p99 {found.at(0.99):.1f} ms"
    )


def freshness(url: str, rate: int, seconds: float, questions: list[tuple[str, str]]) -> None:
    """A steady load; how soon a record is found after it was sent, and what queries take meanwhile."""
    batch = 500
    body = b"\n".join([RECORD] * batch)
    stop = threading.Event()
    sent = [0]

    def send() -> None:
        client = Client(url)
        started = time.perf_counter()
        while not stop.is_set():
            client.post("/v1/streams/steady/logs", body, "application/x-ndjson")
            sent[0] += batch
            ahead = sent[0] / rate - (time.perf_counter() - started)
            if ahead > 0:
                time.sleep(ahead)

    sender = threading.Thread(target=send)
    sender.start()
    probe, asker = Client(url), Client(url)
    waits: list[float] = []
    took: dict[str, list[float]] = {name: [] for name, _ in questions}
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        probe.post("/v1/streams/steady/logs?refresh=wait", RECORD, "application/json")
        waits.append(time.perf_counter() - begun)
        for name, text in questions:
            begun = time.perf_counter()
            asker.query(text)
            took[name].append((time.perf_counter() - begun) * 1000)
    lasted = time.perf_counter() - started
    stop.set()
    sender.join()
    found = Latencies(waits)
    print(
        f"steady {sent[0] / lasted:,.0f} records/s: found after p50 {found.at(0.5):.0f} ms, "
        f"p99 {found.at(0.99):.0f} ms ({len(waits)} probes)"
    )
    for name, times in took.items():
        print(f"  {name} under this load: median {statistics.median(times):.2f} ms")
