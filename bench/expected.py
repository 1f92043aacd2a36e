"""The right answers, by brute force: one pass over the records, each put to every question, in memory that stays flat.

A question has an accumulator: `add` takes the records that it asks for, `result` says the answer so far. So one pass
over ten million records also says what the first million's answers are.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.corpus import Corpus
from bench.questions import MINUTE_US, PAGE, CountBy, Facts, Question, TopServices

BIN = 1.001  # latencies are counted in bins this much wider than the last: their quantiles are known to 0.1 %
QUANTILE_ERROR = 0.011  # klomp's and others' sketches promise 1 %


@dataclass(frozen=True, slots=True)
class Between:
    """Any number from low to high, both included."""

    low: float
    high: float


class Accumulator(Protocol):
    """Takes what a question asks for; says the answer so far."""

    def add(self, facts: Facts) -> None: ...

    def result(self) -> dict[str, Any]: ...


class Newest:
    """How many, and the times of the newest `PAGE`."""

    def __init__(self) -> None:
        self._count = 0
        self._times: list[int] = []

    def add(self, facts: Facts) -> None:
        self._count += 1
        if len(self._times) < PAGE:
            heapq.heappush(self._times, facts.us)
        elif facts.us > self._times[0]:
            heapq.heapreplace(self._times, facts.us)

    def result(self) -> dict[str, Any]:
        return {"count": self._count, "page": sorted(self._times, reverse=True)}


class Counts:
    """How many of each level, of each minute, or of each level in each minute."""

    def __init__(self, by: CountBy) -> None:
        self._by = by
        self._counts: Counter[tuple[str | int, ...]] = Counter()

    def add(self, facts: Facts) -> None:
        if self._by.level and self._by.minute:
            self._counts[facts.level, facts.us // MINUTE_US * MINUTE_US] += 1
        elif self._by.level:
            self._counts[(facts.level,)] += 1
        else:
            self._counts[(facts.us // MINUTE_US * MINUTE_US,)] += 1

    def result(self) -> dict[str, Any]:
        return {"groups": dict(self._counts)}


class _Latencies:
    """Sum, count and a histogram of the latencies of one service."""

    __slots__ = ("bins", "count", "records", "total")

    def __init__(self) -> None:
        self.records = 0
        self.count = 0
        self.total = 0.0
        self.bins: Counter[int] = Counter()

    def quantile(self, share: float) -> Between | None:
        """Between which values a quantile may lie, whichever neighbour is taken, give or take an estimate's error."""
        if not self.count:
            return None
        rank = share * (self.count - 1)
        low, high = self._at(max(math.floor(rank) - 1, 0)), self._at(min(math.ceil(rank) + 1, self.count - 1))
        return Between(low / BIN * (1 - QUANTILE_ERROR), high * BIN * (1 + QUANTILE_ERROR))

    def _at(self, rank: int) -> float:
        seen = 0
        for name in sorted(self.bins):
            seen += self.bins[name]
            if seen > rank:
                return BIN**name if name > _ZERO_BIN else 0.0
        raise AssertionError("a rank is below the count")


_ZERO_BIN = -(10**6)  # of latencies that are nought, below any other


class Slowest:
    """The services with the most records: how many, the average and the 95th percentile of latencies."""

    def __init__(self, top: TopServices) -> None:
        self._top = top
        self._services: dict[str | None, _Latencies] = {}

    def add(self, facts: Facts) -> None:
        service = self._services.get(facts.service)
        if service is None:
            service = self._services[facts.service] = _Latencies()
        service.records += 1
        latency = facts.record.get("latency_ms")
        if isinstance(latency, int | float):
            service.count += 1
            service.total += latency
            service.bins[round(math.log(latency, BIN)) if latency > 0 else _ZERO_BIN] += 1

    def result(self) -> dict[str, Any]:
        most = sorted(self._services.items(), key=lambda kv: (-kv[1].records, kv[0] or ""))
        return {
            "groups": [
                (name, it.records, it.total / it.count if it.count else None, it.quantile(0.95))
                for name, it in most[: self._top.services]
            ]
        }


def accumulator(question: Question) -> Accumulator:
    """What gathers a question's answer."""
    if isinstance(question.groups, CountBy):
        return Counts(question.groups)
    if isinstance(question.groups, TopServices):
        return Slowest(question.groups)
    return Newest()


def expected(asked: Sequence[Question], corpus: Corpus) -> list[dict[str, Any]]:
    """The answer to each question, by kind."""
    *_, (_, answers) = snapshots(asked, corpus, ())
    return answers


def snapshots(
    asked: Sequence[Question], corpus: Corpus, sizes: Sequence[int]
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The answers over the first so many records, for each of the sizes, then over all; one pass."""
    gathered = [accumulator(question) for question in asked]
    work: list[tuple[Callable[[Facts], bool], Callable[[Facts], None]]] = [
        (question.test(), into.add) for question, into in zip(asked, gathered, strict=True)
    ]
    wanted = frozenset(sizes)
    n = 0
    for record in corpus.records():
        facts = Facts(record, record["_us"])
        for test, add in work:
            if test(facts):
                add(facts)
        n += 1
        if n in wanted:
            yield n, [into.result() for into in gathered]
    if n not in wanted:
        yield n, [into.result() for into in gathered]
