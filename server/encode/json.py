"""JSON: `{"rows": [{…}, …], "cursor": "…", "complete": true, "now": "…", "took_ms": 1.2}`."""

from __future__ import annotations

import orjson

from server.answer import Answer
from server.encode.base import Encoder
from server.json_table import json_array


def encode(answer: Answer) -> bytes:
    """The rows of records are JSON already and are only put side by side."""
    rows = b"[" + b",".join(answer.records) + b"]" if answer.groups is None else json_array(answer.groups)
    return b'{"rows":' + rows + b"," + orjson.dumps(answer.head())[1:]


JSON = Encoder("application/json", encode)
