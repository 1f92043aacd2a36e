"""What people ask of logs: each question as a query, and as a plain function over all records that says the answer."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PAGE = 100
MINUTE_US = 60_000_000
Record = dict[str, Any]
Holds = Callable[[Record], bool]


def field_of(record: Record, path: str) -> Any:
    """A field by its dotted name, nested or not."""
    if path in record:
        return record[path]
    head, dot, rest = path.partition(".")
    below = record.get(head)
    return field_of(below, rest) if dot and isinstance(below, dict) else None


@dataclass(slots=True)
class Corpus:
    """What a pass over the records found: values to ask for."""

    records: int = 0
    first_us: int = 0
    last_us: int = 0
    services: Counter = field(default_factory=Counter)
    traces: Counter = field(default_factory=Counter)


def survey(records: Iterable[Record]) -> Corpus:
    """Look for values worth asking for."""
    corpus = Corpus(first_us=1 << 62)
    for n, record in enumerate(records):
        corpus.records += 1
        corpus.first_us = min(corpus.first_us, record["_us"])
        corpus.last_us = max(corpus.last_us, record["_us"])
        corpus.services[record.get("service")] += 1
        trace = record.get("trace_id")
        if trace and n % 997 < 40:
            corpus.traces[trace] += 1
    return corpus


@dataclass(slots=True)
class Question:
    """One question.

    Attributes:
        name: For the table.
        where: The predicate in EDN, None for all.
        holds: The same in Python.
        time: The time range in EDN, and in microseconds.
        groups: The rest of a grouped query in EDN; None asks for a page, and for a count.
        group: The expected groups, from the records that match.
        read: The groups in an answer's rows.
        sql: The condition in SQL, over the columns of `bench/engines.py`, for a page or a count.
        select: A grouped query in SQL.
    """

    name: str
    where: str | None
    holds: Holds
    time: tuple[str, int, int] | None = None
    groups: str | None = None
    group: Callable[[Iterable[Record]], Any] | None = None
    read: Callable[[list[dict]], Any] | None = None
    sql: str = ""
    select: str = ""

    def matches(self, record: Record) -> bool:
        """Whether a record is asked for."""
        return (self.time is None or self.time[1] <= record["_us"] < self.time[2]) and self.holds(record)

    def documents(self, stream: str) -> list[tuple[str, str]]:
        """Kind and text of the queries that ask it."""
        parts = [f":from :{stream}"]
        if self.time:
            parts.append(f":time {self.time[0]}")
        if self.where:
            parts.append(f":where {self.where}")
        head = " ".join(parts)
        if self.groups:
            return [("groups", f"{{{head} {self.groups}}}")]
        return [
            ("page", f"{{{head} :limit {PAGE}}}"),
            ("count", f"{{{head} :aggregate {{:n [:count]}}}}"),
        ]


def _always(_: Record) -> bool:
    return True


def words(text: str) -> set[str]:
    """A message as words."""
    return set(re.findall(r"[^\W_]+", text.lower()))


def instant(us: int) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat()


def questions(corpus: Corpus) -> list[Question]:
    """The questions, with values that the corpus has."""
    middle = (corpus.first_us + corpus.last_us) // 2 // (60 * MINUTE_US) * 60 * MINUTE_US
    hour = (
        f'{{:since "{instant(middle)}" :until "{instant(middle + 60 * MINUTE_US)}"}}',
        middle,
        middle + 60 * MINUTE_US,
    )
    service, other = (name for name, _ in corpus.services.most_common(4)[2:4])
    trace = next(iter(sorted(corpus.traces)))
    status = "http.status"

    def message(record: Record) -> str:
        text = record.get("message")
        return text if isinstance(text, str) else ""

    def level(record: Record) -> str:
        return record.get("level", "").lower()

    def by_level(records: Iterable[Record]) -> Any:
        return dict(Counter(level(r) for r in records))

    def by_minute(records: Iterable[Record]) -> Any:
        return dict(Counter((level(r), r["_us"] // MINUTE_US * MINUTE_US) for r in records))

    def slow(records: Iterable[Record]) -> Any:
        groups: dict[Any, list] = defaultdict(list)
        counts: Counter = Counter()
        for r in records:
            counts[r.get("service")] += 1
            if isinstance(r.get("latency_ms"), int | float):
                groups[r.get("service")].append(r["latency_ms"])
        top = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))[:10]
        return [(name, n, sum(groups[name]) / len(groups[name]) if groups[name] else None) for name, n in top]

    def us(text: str) -> int:
        return round(datetime.fromisoformat(text).timestamp() * 1e6)

    return [
        Question("one hour", None, _always, time=hour, sql=f"ts >= {hour[1]} and ts < {hour[2]}"),
        Question(
            "level and service",
            f'[:and [:= :level "error"] [:= :service "{service}"]]',
            lambda r: level(r) == "error" and r.get("service") == service,
            sql=f"level = 'error' and service = '{service}'",
        ),
        Question(
            "two words",
            '[:match :message "connection reset"]',
            lambda r: {"connection", "reset"} <= words(message(r)),
            sql=r"MATCH(message, '(?i)\bconnection\b') and MATCH(message, '(?i)\breset\b')",
        ),
        Question(
            "phrase",
            '[:phrase :message "connection reset by peer"]',
            lambda r: (
                re.search(r"\bconnection\W+reset\W+by\W+peer(?![^\W_])", message(r).lower()) is not None
            ),
            sql=r"MATCH(message, '(?i)\bconnection\W+reset\W+by\W+peer\b')",
        ),
        Question(
            "one trace",
            f'[:= :trace_id "{trace}"]',
            lambda r: r.get("trace_id") == trace,
            sql=f"trace_id = '{trace}'",
        ),
        Question(
            "level, not service, status >= 500",
            f'[:and [:= :level "error"] [:not [:= :service "{other}"]] [:>= :http.status 500]]',
            lambda r: level(r) == "error" and r.get("service") != other and (field_of(r, status) or 0) >= 500,
            sql=f"level = 'error' and service <> '{other}' and status >= 500",
        ),
        Question(
            "word prefix",
            '[:phrase :message "time*"]',
            lambda r: any(word.startswith("time") for word in words(message(r))),
            sql=r"MATCH(message, '(?i)(^|[^a-z0-9])time')",
        ),
        Question(
            "substring across words",
            '[:contains :message "tion reset by"]',
            lambda r: "tion reset by" in message(r),
            sql="message like '%tion reset by%'",
        ),
        Question(
            "count by level",
            None,
            _always,
            groups=":group-by [:level] :aggregate {:n [:count]}",
            group=by_level,
            read=lambda rows: {r["level"]: r["n"] for r in rows},
            select="select level, count(*) from logs group by level",
        ),
        Question(
            "per minute by level",
            None,
            _always,
            groups=':group-by [:level [:bucket :timestamp "1m"]] :aggregate {:n [:count]}',
            group=by_minute,
            read=lambda rows: {(r["level"], us(r["timestamp"])): r["n"] for r in rows},
            select=f"select level, ts - ts % {MINUTE_US} as m, count(*) from logs group by level, m",
        ),
        Question(
            "top 10 services, avg and p95",
            None,
            _always,
            groups=(
                ":group-by [:service]"
                " :aggregate {:n [:count] :avg [:avg :latency_ms] :p95 [:percentile :latency_ms 95]}"
                " :order-by [[:n :desc]] :limit 10"
            ),
            group=slow,
            read=lambda rows: [(r["service"], r["n"], r["avg"]) for r in rows],
            select=(
                "select service, count(*) as n, avg(latency), QUANTILE(latency, 0.95)"
                " from logs group by service order by n desc, service limit 10"
            ),
        ),
    ]
