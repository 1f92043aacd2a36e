"""A small corpus in which every question finds something, and nearly finds more."""

import random
from pathlib import Path

import orjson
import pytest

from bench.corpus import Corpus

MESSAGES = (
    "upstream connection reset by peer",
    "Connection reset: by-peer, twice",
    "connection was reset by the peer",
    "reconnection reset by peer",
    "connection reset by peers",
    "connection closed by puffer",
    "connection  closed by power",
    "request timed out, timeout 30 s",
    "runtime error: daytime",
    "TIME'S UP",
    "ok",
)
SERVICES = ("edge", "edge", "edge", "edge", "pay", "pay", "pay", "search", "search", "auth", "o'hara")


def records(count: int, seed: int = 1) -> list[dict]:
    """Records in an order that is nearly that of time, over six hours."""
    rng = random.Random(seed)
    found = []
    for n in range(count):
        at_s = 6 * 3600 * n // count + rng.randrange(30)
        record = {
            "timestamp": f"2025-03-03T{at_s // 3600:02}:{at_s // 60 % 60:02}:{at_s % 60:02}.{n % 1000:03}Z",
            "level": rng.choice(("INFO", "INFO", "error", "ERROR", "warn")),
            "service": rng.choice(SERVICES),
            "host": f"host-{n % 3}",
            "message": rng.choice(MESSAGES),
        }
        if n % 3:
            record["trace_id"] = f"{rng.randrange(count // 2):032x}"
        if n % 2:
            record |= {
                "http.status": rng.choice((200, 404, 500, 503)),
                "latency_ms": rng.randrange(4000) / 10,
            }
        found.append(record)
    return found


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Six hundred records in a file."""
    path: Path = tmp_path_factory.mktemp("bench") / "corpus.ndjson"
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records(600)))
    return Corpus(path)
