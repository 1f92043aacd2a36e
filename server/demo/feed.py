"""Records of the demo on their way into a store."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import orjson

from server.client import Accepted, Client

BATCH_RECORDS = 1000  # of a request: about 400 KB


def feed(client: Client, stream: str, records: Iterable[dict[str, Any]]) -> Iterator[Accepted]:
    """Send records in batches, one after another; what became of each.

    Raises:
        ClientError: a batch was not taken, or nobody knows.
    """
    rest = iter(records)
    while batch := [orjson.dumps(record) for record in islice(rest, BATCH_RECORDS)]:
        yield client.ingest(stream, batch)
