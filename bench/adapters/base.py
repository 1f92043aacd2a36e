"""What all adapters do, and what those of servers share: loading over HTTP until all records are found."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from bench.corpus import Corpus
from bench.questions import Kind, Question

POLL_S = 0.25
STUCK_S = 60.0  # so long without one more record: they are not to come


class Adapter(Protocol):
    """One engine or server that has, or is given, the corpus."""

    name: str

    def load(self, corpus: Corpus) -> None:
        """Put the corpus in, unless it is there; return when all of it is found."""

    def statement(self, question: Question, kind: Kind) -> str | None:
        """A query in its language; None when it cannot be asked so."""

    def run(self, statement: str) -> Any:
        """The answer, read to its end: what is timed."""

    def size(self, kind: Kind, answer: Any) -> int:
        """What of an answer can be compared: the count, or how many rows."""

    def close(self) -> None:
        """Hang up, or remove what was made."""


def load_once(
    name: str, records: int, count: Callable[[], int], send: Callable[[], None], hint: str = ""
) -> None:
    """Send a corpus to a server that does not have it, and wait until all is found.

    Raises:
        RuntimeError: It has other records, or not all of them arrive.
    """
    have = count()
    if have == 0:
        send()
        before, since = -1, time.monotonic()
        while (have := count()) < records:
            if have > before:
                before, since = have, time.monotonic()
            elif time.monotonic() - since > STUCK_S:
                break
            time.sleep(POLL_S)
    if have != records:
        raise RuntimeError(
            f"{name} has {have} records, the corpus {records}: start it on an empty folder{hint}"
        )
