"""VictoriaLogs at a URL, asked in LogsQL.

Its default retention is seven days and drops older records silently: start it with `-retentionPeriod=100y`. Words are
asked for as they are spelled, which its filters are quick at; klomp's questions do not look at case.

Sources: https://docs.victoriametrics.com/victorialogs/data-ingestion/ and https://docs.victoriametrics.com/victorialogs/logsql/
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

import orjson

from bench.adapters.base import load_once
from bench.client import Client, expect
from bench.corpus import Corpus
from bench.questions import (
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
    instant,
)

BATCH = 5000  # records a request
INSERT = "/insert/jsonline?" + urlencode(
    {"_stream_fields": "service,host", "_time_field": "timestamp", "_msg_field": "message"}
)


class VictoriaLogs:
    """A VictoriaLogs server."""

    name = "VictoriaLogs"

    def __init__(self, url: str, found: Survey) -> None:
        self._client = Client(url)
        self._found = found

    def load(self, corpus: Corpus) -> None:
        def send() -> None:
            for body in corpus.batches(BATCH):
                expect(self._client.post(INSERT, body, "application/stream+json"), 200, 204)

        load_once(self.name, self._found.records, self._count, send, ", with -retentionPeriod=100y")

    def _count(self) -> int:
        return self.size("count", self.run("* | stats count() as n"))

    def statement(self, question: Question, kind: Kind) -> str:
        filters = [self._filter(condition) for condition in question.conditions]
        if question.time:
            since, until = map(instant, question.time)
            filters.insert(0, f"_time:[{since}, {until})")
        head = " ".join(filters) or "*"
        if kind == "page":
            return f"{head} | sort by (_time desc) limit {PAGE}"
        if kind == "count":
            return f"{head} | stats count() as n"
        if isinstance(question.groups, CountBy):
            keys = ["_time:1m"] * question.groups.minute + ["level"] * question.groups.level
            return f"{head} | stats by ({', '.join(keys)}) count() as n"
        assert question.groups
        return (
            f"{head} | stats by (service) count() as n, avg(latency_ms) as avg, quantile(0.95, latency_ms) as p95"
            f" | sort by (n desc, service) limit {question.groups.services}"
        )

    def _filter(self, condition: Condition) -> str:
        match condition:
            case Level(name):
                spelled = sorted(level for level in self._found.levels if level.lower() == name)
                return f"level:in({', '.join(map(_text, spelled or [name]))})"
            case Service(name, other):
                return f"{{service{'!=' if other else '='}{_text(name)}}}"
            case StatusFrom(low):
                return f'"http.status":>={low}'
            case Trace(trace):
                return f"trace_id:={_text(trace)}"
            case Words(words):
                return " ".join(map(_text, words))
            case Phrase(words):
                return _text(" ".join(words))
            case WordPrefix(text):
                return f"{_text(text)}*"
            case Substring(text):
                return f"~{_text(re.escape(text).replace(chr(92) + ' ', ' '))}"
            case Pattern(regex):
                return f"~{_text(regex)}"

    def run(self, statement: str) -> bytes:
        body = urlencode({"query": statement}).encode()
        return expect(
            self._client.post("/select/logsql/query", body, "application/x-www-form-urlencoded"), 200
        )

    def size(self, kind: Kind, answer: bytes) -> int:
        rows = answer.splitlines()
        if kind == "count":
            return int(orjson.loads(rows[0])["n"]) if rows else 0
        return len(rows)

    def close(self) -> None:
        self._client.close()


def _text(text: str) -> str:
    return orjson.dumps(text).decode()
