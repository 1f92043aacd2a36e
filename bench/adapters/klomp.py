"""Klomp itself, asked in EDN: the server that is measured, or another version of it at a URL."""

from __future__ import annotations

import orjson

from bench.adapters.base import load_once
from bench.client import Client
from bench.corpus import Corpus
from bench.load import found, load
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

BATCH, CONNECTIONS = 1000, 4


def predicate(condition: Condition) -> str:
    """A condition in EDN."""
    match condition:
        case Level(name):
            return f"[:= :level {_text(name)}]"
        case Service(name, other):
            return f"[:not [:= :service {_text(name)}]]" if other else f"[:= :service {_text(name)}]"
        case StatusFrom(low):
            return f"[:>= :http.status {low}]"
        case Trace(trace):
            return f"[:= :trace_id {_text(trace)}]"
        case Words(words):
            return f"[:match :message {_text(' '.join(words))}]"
        case Phrase(words):
            return f"[:phrase :message {_text(' '.join(words))}]"
        case WordPrefix(text):
            return f"[:phrase :message {_text(text + '*')}]"
        case Substring(text):
            return f"[:contains :message {_text(text)}]"
        case Pattern(regex):
            return f"[:regex :message {_text(regex)}]"


def document(question: Question, kind: Kind, stream: str) -> str:
    """A query."""
    parts = [f":from :{stream}"]
    if question.time:
        since, until = map(instant, question.time)
        parts.append(f':time {{:since "{since}" :until "{until}"}}')
    if question.conditions:
        tests = " ".join(predicate(condition) for condition in question.conditions)
        parts.append(f":where {tests}" if len(question.conditions) == 1 else f":where [:and {tests}]")
    if kind == "page":
        parts.append(f":limit {PAGE}")
    elif kind == "count":
        parts.append(":aggregate {:n [:count]}")
    elif isinstance(question.groups, CountBy):
        keys = [":level"] * question.groups.level + ['[:bucket :timestamp "1m"]'] * question.groups.minute
        parts.append(f":group-by [{' '.join(keys)}] :aggregate {{:n [:count]}}")
    elif question.groups:
        parts.append(
            ":group-by [:service]"
            " :aggregate {:n [:count] :avg [:avg :latency_ms] :p95 [:percentile :latency_ms 95]}"
            f" :order-by [[:n :desc]] :limit {question.groups.services}"
        )
    return "{" + " ".join(parts) + "}"


def _text(text: str) -> str:
    return orjson.dumps(text).decode()  # EDN's strings are JSON's, as far as these texts go


class Klomp:
    """A klomp server."""

    name = "klomp there"

    def __init__(self, url: str, survey: Survey | None = None, stream: str = "main") -> None:
        self.url = url
        self.stream = stream
        self.client = Client(url)
        self._records = survey.records if survey else 0

    def load(self, corpus: Corpus) -> None:
        load_once(
            self.url,
            self._records,
            lambda: found(self.client, self.stream),
            lambda: _send(self.url, self.stream, corpus),
        )

    def statement(self, question: Question, kind: Kind) -> str:
        return document(question, kind, self.stream)

    def run(self, statement: str) -> bytes:
        return self.client.query(statement)

    def size(self, kind: Kind, answer: bytes) -> int:
        rows = orjson.loads(answer)["rows"]
        if kind == "count":
            return int(rows[0]["n"])
        return (
            len(rows) if kind == "page" else sum(1 for row in rows if row["n"])
        )  # empty buckets are filled in

    def close(self) -> None:
        self.client.close()


def _send(url: str, stream: str, corpus: Corpus) -> None:
    load(url, stream, corpus.batches(BATCH), CONNECTIONS)
