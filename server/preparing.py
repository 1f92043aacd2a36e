"""From the body of a request to what is kept of it: times and lines, and the mistakes of the records that are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.errors import BadRecord
from storage.format import Packed, Ticket
from storage.log import Done, StreamLog
from storage.record import normalise

Decode = Callable[[bytes], Iterable[dict[str, Any] | BadRecord]]

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
    rejected = Rejected()
    times_us: list[int] = []
    lines: list[bytes] = []
    for index, record in enumerate(decode(body)):
        if isinstance(record, BadRecord):
            rejected.add(index, record)
            continue
        try:
            time_us, line = normalise(record, now_us)
        except BadRecord as error:
            rejected.add(index, error)
            continue
        times_us.append(time_us)
        lines.append(line)
    return Batch(rejected, times_us, lines)
