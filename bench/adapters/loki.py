"""Loki at a URL, asked in LogQL: level and service are labels, the line is the message, other fields are its metadata.

It refuses old records, and more than a few megabytes a second, unless its limits are raised: `reject_old_samples`,
`ingestion_rate_mb`, `per_stream_rate_limit`, `max_query_length`, `max_query_series`.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/ and https://grafana.com/docs/loki/latest/query/
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import orjson

from bench.adapters.base import load_once
from bench.client import Client, expect
from bench.corpus import Corpus
from bench.questions import (
    MINUTE_US,
    PAGE,
    Condition,
    CountBy,
    Kind,
    Level,
    Pattern,
    Phrase,
    Question,
    Service,
    StatusFrom,
    Substring,
    Survey,
    Trace,
    WordPrefix,
    Words,
)

BATCH = 5000  # records a request, in the order of time, as each stream wants them
LABELS = ("level", "service")
POINTS_MAX = 11_000  # steps that a query over a range may have
QUERY, QUERY_RANGE = "/loki/api/v1/query?", "/loki/api/v1/query_range?"


class Loki:
    """A Loki server. A statement is one or more paths, one a line."""

    name = "Loki"

    def __init__(self, url: str, found: Survey) -> None:
        self._client = Client(url)
        self._found = found
        self._all = (
            found.first_us // MINUTE_US * MINUTE_US,
            found.last_us // MINUTE_US * MINUTE_US + MINUTE_US,
        )

    def load(self, corpus: Corpus) -> None:
        load_once(
            self.name,
            self._found.records,
            lambda: self.size("count", self.run(self.statement(Question("all"), "count") or "")),
            lambda: self._send(corpus),
            ", with its limits raised",
        )

    def _send(self, corpus: Corpus) -> None:
        records = corpus.records()
        while batch := list(islice(records, BATCH)):
            streams: dict[tuple[str, ...], list[Any]] = defaultdict(list)
            for record in batch:
                labels = tuple(record.pop(name, None) or "" for name in LABELS)
                stamp = f"{record.pop('_us')}000"
                line = record.pop("message", None) or ""
                del record["timestamp"]
                rest = {
                    _name(k): v if isinstance(v, str) else str(v) for k, v in record.items() if v is not None
                }
                streams[labels].append([stamp, line, rest])
            body = {
                "streams": [
                    {"stream": dict(zip(LABELS, labels, strict=True)), "values": values}
                    for labels, values in streams.items()
                ]
            }
            expect(self._client.post("/loki/api/v1/push", orjson.dumps(body), "application/json"), 204)

    def statement(self, question: Question, kind: Kind) -> str | None:
        since, until = question.time or self._all
        labels = [text for c in question.conditions if (text := self._label(c))]
        steps = [text for c in question.conditions if (text := _step(c))]
        chosen = "{" + ", ".join(labels or ['service=~".+"']) + "}" + "".join(f" {step}" for step in steps)
        if kind == "page":
            times = {"start": f"{since}000", "end": f"{until}000"}
            return QUERY_RANGE + urlencode({"query": chosen, **times, "limit": PAGE, "direction": "backward"})
        # A range reaches back from an instant, which it includes: the last nanosecond before the end.
        last = f"{until}000"
        at = {"time": str(int(last) - 1)}
        window = f"[{(until - since) // 1_000_000}s]"
        if kind == "count":
            return QUERY + urlencode({"query": f"sum(count_over_time({chosen} {window}))", **at})
        if isinstance(question.groups, CountBy):
            by = " by (level)" if question.groups.level else ""
            if not question.groups.minute:
                return QUERY + urlencode({"query": f"sum{by} (count_over_time({chosen} {window}))", **at})
            if (until - since) // MINUTE_US > POINTS_MAX:
                return None
            times = {"start": str((since + MINUTE_US) * 1000 - 1), "end": str(int(last) - 1), "step": "60"}
            return QUERY_RANGE + urlencode({"query": f"sum{by} (count_over_time({chosen} [1m]))", **times})
        assert question.groups
        latency = f"{chosen} | latency_ms != `` | unwrap latency_ms {window}"
        queries = [
            f"topk({question.groups.services}, sum by (service) (count_over_time({chosen} {window})))",
            f"avg_over_time({latency}) by (service)",
            f"quantile_over_time(0.95, {latency}) by (service)",
        ]
        return "\n".join(QUERY + urlencode({"query": query, **at}) for query in queries)

    def _label(self, condition: Condition) -> str | None:
        match condition:
            case Level(name):
                spelled = sorted(level for level in self._found.levels if level.lower() == name)
                return f'level=~"{"|".join(map(re.escape, spelled or [name]))}"'
            case Service(name, other):
                return f'service{"!=" if other else "="}"{name}"'
        return None

    def run(self, statement: str) -> list[bytes]:
        return [expect(self._client.get(path), 200) for path in statement.split("\n")]

    def size(self, kind: Kind, answer: list[bytes]) -> int:
        result = orjson.loads(answer[0])["data"]["result"]
        if kind == "count":
            return int(result[0]["value"][1]) if result else 0
        return sum(len(found["values"]) if "values" in found else 1 for found in result)

    def close(self) -> None:
        self._client.close()


def _name(field: str) -> str:
    """A field's name as it may be written in LogQL."""
    return re.sub(r"\W", "_", field, flags=re.ASCII)


def _step(condition: Condition) -> str | None:
    """A condition on the line or its metadata; a plain text first, which is quicker than a pattern."""
    match condition:
        case StatusFrom(low):
            return f"| http_status >= {low}"
        case Trace(trace):
            return f"| trace_id = `{trace}`"
        case Words(words):
            return " ".join(rf"|= `{word}` |~ `\b{word}\b`" for word in words)
        case Phrase(words):
            return f"|= `{' '.join(words)}`" + rf" |~ `\b{' '.join(words)}\b`"
        case WordPrefix(text):
            return rf"|= `{text}` |~ `\b{text}`"
        case Substring(text):
            return f"|= `{text}`"
        case Pattern(regex):
            return f"|~ `{regex}`"
    return None
