"""Batches of records on their way to the server, several at a time, and what becomes of each."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from server.cli.documents import Items, Reading, Record, Skipped, SourceError
from server.client import (
    Accepted,
    Client,
    ClientError,
    Compression,
    RefusedError,
    Rejection,
    UnreachableError,
)

BATCH_BYTES_MAX = 4 * 1024 * 1024  # of a request, without compression
TOO_LARGE = 413  # the status of a request, or a record, over the server's limits

NOTHING = Accepted(0, (), 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one file, to travel in one request."""

    reading: Reading
    records: tuple[Record, ...]

    @property
    def first(self) -> str:
        """The place of the first record."""
        return self.reading.place(self.records[0].place)

    @property
    def last(self) -> str:
        """The place of the last record."""
        return self.reading.place(self.records[-1].place)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a batch: an answer, or an error."""

    batch: Batch
    answer: Accepted = NOTHING
    error: ClientError | None = None


def batches(reading: Reading, items: Items, records_max: int) -> Iterator[Batch | Skipped]:
    """Full batches, what is skipped on the way, and what there is when the input pauses, breaks or ends."""
    records: list[Record] = []
    size_bytes = 0
    try:
        for item in items:
            if isinstance(item, Skipped):
                yield item
                continue
            full = item is None or size_bytes + len(item.body) + 1 > BATCH_BYTES_MAX
            if records and full:
                yield Batch(reading, tuple(records))
                records, size_bytes = [], 0
            if item is not None:
                records.append(item)
                size_bytes += len(item.body) + 1
            if len(records) >= records_max:
                yield Batch(reading, tuple(records))
                records, size_bytes = [], 0
    except SourceError:
        if records:
            yield Batch(reading, tuple(records))
        raise
    if records:
        yield Batch(reading, tuple(records))


class Shipper:
    """Sends batches over several connections at a time.

    Every batch is sent once, and again only where the server has not taken it. After the first error no
    more is sent, but the fates of what was on its way still come.

    Args:
        client: shared by the threads; it must have as many connections.
        connections: how many batches may be on their way.
        refresh: the newest batch is kept back until `finish`, which waits until all are searchable.
        on_fate: told what became of each batch, in the order of `ship`, in the caller's thread.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        *,
        connections: int,
        refresh: bool = False,
        compress: Compression | None = None,
        on_fate: Callable[[Fate], None],
    ) -> None:
        self._client = client
        self._stream = stream
        self._refresh = refresh
        self._compress = compress
        self._on_fate = on_fate
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="ship")
        self._under_way: deque[Future[list[Fate]]] = deque()
        self._held: Batch | None = None
        self._failed = False
        self.last: str | None = None
        """The place of the last record that was sent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def ship(self, batch: Batch, *, ahead_max: int) -> bool:
        """Send a batch once fewer than `ahead_max` are under way; false, and not sent, after an error."""
        next_batch: Batch | None = batch
        if self._refresh:
            next_batch, self._held = self._held, batch
        if next_batch is not None:
            self._settle(ahead_max - 1)
            if not self._failed:
                self._under_way.append(self._pool.submit(self._send, next_batch, refresh=False))
                self.last = next_batch.last
        return not self._failed

    def wait(self) -> None:
        """Come back when nothing is under way."""
        self._settle(0)

    def finish(self) -> bool:
        """Wait for all that is under way, and send what was kept back; false when it is not sent."""
        self.wait()
        if self._held is None or self._failed:
            return self._held is None
        self.last = self._held.last
        self._tell(self._send(self._held, refresh=True))
        self._held = None
        return True

    def _settle(self, left_max: int) -> None:
        """Tell fates, the oldest first, until so many batches are under way; and all that are known."""
        while len(self._under_way) > left_max or (self._under_way and self._under_way[0].done()):
            fates = self._under_way[0].result()  # an interrupt here leaves it in its place
            self._under_way.popleft()
            self._tell(fates)

    def _tell(self, fates: list[Fate]) -> None:
        for fate in fates:
            self._failed = self._failed or fate.error is not None
            self._on_fate(fate)

    def _send(self, batch: Batch, *, refresh: bool) -> list[Fate]:
        """What became of a batch; of its parts where the server wants smaller ones."""
        try:
            bodies = [record.body for record in batch.records]
            answer = self._client.ingest(self._stream, bodies, refresh=refresh, compress=self._compress)
        except RefusedError as error:
            if error.status != TOO_LARGE:
                return [Fate(batch, error=error)]
            if len(bodies) == 1:
                return [Fate(batch, Accepted(0, (Rejection(0, error.code, error.message),), 1))]
            return self._send_halves(batch, refresh=refresh)
        except ClientError as error:
            return [Fate(batch, error=error)]
        return [Fate(batch, answer)]

    def _send_halves(self, batch: Batch, *, refresh: bool) -> list[Fate]:
        half = len(batch.records) // 2
        first = self._send(Batch(batch.reading, batch.records[:half]), refresh=False)
        second = Batch(batch.reading, batch.records[half:])
        if any(fate.error for fate in first):
            return [*first, Fate(second, error=UnreachableError("not sent"))]
        return [*first, *self._send(second, refresh=refresh)]
