"""Explanations: what is said before anything runs agrees with what happens, and reads as in the golden files.

Run with KLOMP_RECORD=1 to write the golden files again; then read the difference.
"""

import os
import re
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings

from dsl.ast import Query
from dsl.errors import QueryError
from dsl.printer import to_edn
from dsl.record import Record
from server.cli.tree import explanation_lines
from server.engine.asked import Asked
from storage.errors import QueryTimeout
from storage.stop import Stop
from tests.dsl.strategies import queries
from tests.support.stores import NOW_US, built_store

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "explain"
SEPARATOR = "\n---\n"
WORDS = ("hello", "HTTP/1.1", "timeout", "reset", "checkout", "payment")
BATCHES = [
    (
        stream,
        [
            {
                "n": batch * 100 + n,
                "k": n % 3,
                "level": "error" if n % 5 == 0 else "info",
                "message": f"{WORDS[n % 6]} {WORDS[n % 5]} {n}",
                "timestamp": 1_767_225_600 + batch * 3600 + n,
                **({"mixed": "text" if n % 2 else n} if batch == 1 else {}),
            }
            for n in range(100)
        ],
    )
    for batch, stream in enumerate(["app", "app", "app", "web"])
]


@pytest.fixture(scope="module")
def store():
    with built_store(BATCHES, segment_bytes_max=500) as built:
        assert [len(built.store.catalog(name).segments) for name in ("app", "web")] == [3, 1]
        yield built


def without_times(text):
    """Nor the questions to the index, of which there are as many as it takes."""
    return re.sub(r"[0-9]+ questions?", "… questions", re.sub(r"[0-9.]+ ms", "… ms", text))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.txt")), ids=lambda path: path.stem)
def test_an_explanation_reads_as_in_its_golden_file(store, path):
    text = path.read_text(encoding="utf-8")
    question = text.split(SEPARATOR)[0].strip("\n")
    syntax = "json" if question.lstrip().startswith('{"') else "edn"
    lines = explanation_lines(store.engine.explain(question, syntax=syntax))
    found = question + SEPARATOR + without_times("\n".join(lines)) + "\n"
    if os.environ.get("KLOMP_RECORD"):
        path.write_text(found, encoding="utf-8")
    assert found == text


def test_there_are_golden_files():
    assert len(list(GOLDEN.glob("*.txt"))) >= 8


def conditions(condition):
    if condition is not None:
        yield condition
        for part in condition["parts"]:
            yield from conditions(part)


def holding(store, form, streams, since, until):
    """The records within a range of time for which a condition holds, by the oracle."""
    names = " ".join(f":{name}" for name in streams)
    ends = [f':{name} #inst "{end}"' for name, end in (("since", since), ("until", until)) if end]
    time = f" :time {{{' '.join(ends)}}}" if ends else ""
    return store.oracle(f"{{:from [{names}] :where {form} :limit 10000{time}}}", syntax="edn").rows


def test_what_is_said_before_is_what_happens(store):
    @settings(max_examples=150)
    @given(queries)
    def check(query: Query):
        check_said(store, query.model_copy(update={"from_": ("app", "web")}))

    check()


def check_said(store, query):
    try:
        explained = store.engine.explain(to_edn(query), run=True)
    except QueryError as error:
        assert [one.code for one in error.mistakes] == ["too-many-groups"]  # noqa: PT017
        return
    orjson.dumps(explained)
    assert explanation_lines(explained)
    assert explained["query"]["edn"] == to_edn(query)
    ran, whole = explained["ran"], explained["matches"]
    assert ran["complete"]
    assert whole["least"] <= ran["matching"] <= whole["most"]
    since, until = explained["time"]["since"], explained["time"]["until"]
    for condition in conditions(explained["condition"]):
        if condition["form"].endswith("…"):
            continue
        known = condition["matches"]
        rows = [
            row
            for row in holding(store, condition["form"], ("app", "web"), since, until)
            if any(
                one["stream"] == row["_stream"] and one["first"] <= row["_number"] < one["until"]
                for one in explained["segments"]["list"]
                if one["taken"]
            )
        ]
        assert known["least"] <= len(rows) <= known["most"], condition
        assert condition["answered"] == "checked" or known["least"] == known["most"]
        if condition is explained["condition"]:
            assert ran["matching"] == len(rows)
    if not query.grouped:
        assert ran["read"]["records"] <= explained["cost"]["read_records"]["most"] + _slack(query)


def _slack(query):
    """What is read beyond the plan: pages ask for some more candidates at once, and narrowing may look again."""
    return 300 if len(query.order_by) == 1 else 0


