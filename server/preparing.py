"""From the body of a request to what is kept of it: times and lines, and the mistakes of the records that are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from operator import itemgetter
from typing import Any

from storage.errors import BadRecord
from storage.format import Packed, Ticket
from storage.log import Done, StreamLog
from storage.record import recognise, write, write_all

Decode = Callable[[bytes], Iterable[dict[str, Any] | BadRecord]]

SOME_RECORDS = 64  # written at once: more would leave the processor's cache before it is their turn
REJECTED_LISTED_MAX = 100  # an answer that names a hundred mistakes has made its point; all are counted


@dataclass(slots=True)
class Rejected:
    """Records of a batch that are not kept, and why."""

    count: int = 0
    listed: list[dict[str, Any]] = field(default_factory=list)

    def add(self, index: int, error: BadRecord) -> None:
        """Note the record at this place of the batch."""
        self.count += 1
        if len(self.listed) < REJECTED_LISTED_MAX:
            item: dict[str, Any] = {"index": index, "code": error.code, "message": error.message}
            if error.hint:
                item["hint"] = error.hint
            self.listed.append(item)


@dataclass(frozen=True, slots=True)
class Batch:
    """What is kept of a body: as records, or as frames that only lack their numbers."""

    rejected: Rejected
    times_us: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    packed: Sequence[Packed] = ()

    @property
    def records(self) -> int:
        """How many are kept."""
        return len(self.lines) or sum(one.records for one in self.packed)

    def append_to(self, log: StreamLog, done: Done, ticket: Ticket | None = None) -> None:
        """Have them written; see `StreamLog.append`."""
        if self.packed:
            log.append_packed(self.packed, done, ticket)
        else:
            log.append(self.times_us, self.lines, done, ticket)


def prepare(decode: Decode, body: bytes, now_us: int) -> Batch:
    """The records of a body that can be kept, and the mistakes of the others."""
    batch = Batch(Rejected())
    some = _Some(batch)
    for index, record in enumerate(decode(body)):
        if isinstance(record, BadRecord):
            some.wrong.append((index, record))
        else:
            try:
                time_us, kept = recognise(record, now_us)
            except BadRecord as error:
                some.wrong.append((index, error))
            else:
                some.times_us.append(time_us)
                some.records.append(kept)
        if index - some.first == SOME_RECORDS - 1:
            some.write()
            some = _Some(batch, index + 1)
    some.write()
    return batch


@dataclass(slots=True)
class _Some:
    """Records of a batch that are written at once, and those beside them that are not kept."""

    batch: Batch
    first: int = 0
    times_us: list[int] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    wrong: list[tuple[int, BadRecord]] = field(default_factory=list)

    def write(self) -> None:
        """Add them to the batch, all mistakes in their order."""
        lines = write_all(self.records)
        if lines is None:
            lines = self._write_each()
        self.batch.times_us.extend(self.times_us)
        self.batch.lines.extend(lines)
        for index, error in sorted(self.wrong, key=itemgetter(0)):
            self.batch.rejected.add(index, error)

    def _write_each(self) -> list[bytes]:
        lines: list[bytes] = []
        times_us: list[int] = []
        others = {index for index, _ in self.wrong}
        places = (index for index in count(self.first) if index not in others)
        for index, time_us, record in zip(places, self.times_us, self.records, strict=False):
            try:
                lines.append(write(record))
            except BadRecord as error:
                self.wrong.append((index, error))
            else:
                times_us.append(time_us)
        self.times_us = times_us
        return lines
