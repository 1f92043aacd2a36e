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

from dsl.parse import parse
from tests.docs.blocks import FENCE, ROOT
from tests.docs.shop import ask, open_shop, same_as_the_oracle

DOCS = ROOT / "docs"
COOKBOOK = DOCS / "cookbook.md"
ANSWERED = [COOKBOOK]
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
