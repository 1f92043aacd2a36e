"""Pages that show answers: each query below which an `answer` stands is asked of the shop, and has that answer.

Run with KLOMP_RECORD=1 to write the answers anew; then read the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dsl.aggregates import AGGREGATES
from dsl.operators import OPERATORS
from dsl.parse import parse
from dsl.predicates import CLOGS
from tests.docs.blocks import FENCE, ROOT, code, tables
from tests.docs.shop import ask, open_shop, same_as_the_oracle

DOCS = ROOT / "docs"
COOKBOOK = DOCS / "cookbook.md"
ANSWERED = [COOKBOOK, DOCS / "reference.md", DOCS / "coming-from" / "clogs.md"]
QUESTIONS_MIN = 30


@pytest.fixture(scope="module")
def shop():
    with open_shop() as store:
        yield store


@dataclass(frozen=True, slots=True)
class Shown:
    """A query of a page, the same in JSON where that is shown, and its answer with its place."""

    text: str
    as_json: str | None
    answer: str
    start: int
    end: int


def shown_on(page: str) -> Iterator[Shown]:
    text, as_json = "", None
    for found in FENCE.finditer(page):
        language = (found["info"].split() or [""])[0]
        if language == "clojure":
            text, as_json = found["text"], None
        elif language == "json":
            as_json = found["text"]
        elif language == "answer":
            assert text, page[found.start() :][:80]
            yield Shown(text, as_json, found["text"], found.start("text"), found.end("text"))
            text = ""


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", ANSWERED, ids=named)
def test_queries_have_the_answers_that_a_page_shows(path, shop):
    page = path.read_text(encoding="utf-8")
    found = [(one, ask(shop, one.text)) for one in shown_on(page)]
    if os.environ.get("KLOMP_RECORD"):
        for one, answer in reversed(found):
            page = page[: one.start] + answer + page[one.end :]
        path.write_text(page, encoding="utf-8")
    for one, answer in found:
        assert one.answer == answer, one.text


@pytest.mark.parametrize("path", ANSWERED, ids=named)
def test_answers_are_those_of_the_plain_evaluator(path, shop):
    for one in shown_on(path.read_text(encoding="utf-8")):
        if not one.answer.startswith("error["):
            assert same_as_the_oracle(shop, one.text), one.text


@pytest.mark.parametrize("path", ANSWERED, ids=named)
def test_json_beside_a_query_is_the_same_query(path):
    for one in shown_on(path.read_text(encoding="utf-8")):
        if one.as_json is not None:
            assert parse(one.as_json, "json") == parse(one.text)


def test_the_cookbook_answers_thirty_questions():
    page = COOKBOOK.read_text(encoding="utf-8")
    headings = re.findall(r"^### (\d+)\. .+\?$", page, re.MULTILINE)
    assert headings == [str(number) for number in range(1, len(headings) + 1)]
    assert len(headings) >= QUESTIONS_MIN
    assert len(list(shown_on(page))) == len(headings)
    for one in shown_on(page):
        assert "no rows" not in one.answer, one.text


# -- what other languages have, beside ours


COMING_FROM = sorted((DOCS / "coming-from").glob("*.md"))
SIDES = [
    (path, *row.values())
    for path in COMING_FROM
    for rows in tables(path)
    if rows and tuple(rows[0])[1:] == ("here",)
    for row in rows
]
ELSEWHERE = ("GET /v1/", ":after")  # what stands there in place of a query


def ours_of(cell: str) -> list[str]:
    """The queries that a cell has."""
    asked = [found for found in code(cell) if found.startswith(("{", "["))]
    return [one if _is_query(one) else f"{{:from :* :where {one} :limit 1000 :total true}}" for one in asked]


def _is_query(text: str) -> bool:
    return text.startswith("{") and not text.startswith(("{:field", "{:and", "{:or", "{:not"))


@pytest.mark.parametrize(("path", "theirs", "ours"), SIDES, ids=[theirs for _, theirs, _ in SIDES])
def test_what_stands_beside_another_language_runs(path, theirs, ours, shop):
    found = ours_of(ours)
    assert found or code(ours)[0].startswith(ELSEWHERE), f"{named(path)}: {theirs}"
    for text in found:
        assert same_as_the_oracle(shop, text), text


def test_clogs_and_ours_are_the_same_query():
    asked = [(theirs, ours) for path, theirs, ours in SIDES if path.stem == "clogs"]
    assert {re.findall(r":operator :([\w-]+)", theirs)[0] for theirs, _ in asked} == set(CLOGS)
    for theirs, ours in asked:
        assert parse(ours_of(theirs)[0]) == parse(ours_of(ours)[0])


def test_every_operator_and_aggregate_stands_beside_another():
    text = "".join(path.read_text(encoding="utf-8") for path in COMING_FROM)
    missing = [
        name for name in (*OPERATORS, *AGGREGATES) if not re.search(rf"\[:{re.escape(name)}[ \]]", text)
    ]
    assert missing == []
    assert len(SIDES) > 100
