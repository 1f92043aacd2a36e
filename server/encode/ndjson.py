"""NDJSON: a row a line and nothing else. What is to be said of the answer does not fit and is left out."""

from __future__ import annotations

from server.answer import Answer
from server.encode.base import Encoder


def encode(answer: Answer) -> bytes:
    """Every row closed by a line feed."""
    return b"".join(row + b"\n" for row in answer.rows)


NDJSON = Encoder("application/x-ndjson", encode, ("application/ndjson", "application/jsonl"))