def test_a_skipped_segment_holds_nothing_that_matches(store):
    text = (
        '{:from [:app :web] :time {:since "2026-01-01T01:00:00Z" :until "2026-01-01T02:00:30Z"}'
        ' :where [:and [:> :_number 5] [:<= :timestamp "2026-01-01T02:00:10Z"]] :limit 10000}'
    )
    rows = store.oracle(text, syntax="edn").rows
    listed = store.engine.explain(text)["segments"]["list"]
    assert {one["taken"] for one in listed} == {True, False}
    for one in listed:
        inside = [
            row
            for row in rows
            if row["_stream"] == one["stream"] and one["first"] <= row["_number"] < one["until"]
        ]
        assert one["taken"] or not inside
    assert rows


def test_a_flag_of_its_own_says_to_run_it(store):
    assert store.engine.explain("{:from :app}")["ran"] is None
    assert store.engine.explain("{:from :app :run false}")["ran"] is None
    assert store.engine.explain("{:from :app :run true :limit 3}")["ran"]["rows"] == 3
    assert store.engine.explain('{"from": "app", "run": true}', syntax="json")["ran"]["matching"] == 300
    with pytest.raises(QueryError) as caught:
        store.engine.explain("{:run 1}")
    assert "error[bad-value]: :run is neither true nor false\n 1 | {:run 1}" in caught.value.render()
    with pytest.raises(QueryError, match="no key :wher"):
        store.engine.explain("{:wher 1}")


def test_what_time_allows_is_said(store):
    slow = '{:from :app :where [:contains :message "TTP/1.1 h"] :timeout "40s" :run true}'
    ticks = iter(range(10_000))
    found = store.engine.explain(slow, asked=Asked(Stop(lambda: float(next(ticks)))))
    assert found["ran"]["complete"] is False or found["ran"]["matching"] is None
    assert "time was up" in "\n".join(explanation_lines(found))
    ticks = iter(range(10_000))
    with pytest.raises(QueryTimeout):
        store.engine.explain(slow.replace("40s", "1s"), asked=Asked(Stop(lambda: float(next(ticks)))))


def test_nothing_is_published_yet(tmp_path):
    with built_store([]) as built:
        (built.root / "streams" / "main").mkdir(parents=True)
        found = built.engine.explain("{:where [:= :a 1] :run true}")
    assert found["steps"] == [{"step": "nothing can match: nothing is done", "records": 0}]
    assert found["ran"]["matching"] == 0


def test_a_segment_that_has_only_just_begun_has_no_times(store):
    found = store.engine.explain("{:from :app}")
    empty = {"first": 301, "until": 301, "first_time": None, "last_time": None, "records": 0}
    found["segments"]["list"].append(
        {**found["segments"]["list"][0], **empty, "taken": False, "because": "nothing of it is indexed yet"}
    )
    lines = "\n".join(explanation_lines(found))
    assert "app from 301 on  skipped: nothing of it is indexed yet\n" in lines
    assert "None" not in lines


def test_the_oracle_has_the_records(store):
    assert all(isinstance(record, Record) for record in store.records)
    assert len(store.records) == 400
    assert NOW_US == 1_767_225_600_000_000


def test_every_key_of_an_explanation_is_documented(store):
    from tests.docs.blocks import ROOT, code, table

    found = store.engine.explain("{:from :app :run true}")
    documented = [
        code(row["key of an explanation"])[0]
        for row in table(ROOT / "docs" / "explain.md", "key of an explanation", "is")
    ]
    assert documented == list(found)


def test_what_is_said_to_be_read_is_read(store):
    @settings(max_examples=150, deadline=None)
    @given(queries)
    def check(query: Query):
        query = query.model_copy(update={"from_": ("app", "web")})
        try:
            explained = store.engine.explain(to_edn(query), run=True)
        except QueryError:
            return
        read = explained["ran"]["read"]["records"]
        steps = " ".join(one["step"] for one in explained["steps"])
        if not query.grouped or explained["matches"]["most"] == 0:
            return
        if "nothing is read" not in steps:
            assert read >= explained["matches"]["least"]

    check()


GROUPED = [
    ("{:from :app :group-by [:k] :aggregate {:p [:percentile :n 50]}}", True),
    ("{:from :app :exact true :group-by [:k] :aggregate {:p [:percentile :n 50]}}", False),
    ("{:from :app :exact true :group-by [:k] :aggregate {:p [:count-distinct :n]}}", True),
    ('{:from :app :aggregate {:c [:count [:contains :message "TTP"]]}}', False),
    ('{:from :app :aggregate {:c [:count [:= :level "error"]]}}', True),
    ("{:from [:app :web] :aggregate {:l [:last :n]}}", False),
    ("{:from :app :group-by [:message]}", False),
    ("{:from :app :group-by [[:bucket :n 10]] :aggregate {:v [:values :k]}}", True),
]


@pytest.mark.parametrize(("text", "by_index"), GROUPED)
def test_who_groups_is_said_before_and_is_so(store, text, by_index):
    explained = store.engine.explain(text, run=True)
    assert ("nothing is read" in explained["steps"][0]["step"]) is by_index
    assert (explained["ran"]["read"]["records"] == 0) is by_index
