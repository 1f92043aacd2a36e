"""Ingest: decoded records in, an acknowledgement out once they are on disk."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from server.gathering import Gathering
from server.lanes import LANE_BYTES_LEAST, Lanes
from server.preparing import Batch, Decode, Rejected, prepare
from server.space import FreeSpace
from storage.drop import delete_stream
from storage.errors import KeyReused, LogClosed, TooManyStreams
from storage.format import Ticket
from storage.log import Rotation, StreamLog
from storage.paths import DataDirectory, check_stream_name, make_durably, sync_directory

INLINE_BYTES_MAX = 1 << 20  # decoded in some ten milliseconds, less than handing it to a thread would disturb


class Clock(Protocol):
    """The time of day."""

    def __call__(self) -> int:
        """Microseconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch. `first` is the number of its first record, 0 when none was kept."""

    accepted: int
    first: int
    rejected: Rejected


@dataclass(frozen=True, slots=True)
class Retry:
    """How a batch is known when it is sent again: its key, and 16 bytes that stand for its body."""

    key: str
    digest: bytes


class Completions:
    """Hands results from other threads to coroutines, waking the event loop once for many."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._done: deque[tuple[asyncio.Future[int], int | Exception]] = deque()
        self._lock = threading.Lock()
        self._scheduled = False

    def future(self) -> asyncio.Future[int]:
        """A future to wait for."""
        return self._loop.create_future()

    def finish(self, future: asyncio.Future[int], result: int | Exception) -> None:
        """Give a future its result, from any thread."""
        with self._lock:
            self._done.append((future, result))
            if self._scheduled:
                return
            self._scheduled = True
        self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            done, self._done = self._done, deque()
            self._scheduled = False
        for future, result in done:
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


