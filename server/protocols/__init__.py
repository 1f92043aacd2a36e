"""Ingest protocols: how a body becomes records. One file each, one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from server.errors import RequestError
from server.protocols import edn, json, ndjson
from storage.errors import BadRecord

Decoder = Callable[[bytes], Iterator[dict[str, Any] | BadRecord]]

PROTOCOLS: dict[str, Decoder] = {
    "application/json": json.decode,
    "application/x-ndjson": ndjson.decode,
    "application/ndjson": ndjson.decode,
    "application/jsonl": ndjson.decode,
    "application/x-jsonlines": ndjson.decode,
    "application/json-lines": ndjson.decode,
    "application/stream+json": ndjson.decode,
    "application/edn": edn.decode,
}


def decoder(content_type: str | None) -> Decoder:
    """The decoder for a Content-Type; JSON where none is given.

    Raises:
        RequestError: `unknown-content-type` (415).
    """
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    found = PROTOCOLS.get(kind)
    if found is None:
        raise RequestError(
            415,
            "unknown-content-type",
            f"no Content-Type {kind!r}",
            "use application/json, application/x-ndjson or application/edn",
        )
    return found
