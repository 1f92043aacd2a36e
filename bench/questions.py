"""What people ask of logs, as data: each question is conditions over a record, a time range, and perhaps a grouping.

No query language is in here. `bench/expected.py` answers the questions by brute force, and each file of
`bench/adapters/` writes them in the language of what it asks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

PAGE = 100
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
WORD = re.compile(r"[^\W_]+")

Record = dict[str, Any]
Kind = Literal["page", "count", "groups"]


def field_of(record: Record, path: str) -> Any:
    """A field by its dotted name, nested or not."""
    if path in record:
        return record[path]
    head, dot, rest = path.partition(".")
    below = record.get(head)
    return field_of(below, rest) if dot and isinstance(below, dict) else None


class Facts:
    """What conditions look at in a record, taken out of it once for all of them."""

    __slots__ = ("_words", "level", "lower", "message", "record", "service", "us")

    def __init__(self, record: Record, us: int) -> None:
        self.record = record
        self.us = us
        self.level: str = (record.get("level") or "").lower()
        self.service: str | None = record.get("service")
        message = record.get("message")
        self.message: str = message if isinstance(message, str) else ""
        self.lower = self.message.lower()
        self._words: frozenset[str] | None = None

    @property
    def words(self) -> frozenset[str]:
        """The message's words in lower case: runs of letters and digits."""
        if self._words is None:
            self._words = frozenset(WORD.findall(self.lower))
        return self._words


Holds = Callable[[Facts], bool]


@dataclass(frozen=True, slots=True)
class Level:
    """The level, however it is spelled."""

    name: str

    def test(self) -> Holds:
        return lambda facts: facts.level == self.name


@dataclass(frozen=True, slots=True)
class Service:
    """Records of one service, or of all others."""

    name: str
    other: bool = False

    def test(self) -> Holds:
        if self.other:
            return lambda facts: facts.service != self.name
        return lambda facts: facts.service == self.name


@dataclass(frozen=True, slots=True)
class StatusFrom:
    """An HTTP status of at least this."""

    low: int

    def test(self) -> Holds:
        return lambda facts: (field_of(facts.record, "http.status") or 0) >= self.low


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace id."""

    id: str

    def test(self) -> Holds:
        return lambda facts: facts.record.get("trace_id") == self.id


@dataclass(frozen=True, slots=True)
class Words:
    """The message has all these words, anywhere."""

    words: tuple[str, ...]

    def test(self) -> Holds:
        first, wanted = self.words[0], frozenset(self.words)
        return lambda facts: first in facts.lower and wanted <= facts.words


@dataclass(frozen=True, slots=True)
class Phrase:
    """The message has these words in a row."""

    words: tuple[str, ...]

    def test(self) -> Holds:
        first = self.words[0]
        row = re.compile(r"(?<![^\W_])" + r"[\W_]+".join(self.words) + r"(?![^\W_])")
        return lambda facts: first in facts.lower and row.search(facts.lower) is not None


@dataclass(frozen=True, slots=True)
class WordPrefix:
    """A word of the message begins so."""

    text: str

    def test(self) -> Holds:
        begins = re.compile(r"(?<![^\W_])" + self.text)
        return lambda facts: self.text in facts.lower and begins.search(facts.lower) is not None


@dataclass(frozen=True, slots=True)
class Substring:
    """The message has this text, anywhere."""

    text: str

    def test(self) -> Holds:
        return lambda facts: self.text in facts.message


@dataclass(frozen=True, slots=True)
class Pattern:
    """The message has a match of this regular expression; `literal` is a text that every match has."""

    regex: str
    literal: str

    def test(self) -> Holds:
        found = re.compile(self.regex, re.ASCII)  # RE2's \\w is ASCII too
        return lambda facts: self.literal in facts.message and found.search(facts.message) is not None


Condition = Level | Service | StatusFrom | Trace | Words | Phrase | WordPrefix | Substring | Pattern


@dataclass(frozen=True, slots=True)
class CountBy:
    """Counts by level, by minute, or by both."""

    level: bool = False
    minute: bool = False


@dataclass(frozen=True, slots=True)
class TopServices:
    """The services with the most records, with the average and the 95th percentile of their latencies."""

    services: int = 10


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        name: For the table.
        conditions: All must hold; none is all records.
        time: Microseconds, half-open.
        groups: A grouped query; None asks for a page, and for a count.
        page_label: What a page is called in the table.
    """

    name: str
    conditions: tuple[Condition, ...] = ()
    time: tuple[int, int] | None = None
    groups: CountBy | TopServices | None = None
    page_label: str = f"newest {PAGE}"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The queries that ask it."""
        return ("groups",) if self.groups else ("page", "count")

    def label(self, kind: Kind) -> str:
        """A row's name in the table."""
        return {"page": f"{self.name}, {self.page_label}", "count": f"{self.name}, count"}.get(
            kind, self.name
        )

    def test(self) -> Holds:
        """Whether a record is asked for."""
        tests = [condition.test() for condition in self.conditions]
        if self.time:
            since, until = self.time
            tests.insert(0, lambda facts: since <= facts.us < until)
        if len(tests) == 1:
            return tests[0]
        return lambda facts: all(test(facts) for test in tests)


@dataclass(slots=True)
class Survey:
    """What a pass over the records found: values to ask for."""

    records: int = 0
    first_us: int = 1 << 62
    last_us: int = -(1 << 62)
    services: Counter[str | None] = field(default_factory=Counter)
    levels: set[str] = field(default_factory=set)
    trace: str | None = None


def survey(records: Iterable[Record]) -> Survey:
    """Look for values worth asking for; the least of some trace ids is as good as any."""
    found = Survey()
    for n, record in enumerate(records):
        found.records += 1
        found.first_us = min(found.first_us, record["_us"])
        found.last_us = max(found.last_us, record["_us"])
        found.services[record.get("service")] += 1
        found.levels.add(record.get("level") or "")
        trace = record.get("trace_id")
        if trace and n % 997 < 40 and (found.trace is None or trace < found.trace):
            found.trace = trace
    return found


def instant(us: int) -> str:
    """RFC 3339, in whole seconds."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def questions(found: Survey) -> list[Question]:
    """The questions, with values that the corpus has."""
    middle = (found.first_us + found.last_us) // 2 // HOUR_US * HOUR_US
    hour = (middle, middle + HOUR_US)
    names = [name for name, _ in found.services.most_common() if name]
    if len(names) < 4 or found.trace is None:
        raise ValueError(
            "the corpus needs four services and a trace_id at least: there is nothing to ask for"
        )
    service, other = names[2], names[3]
    reset = ("connection", "reset")
    return [
        Question("everything"),
        Question("one hour", time=hour),
        Question("level and service", (Level("error"), Service(service))),
        Question("two words", (Words(reset),)),
        Question("phrase", (Phrase((*reset, "by", "peer")),)),
        Question("one trace id", (Trace(found.trace),), page_label="records"),
        Question(
            "level, not service, status >= 500",
            (Level("error"), Service(other, other=True), StatusFrom(500)),
        ),
        Question("word prefix", (WordPrefix("time"),)),
        Question("regex across two words", (Pattern(r"connection \w+ by p[a-z]+r", "connection "),)),
        Question("substring across words", (Substring("tion reset by"),)),
        Question("count by level", groups=CountBy(level=True)),
        Question("count by level of one hour", time=hour, groups=CountBy(level=True)),
        Question("per minute by level", groups=CountBy(level=True, minute=True)),
        Question("per minute of one hour", time=hour, groups=CountBy(minute=True)),
        Question("top 10 services with avg and p95", groups=TopServices()),
    ]