class Ingest:
    """The writing side of a store. Lives on one event loop.

    Args:
        data: Where the streams lie.
        clock: The time of arrival.
        streams_max: How many streams may exist.
        rotation_of: When the segments of a stream end, by its name; asked from a thread when its log is opened.
        lanes: Processes that decode; None where that is done here.
    """

    def __init__(
        self,
        data: DataDirectory,
        clock: Clock,
        streams_max: int,
        rotation_of: Callable[[str], Rotation] = lambda _: Rotation(),
        lanes: Lanes | None = None,
    ) -> None:
        self._lanes = lanes
        self._rotation_of = rotation_of
        self._deleting: set[str] = set()
        self._data = data
        self._clock = clock
        self._streams_max = streams_max
        self._logs: dict[str, StreamLog] = {}
        self._opening: dict[str, asyncio.Task[StreamLog]] = {}
        self._gatherings: dict[str, Gathering] = {}  # of open logs
        self._completions: Completions | None = None
        self._under_way: dict[tuple[str, str], asyncio.Future[int]] = {}
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="open-log")
        self._closed = False
        self.space: FreeSpace | None = None  # who refuses records when the disk is nearly full

    async def write(self, stream: str, decode: Decode, body: bytes, retry: Retry | None = None) -> Outcome:
        """Keep the records that can be kept; returns when they are on disk.

        Args:
            stream: Its name.
            decode: From the body to its records, or their mistakes.
            body: Of the request.
            retry: How to know the batch when it comes again; it is then answered as the first time, and not kept.

        Raises:
            StoreError: none was kept, for a reason that lies not in the records.
            DiskNearlyFull: there is too little room.
            KeyReused: another batch came with the same key.
        """
        check_stream_name(stream)
        if self.space is not None:
            self.space.check()
        now_us = self._clock()
        batch = await self._prepared(decode, body, now_us)
        if not batch.records:
            return Outcome(0, 0, batch.rejected)
        log = self._logs.get(stream) or await self.open(stream)
        if self._completions is None:
            self._completions = Completions(asyncio.get_running_loop())
        completions = self._completions
        if retry is None:
            future = completions.future()
            batch.append_to(log, lambda result: completions.finish(future, result))
            return Outcome(batch.records, await future, batch.rejected)
        first = await self._once(log, retry, batch, now_us)
        return Outcome(batch.records, first, batch.rejected)

    def take(self, stream: str, decode: Decode, body: bytes) -> asyncio.Future[int] | None:
        """Begin to keep a small batch of a stream that `is_open`.

        Returns:
            What ends with the number of its records when they are on disk, or with a `StoreError`; None where not
            every record can be kept: then nothing is, and `write` says more.

        Raises:
            DiskNearlyFull: there is too little room.
        """
        if self.space is not None:
            self.space.check()
        batch = prepare(decode, body, self._clock())
        if batch.rejected.count or not batch.lines:
            return None
        gathering = self._gatherings.get(stream)
        if gathering is None:
            log = self._logs.get(stream)
            if log is None:
                return None  # the stream is being deleted since it was looked for
            gathering = self._gatherings[stream] = Gathering(log, asyncio.get_running_loop())
        return gathering.add(batch.times_us, batch.lines)

    async def _prepared(self, decode: Decode, body: bytes, now_us: int) -> Batch:
        """The records of a body: decoded in a lane, in a thread, or here, by its size."""
        if self._lanes is not None and len(body) >= LANE_BYTES_LEAST:
            batch = await self._lanes.pack(decode, body, now_us)
            if batch is not None:
                return batch
        if len(body) <= INLINE_BYTES_MAX:
            return prepare(decode, body, now_us)
        # Off the event loop: others are answered meanwhile.
        return await asyncio.to_thread(prepare, decode, body, now_us)

    async def _once(self, log: StreamLog, retry: Retry, batch: Batch, now_us: int) -> int:
        """Append a batch unless it was appended before; the number of its first record."""
        under_way = self._under_way.get((log.directory.name, retry.key))
        if under_way is not None:
            # The first try may fail yet: only then is this one written.
            await asyncio.wait([under_way])
        seen = log.seen(retry.key)
        if seen is not None:
            ticket, first = seen
            if ticket.digest != retry.digest:
                raise KeyReused(
                    f"the key {retry.key!r} came with another batch before",
                    "use a new Idempotency-Key for every batch, and the same one only to send it again",
                )
            return first
        assert self._completions is not None
        completions = self._completions
        future = completions.future()
        name = (log.directory.name, retry.key)
        self._under_way[name] = future
        ticket = Ticket(retry.key, retry.digest, now_us, batch.records)
        try:
            batch.append_to(log, lambda result: completions.finish(future, result), ticket)
            return await asyncio.shield(future)
        finally:
            if self._under_way.get(name) is future:
                del self._under_way[name]

    async def open(self, stream: str) -> StreamLog:
        """A stream's log, opened once, however many ask for it; the stream is made if it is not there.

        Raises:
            TooManyStreams: it would be one too many.
            LogClosed: the server is stopping, or the stream being deleted.
        """
        log = self._logs.get(stream)
        if log is not None:
            return log
        if stream in self._deleting:
            raise LogClosed(f"the stream {stream!r} is being deleted", "send the batch again in a moment")
        task = self._opening.get(stream)
        if task is None:
            task = self._opening[stream] = asyncio.ensure_future(self._open_once(stream))
            task.add_done_callback(lambda _: self._opening.pop(stream, None))
        return await asyncio.shield(task)

    async def rotate(self, stream: str) -> int:
        """Let the segment of a stream that is written to end; the number that the next one begins with.

        Raises:
            StoreError: it cannot be done now.
        """
        log = await self.open(stream)
        if self._completions is None:
            self._completions = Completions(asyncio.get_running_loop())
        completions = self._completions
        future = completions.future()
        log.rotate(lambda result: completions.finish(future, result))
        return await future

    async def _open_once(self, stream: str) -> StreamLog:
        if self._closed:
            raise LogClosed("the server is stopping", "send the batch again in a moment")
        self._check_room(stream)
        log = await asyncio.get_running_loop().run_in_executor(self._threads, self._open_log, stream)
        self._logs[stream] = log
        return log

    def _open_log(self, stream: str) -> StreamLog:
        return StreamLog(
            self._data.stream(stream), self._rotation_of(stream), clock=lambda: self._clock() / 1e6
        )

    def _check_room(self, stream: str) -> None:
        names = self._data.stream_names()
        if stream not in names and len(names) >= self._streams_max:
            raise TooManyStreams(
                f"there are {len(names)} streams already, the most that may be",
                "send to one that exists, or raise streams_max",
            )

    def is_open(self, stream: str) -> bool:
        """Whether a stream's log is open."""
        return stream in self._logs

    async def create(self, stream: str) -> bool:
        """Make a stream without records; whether it was not there.

        Raises:
            BadStreamName: no stream can have this name.
            TooManyStreams: it would be one too many.
            LogClosed: one of its name is being deleted.
        """
        check_stream_name(stream)
        if stream in self._deleting:
            raise LogClosed(f"the stream {stream!r} is being deleted", "try again in a moment")
        self._check_room(stream)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._create_folder, stream)

    def _create_folder(self, stream: str) -> bool:
        root = self._data.stream(stream).root
        make_durably(root.parent)
        try:
            root.mkdir()
        except FileExistsError:
            return False
        sync_directory(root.parent)
        sync_directory(root.parent.parent)  # another one may have made the folder of all streams just now
        return True

    async def rotate_by(self, stream: str, rotation: Rotation) -> None:
        """Let the segments of a stream end by other rules from now on."""
        opening = self._opening.get(stream)
        if opening is not None:
            await asyncio.wait([opening])  # it may have asked for the rules before they changed
        log = self._logs.get(stream)
        if log is not None:
            log.rotate_by(rotation)

    async def delete(self, stream: str) -> bool:
        """Take a stream away with all its records; whether everybody let go of it in time.

        What was acknowledged goes with it; what comes while it goes is refused, and what comes then makes a new stream.

        Raises:
            UnknownStream: there is none.
            LogClosed: it is being deleted already.
            OSError: the disk refused; the stream is there as it was.
        """
        if stream in self._deleting:
            raise LogClosed(f"the stream {stream!r} is being deleted", "wait for the answer to that")
        self._deleting.add(stream)
        try:
            opening = self._opening.get(stream)
            if opening is not None:
                await asyncio.wait([opening])
            log = self._logs.pop(stream, None)
            self._gatherings.pop(stream, None)
            # A thread of its own: it may wait for the indexer for long, and others want to open their logs.
            return await asyncio.to_thread(self._delete, stream, log)
        finally:
            self._deleting.discard(stream)

    def _delete(self, stream: str, log: StreamLog | None) -> bool:
        if log is not None:
            log.close()
        return delete_stream(self._data, stream)

    def next_number(self, stream: str) -> int | None:
        """The number that the next record of an open stream gets."""
        log = self._logs.get(stream)
        return log.next_number if log else None

    def close(self) -> None:
        """Write what waits and let go of the files."""
        self._closed = True
        if self._lanes is not None:
            self._lanes.close()
        for log in self._logs.values():
            log.close()
        self._threads.shutdown()
