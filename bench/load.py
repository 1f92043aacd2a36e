"""Loads an NDJSON file over HTTP, in batches over several connections, and waits until all of it is found."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading took: seconds until all was acknowledged, and until all was searchable."""

    records: int
    raw_bytes: int
    acknowledged_s: float
    searchable_s: float


def load(url: str, stream: str, bodies: list[bytes], connections: int) -> Loaded:
    """Send every body once; raises when one is not accepted whole."""
    where = urlsplit(url)
    todo = iter(bodies)
    lock = threading.Lock()
    accepted = 0
    wrong: list[str] = []

    def send() -> None:
        nonlocal accepted
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        while True:
            with lock:
                body = next(todo, None)
            if body is None or wrong:
                return
            connection.request(
                "POST",
                f"/v1/streams/{stream}/logs",
                body=body,
                headers={"Content-Type": "application/x-ndjson"},
            )
            answer = connection.getresponse()
            data = answer.read()
            if answer.status != 202:
                wrong.append(data.decode())
                return
            with lock:
                accepted += orjson.loads(data)["accepted"]

    started = time.perf_counter()
    threads = [threading.Thread(target=send) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acknowledged = time.perf_counter() - started
    if wrong:
        raise RuntimeError(wrong[0])
    while found(url, stream) < accepted:
        time.sleep(0.02)
    return Loaded(accepted, sum(map(len, bodies)), acknowledged, time.perf_counter() - started)


def found(url: str, stream: str) -> int:
    """How many records of the stream are searchable."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    connection.request("GET", "/v1/streams")
    streams = orjson.loads(connection.getresponse().read())["streams"]
    return next((s["records"] for s in streams if s["name"] == stream), 0)
