"""Loads NDJSON bodies over HTTP, over several connections, and waits until all records are found.

Bodies are made while they are sent: no more of them are in memory than there are connections.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from bench.client import Client, expect

POLL_S = 0.02
STUCK_S = 120.0  # so long without one more searchable record: something is wrong


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading took: seconds until all was acknowledged, and until all was searchable."""

    records: int
    raw_bytes: int
    acknowledged_s: float
    searchable_s: float


def load(url: str, stream: str, bodies: Iterator[bytes], connections: int) -> Loaded:
    """Send every body once; raises when one is not accepted whole."""
    lock = threading.Lock()
    accepted = raw_bytes = 0
    wrong: list[Exception] = []

    def send() -> None:
        nonlocal accepted, raw_bytes
        client = Client(url)
        try:
            while not wrong:
                with lock:
                    body = next(bodies, None)
                if body is None:
                    return
                data = expect(client.post(f"/v1/streams/{stream}/logs", body, "application/x-ndjson"), 202)
                with lock:
                    accepted += orjson.loads(data)["accepted"]
                    raw_bytes += len(body)
        except Exception as error:  # noqa: BLE001 - raised by the main thread, below
            wrong.append(error)
        finally:
            client.close()

    started = time.perf_counter()
    threads = [threading.Thread(target=send) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acknowledged_s = time.perf_counter() - started
    if wrong:
        raise wrong[0]
    wait_until_found(url, stream, accepted)
    return Loaded(accepted, raw_bytes, acknowledged_s, time.perf_counter() - started)


def wait_until_found(url: str, stream: str, records: int) -> None:
    """Return when so many records are searchable; raises when no more come."""
    client = Client(url)
    before, since = -1, time.monotonic()
    while (now := found(client, stream)) < records:
        if now > before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > STUCK_S:
            raise RuntimeError(f"{now} of {records} records are searchable, and no more come")
        time.sleep(POLL_S)
    client.close()


def found(client: Client, stream: str) -> int:
    """How many records of the stream are searchable."""
    streams = orjson.loads(expect(client.get("/v1/streams"), 200))["streams"]
    return next((s["records"] for s in streams if s["name"] == stream), 0)
