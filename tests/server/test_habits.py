"""What is right and meant otherwise in other languages is warned of, and nothing else is."""

from __future__ import annotations

import pytest

from dsl.parse import parse
from server.engine.habits import habits_in
from tests.support.stores import built_store


@pytest.mark.parametrize(
    ("query", "code", "hint"),
    [
        (
            "{:aggregate {:p [:percentile :ms 0.95]}}",
            "low-percent",
            "for 95 percent write [:percentile :ms 95]",
        ),
        (
            "{:aggregate {:p [:percentile :ms 0.999 [:exists :ms]]}}",
            "low-percent",
            "for 99.9 percent write [:percentile :ms 99.9]",
        ),
        ('{:where [:contains :message "%timeout%"]}', "no-wildcard", 'write [:contains :message "timeout"]'),
        ('{:where [:not [:glob :* "%a b%"]]}', "no-wildcard", 'write [:contains :* "a b"]'),
    ],
)
def test_a_habit_is_warned_of_with_what_to_write(query: str, code: str, hint: str) -> None:
    ((warned, (start, end)),) = habits_in(parse(query))
    assert (warned["code"], warned["hint"]) == (code, hint)
    assert 0 < start < end


@pytest.mark.parametrize(
    "query",
    [
        "{:aggregate {:p [:percentile :ms 0] :q [:percentile :ms 1] :r [:percentile :ms 99.9] :m [:median :ms]}}",
        '{:where [:contains :message "100%"]}',
        '{:where [:contains :message "%%"]}',
        '{:where [:= :message "%a%"]}',
    ],
)
def test_nothing_else_is(query: str) -> None:
    assert list(habits_in(parse(query))) == []


def test_the_answer_has_the_warning() -> None:
    with built_store([("main", [{"ms": 1}, {"ms": 2}])]) as store:
        answer = store.query("{:aggregate {:p [:percentile :ms 0.95]} :exact true}", syntax="edn")
        assert [warning["code"] for warning in answer.warnings] == ["low-percent"]
