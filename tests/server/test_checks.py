"""What the index leaves to be checked, over records that are hard to read: the answers are the oracle's."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsl.evaluate import matches
from dsl.needed import may_hold
from dsl.parse import parse
from dsl.record import Record
from server.engine import matching
from storage import ahead, rewrite
from storage.catalog import load_catalog
from storage.index import analyse
from storage.paths import DataDirectory
from tests.support.stores import NOW_US, built_store

TEXTS = [
    "connection reset by peer",
    "Connection Reset By Peer",
    'said "connection reset" and left',
    "back\\slash and tab\there",
    "two\nlines of connection",
    "caf\u00e9 \u212aelvin \u017f \U0001f45e",
    "connection-reset",
    '"message":"connection reset"',
    "message",
    "",
    "\\",
    "\x7f\x01",
    "reset",
    "a",
]
RECORDS: list[dict[str, Any]] = [
    *({"message": text} for text in TEXTS),
    *({"note": text} for text in TEXTS),
    *({"message": text, "message2": "connection reset", "note": "a"} for text in TEXTS[:6]),
    {"note": {"message": "connection reset"}},
    {"note": [{"message": "connection reset"}], "message": "other"},
    {"message": ["connection", "reset"]},
    {"message": [["connection reset"], {"message": "a"}]},
    {"message": {"message": "connection reset"}},
    {"message": {"text": "reset"}, "note.message": "connection"},
    {'say "message': "connection reset", "message": "x"},
    {"note": 'x,"message":"connection reset"', "message": "y"},
    {"message": 12345678},
    {"message": None, "note": True},
    {"message": "1234567 and 1", "note": 1234567},
    {"note.deep": "connection reset", "a.b": {"c": "reset"}},
]
PADDING = "p" * 20_000  # so that a frame has three records, and all of them lie in many
WORDS = [
    "connection",
    "reset",
    "on re",
    "Reset",
    "e",
    '"',
    "\\",
    "\n",
    "\t",
    "caf\u00e9",
    "\u212a",
    "a",
    "zz",
    "1234567",
]
FIELDS = ["message", "note", "*", "note.message", "message.message", "_stream", "a.b.c"]


def _regex(word: str) -> str:
    return "".join(f"\\x{{{ord(c):x}}}" if not c.isalnum() else c for c in word)


texts = (
    st.sampled_from(WORDS)
    | st.sampled_from(TEXTS)
    | st.lists(st.sampled_from(WORDS), max_size=3).map("".join)
)
expressions = st.tuples(
    st.sampled_from(["", "(?i)", "^", "."]),
    st.sampled_from(WORDS).map(_regex),
    st.sampled_from(["", ".*e", "$", "|zz"]),
).map("".join) | st.sampled_from(["[0-9]{7}", "\\w+ reset", "(connection|a) ?reset", ""])
globs = st.sampled_from(["*reset*", "conn*peer", "?", "*\\\\*", "[a-c]*", '*"*', "*"])
fields = st.sampled_from(FIELDS)
leaves = st.one_of(
    st.tuples(st.sampled_from(["contains", "starts-with", "ends-with"]), fields, texts),
    st.tuples(st.just("regex"), fields, expressions),
    st.tuples(st.just("glob"), fields, globs),
    st.tuples(st.just("="), st.sampled_from(["message", "note", "note.message"]), st.sampled_from(TEXTS)),
)
predicates = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def built():
    batches = [
        (
            stream,
            [
                {"timestamp": NOW_US - 1000 * (n + at), "pad": PADDING, **record}
                for n, record in enumerate(some)
            ],
        )
        for at, (stream, some) in enumerate([("main", RECORDS), ("b", RECORDS[::3]), ("main", RECORDS[::-1])])
    ]
    with built_store(batches, segment_bytes_max=400) as store:
        stream = DataDirectory(store.root).stream("main")
        sealed = next(entry for entry in load_catalog(stream.catalog).segments if entry.sealed)
        rewrite.delete(stream, sealed, lambda number, _time, _line: number % 5 != 0)
        gone = {(stream.name, number) for number in range(sealed.first, sealed.until) if number % 5 == 0}
        store.records = [one for one in store.records if (one.stream, one.number) not in gone]
        yield store


@given(where=predicates, readers=st.sampled_from([0, 2]))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_counts_pages_and_groups_of_odd_records_are_the_oracles(built, where, readers):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "READERS", readers)
        asked = {"from": ["main", "b"], "where": where}
        for more in (
            {"limit": 0, "total": True},
            {"limit": 500, "select": ["timestamp", "message", "note"]},
            {"group-by": ["_stream"], "aggregate": {"n": ["count"]}},
        ):
            text = json.dumps({**asked, **more})
            want, got = built.oracle(text), built.query(text)
            assert got.rows == [orjson.dumps(row) for row in want.rows], text
            assert got.total == want.total
            assert got.complete


LINES = [
    *(orjson.dumps(record) for record in RECORDS),
    rb'{"message":"conn\u0065ction reset"}',
    rb'{"messag\u0065":"connection reset","note":"a"}',
    rb'{"message":"connection reset","message":"a"}',
    rb'{"message":"a","message":"connection \u0072eset"}',
    rb'{"note":{"message":"\u0061"},"message":"\/a"}',
]


@given(where=predicates)
@settings(max_examples=300, deadline=None)
def test_a_line_that_is_passed_over_would_not_have_held(where):
    predicate = parse(json.dumps({"where": where}), "json", now_us=NOW_US).where
    holds, may = matches(predicate, analyse, NOW_US), may_hold(predicate)
    for line in LINES:
        if holds(Record(0, "connection reset", 1, orjson.loads(line))):
            assert may is None or may(line)


def test_lines_without_what_is_needed_are_not_parsed(built, monkeypatch):
    parsed = []
    real = matching.Record
    monkeypatch.setattr(matching, "Record", lambda *fields: parsed.append(1) or real(*fields))
    text = json.dumps({"where": ["contains", "message", "connection-reset"], "limit": 0, "total": True})
    assert built.query(text).total == built.oracle(text).total == 2
    assert len(parsed) < 20
