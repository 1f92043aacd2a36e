"""An aggregate is one file: the engine asks the index what it says, whatever it is called."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from dsl.aggregates.base import FieldAggregate, tidy
from dsl.limits import DEFAULT
from dsl.operators import ANY_PREDICATE
from server.engine.metrics import metric_of, questions_of


class Spread(FieldAggregate):
    """The greatest number less the least, which no aggregate of ours is."""

    op: Literal["spread"] = "spread"

    def native(self, column: str) -> dict[str, Any]:
        """The index's statistics."""
        return {"stats": {"field": column}}

    def read(self, result: dict[str, Any]) -> float | None:
        """Greatest less least."""
        return None if result["min"] is None else tidy(result["max"] - result["min"])


class Least(FieldAggregate):
    """The least number, under another name than the index's."""

    op: Literal["least"] = "least"

    def native(self, column: str) -> dict[str, Any]:
        """The index's least."""
        return {"min": {"field": column}}

    def read(self, result: dict[str, Any]) -> float | None:
        """The least."""
        return tidy(result["value"])


for _kind in (Spread, Least):
    _kind.model_rebuild(_types_namespace={"AnyPredicate": ANY_PREDICATE})

STATS = {"count": 2, "min": 3.0, "max": 10.0, "sum": 13.0, "avg": 6.5}


@pytest.mark.parametrize(
    ("call", "answer", "want"), [(Spread, STATS, 7), (Least, STATS, 3), (Least, {"value": 3.0}, 3)]
)
def test_what_it_asks_for_is_what_it_reads(call: Any, answer: dict[str, Any], want: int) -> None:
    metric = metric_of(call(field="n"))
    assert metric.asks
    assert metric.value(answer, 2, DEFAULT, exact=False) == want


def test_one_question_does_for_those_that_statistics_answer() -> None:
    metrics = {
        0: metric_of(Least(field="n")),
        1: metric_of(Least(field="n")),
        2: metric_of(Spread(field="n")),
    }
    asked = questions_of(metrics, exact=False)
    assert set(asked) == {"0", "2"}
