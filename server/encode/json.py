"""JSON: `{"rows": [{…}, …], "cursor": "…", "complete": true, "now": "…", "took_ms": 1.2}`."""

from __future__ import annotations

import orjson

from server.answer import Answer
from server.encode.base import Encoder


def encode(answer: Answer) -> bytes:
    """The rows are JSON already and are only put side by side."""
    return b'{"rows":[' + b",".join(answer.rows) + b"]," + orjson.dumps(answer.head())[1:]


JSON = Encoder("application/json", encode)
