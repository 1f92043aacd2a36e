"""Refuses wrong answers of klomp: every row, count and group is compared with brute force."""

from __future__ import annotations

import math
from typing import Any

import orjson

from bench.client import Client
from bench.expected import Between
from bench.questions import CountBy, Facts, Kind, Question
from storage.times import parse_time


def check(question: Question, kind: Kind, answer: bytes, want: dict[str, Any]) -> None:
    """Compare an answer with the right one.

    Raises:
        AssertionError: It is wrong, or says that it is not complete.
    """
    document = orjson.loads(answer)
    rows = document["rows"]
    if not document["complete"]:
        raise AssertionError(f"{question.label(kind)}: the answer is not complete")
    got: Any
    if kind == "page":
        got = [parse_time(row["timestamp"]) for row in rows]
        holds = question.test()
        if not all(holds(Facts(row, us)) for row, us in zip(rows, got, strict=True)):
            raise AssertionError(f"{question.label(kind)}: a row does not match")
    elif kind == "count":
        got = rows[0]["n"]
    else:
        got = groups(question, rows)
    if not same(got, want[kind]):
        raise AssertionError(f"{question.label(kind)}: {str(got)[:300]} is not {str(want[kind])[:300]}")


def groups(question: Question, rows: list[dict[str, Any]]) -> Any:
    """The groups of an answer, as `bench/expected.py` has them."""
    by = question.groups
    if not isinstance(by, CountBy):
        return [(row["service"], row["n"], row["avg"], row["p95"]) for row in rows]
    return {
        (*([row["level"]] if by.level else []), *([parse_time(row["timestamp"])] if by.minute else [])): row[
            "n"
        ]
        for row in rows
        if row["n"]  # empty buckets are filled in
    }


def same(got: object, want: object) -> bool:
    """Equal, floats nearly, estimates within their error."""
    if isinstance(want, Between):
        return isinstance(got, int | float) and want.low <= got <= want.high
    if isinstance(want, float) and isinstance(got, int | float):
        return math.isclose(got, want, rel_tol=1e-9)
    if isinstance(want, list | tuple) and isinstance(got, list | tuple):
        return len(got) == len(want) and all(map(same, got, want))
    return got == want


def check_truth(client: Client, stream: str, truth: dict[str, Any]) -> None:
    """Compare counts with those that were made together with the corpus.

    Raises:
        AssertionError: Some differ; it names them.
    """

    def rows(text: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = orjson.loads(client.query(f"{{:from :{stream} {text}}}"))["rows"]
        return found

    def counts(name: str) -> dict[str, int]:
        found = rows(f":group-by [:{name}] :aggregate {{:n [:count]}}")
        return {str(row[name]): row["n"] for row in found if row[name] is not None}

    def count(where: str) -> int:
        return int(rows(f":where {where} :aggregate {{:n [:count]}}")[0]["n"])

    wrong = []
    if counts("level") != {name.lower(): n for name, n in truth["level"].items()}:
        wrong.append("level")
    wrong += [name for name in ("service", "http.status", "http.method") if counts(name) != truth[name]]
    wrong += [
        needle for needle, n in truth["needles"].items() if count(f'[:phrase :message "{needle}"]') != n
    ]
    wrong += [trace for trace, n in truth["traces"].items() if count(f'[:= :trace_id "{trace}"]') != n]
    hours = rows(':group-by [[:bucket :timestamp "1h"]] :aggregate {:n [:count]}')
    if {row["timestamp"][:13]: row["n"] for row in hours if row["n"]} != truth["hour"]:
        wrong.append("hour")
    if wrong:
        raise AssertionError(f"counts that are not the corpus's own: {wrong}")
