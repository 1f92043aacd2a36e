"""A query's condition put to a snapshot: what the index answers, and the check of what it cannot.

The compiled condition is a pair (upper, lower). Records in `lower` satisfy it, records outside `upper` do not; those
between are read and checked one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson
from tantivy import Query

from dsl.record import Record
from storage.datafiles import Stored
from storage.queries import but_not
from storage.snapshot import Address, Snapshot

Check = Callable[[Record], bool]


def record_of(stored: Stored) -> Record:
    """A stored record as the evaluator sees it."""
    return Record(stored.time_us, stored.stream, stored.number, orjson.loads(stored.line))


@dataclass(frozen=True, slots=True)
class Matching:
    """The records of a snapshot that satisfy a condition.

    Attributes:
        snapshot: Where they are.
        upper: Matches at least them.
        lower: Matches at most them.
        check: Decides for a record between the two.
    """

    snapshot: Snapshot
    upper: Query
    lower: Query
    check: Check

    @property
    def exact(self) -> bool:
        """Whether the index answers alone."""
        return self.upper is self.lower

    def only(self, query: Query) -> Matching:
        """Those that an exact query says, of these."""
        return Matching(self.snapshot, query, query, self.check)

    def count(self) -> int:
        """How many there are."""
        if self.exact:
            return self.snapshot.count(self.upper)
        certain = self.snapshot.count(self.lower)
        return certain + sum(1 for _ in self._checked(but_not(self.upper, self.lower)))

    def records(self) -> Iterator[Record]:
        """All of them, in no promised order."""
        return self._checked(self.upper, trusted=self.exact)

    def addresses(self) -> Iterator[Address]:
        """Where all of them are; the times are not filled in."""
        if self.exact:
            for addresses in self.snapshot.scan(self.upper):
                yield from addresses
            return
        for record in self.records():
            yield Address(record.timestamp_us, record.number, record.stream)

    def page(self, limit: int, after: Address | None, *, oldest_first: bool) -> list[Stored]:
        """The next of them by time, number and stream."""
        if self.exact:
            addresses = self.snapshot.newest(self.upper, limit, after=after, oldest_first=oldest_first)
            found = self.snapshot.fetch(addresses)
            if len(found) == len(addresses):
                return found
            # Some cannot be read. Go on below, as if they did not match.
        found = []
        step = max(limit, _FIRST_STEP)
        while len(found) < limit:
            addresses = self.snapshot.newest(self.upper, step, after=after, oldest_first=oldest_first)
            found += [s for s in self.snapshot.fetch(addresses) if self.exact or self.check(record_of(s))]
            if len(addresses) < step:
                break
            after = addresses[-1]
            step = min(2 * step, _STEP_MAX)
        return found[:limit]

    def _checked(self, query: Query, *, trusted: bool = False) -> Iterator[Record]:
        for addresses in self.snapshot.scan(query):
            for stored in self.snapshot.fetch(addresses):
                record = record_of(stored)
                if trusted or self.check(record):
                    yield record


_FIRST_STEP = 256  # candidates read before looking for more: few pages need a second round
_STEP_MAX = 8192  # and at most so many at once
