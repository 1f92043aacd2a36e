"""A `*` that is no wildcard where it stands is warned of, and no other is."""

from __future__ import annotations

import pytest

from dsl.parse import parse
from server.engine.stars import stars_in
from tests.support.stores import built_store


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ('[:match :message "timeo*"]', 'for words that begin so write [:phrase :message "timeo*"]'),
        (
            '[:not [:match-any :message "a b*"]]',
            'a word that goes on stands at the end of a [:phrase :message "…"]',
        ),
        (
            '[:and [:phrase :message "wait* for"]]',
            'a word that goes on stands at the end of a [:phrase :message "…"]',
        ),
        ('[:fuzzy :message "*ank"]', 'a word that goes on stands at the end of a [:phrase :message "…"]'),
        ('{:or [[:starts-with :path "/api/*"]]}', "leave it out; within a text :glob has it"),
    ],
)
def test_a_star_in_vain_is_warned_of(where: str, hint: str) -> None:
    ((warned, (start, end)),) = stars_in(parse(f"{{:where {where}}}"))
    assert warned["code"] == "no-wildcard"
    assert warned["hint"].startswith(hint)
    assert 0 < start < end


@pytest.mark.parametrize(
    "where",
    [
        '[:phrase :message "timeo*"]',
        '[:match :message "2 * 3"]',
        '[:match :message "*** failed"]',
        '[:contains :message "count(*)"]',
        '[:starts-with :path "*"]',
        '[:glob :path "/api/*"]',
        '[:= :path "/api/*"]',
    ],
)
def test_other_stars_are_what_they_are(where: str) -> None:
    assert list(stars_in(parse(f"{{:where {where}}}"))) == []


def test_the_answer_has_the_warning() -> None:
    with built_store([("main", [{"message": "timeout"}])]) as store:
        answer = store.query('{:where [:match :message "timeo*"]}', syntax="edn")
        assert [warning["code"] for warning in answer.warnings] == ["no-wildcard"]
        assert store.query('{:where [:phrase :message "timeo*"]}', syntax="edn").warnings == []
