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
from server.engine.asked import Partial
from storage.datafiles import Stored, Swept
from storage.errors import QueryTimeout
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
        may_hold: Tells of a stored line whether its record may pass the check; None where that cannot be told.
        all_of_time: Whether they are all records of the snapshot's time.
    """

    snapshot: Snapshot
    upper: Query
    lower: Query
    check: Check
    all_of_time: bool = False
    may_hold: Callable[[bytes], bool] | None = None

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
        return (record for record, _ in self.weighed())

    def weighed(self) -> Iterator[tuple[Record, int]]:
        """All of them with the bytes of each, in no promised order."""
        return self._checked(self.upper, trusted=self.exact)

    def candidates(self) -> Iterator[Record]:
        """All records that the index cannot rule out, whether they satisfy the condition or not."""
        for record, _ in self._checked(self.upper, trusted=True):
            self.snapshot.check_deadline()
            yield record

    def addresses(self) -> Iterator[Address]:
        """Where all of them are; the times are not filled in."""
        if self.exact:
            for addresses in self.snapshot.scan(self.upper):
                yield from addresses
            return
        for record in self.records():
            yield Address(record.timestamp_us, record.number, record.stream)

    def page(
        self, limit: int, after: Address | None, *, oldest_first: bool, partial: Partial, bytes_max: int
    ) -> tuple[list[Stored], Address | None]:
        """The next of them by time, number and stream; and how far was looked, where time was up before the end.

        Args:
            limit: How many.
            after: Where the page before ended.
            oldest_first: The whole order turned round.
            partial: Whether fewer will do when time is up.
            bytes_max: Of all their lines.

        Raises:
            PageTooLarge: their lines are longer.
            QueryTimeout: time is up, and fewer will not do.
        """
        found: list[Stored] = []
        held = 0
        looked: Stored | None = None
        step = limit if self.exact else limit + _SPARE
        try:
            while len(found) < limit:
                addresses = self.snapshot.newest(
                    self.upper, step, after=after, oldest_first=oldest_first, all_of_time=self.all_of_time
                )
                for piece in _pieces(addresses):
                    for stored in self.snapshot.fetch(piece):
                        if self.exact or self._holds(stored):
                            found.append(stored)
                            held += len(stored.line)
                        looked = stored
                    if held > bytes_max:
                        raise PageTooLarge
                    after = piece[-1]
                    if len(found) >= limit:
                        break
                if len(addresses) < step:
                    break
                step = min(2 * max(step, _FIRST_STEP), _STEP_MAX)
        except QueryTimeout as error:
            partial.cut(error)
            return found, after if looked is None else Address(looked.time_us, looked.number, looked.stream)
        return found[:limit], None

    def _checked(self, query: Query, *, trusted: bool = False) -> Iterator[tuple[Record, int]]:
        for found in self.snapshot.sweep(query, self._all_of if trusted else self._those_that_hold):
            yield from found

    @staticmethod
    def _all_of(swept: Swept) -> list[tuple[Record, int]]:
        stream, numbers, times_us, lines = swept
        return [
            (Record(time_us, stream, number, orjson.loads(line)), len(line))
            for number, time_us, line in zip(numbers, times_us, lines, strict=True)
        ]

    def _those_that_hold(self, swept: Swept) -> list[tuple[Record, int]]:
        check, check_deadline, may_hold = self.check, self.snapshot.check_deadline, self.may_hold
        found = []
        stream, numbers, times_us, lines = swept
        for number, time_us, line in zip(numbers, times_us, lines, strict=True):
            if may_hold is not None and not may_hold(line):
                continue
            record = Record(time_us, stream, number, orjson.loads(line))
            check_deadline()
            if check(record):
                found.append((record, len(line)))
        return found

    def _holds(self, stored: Stored) -> bool:
        """Check one record, if there is time: of a condition with a thousand parts each takes milliseconds."""
        self.snapshot.check_deadline()
        if self.may_hold is not None and not self.may_hold(stored.line):
            return False
        return self.check(record_of(stored))


class PageTooLarge(Exception):
    """The records of one page are more than may be held in memory."""


def _pieces(addresses: list[Address]) -> Iterator[list[Address]]:
    for start in range(0, len(addresses), _FETCHED_MAX):
        yield addresses[start : start + _FETCHED_MAX]


_FETCHED_MAX = 256  # records in memory at once that were not checked yet; each may have a megabyte
_SPARE = 32  # candidates read beyond a page's length at first: of a narrow condition nearly all pass
_FIRST_STEP = 256  # and at least so many in the second round
_STEP_MAX = 8192  # and at most so many at once
