"""A word that few messages have narrows a pattern at once: nothing is counted to find out, and nothing is missed."""

from __future__ import annotations

import pytest

from storage.texts import TextQueries
from tests.support.stores import built_store

RARE = 3
RECORDS = [
    {"message": f"connection {'lost' if n < RARE else 'kept'} by peer{n} of zone-{n % 7}"} for n in range(400)
]


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        (r'[:regex :message "connection lost by p[a-z]+r"]', 0),
        (r'[:regex :message "connection kept by p[a-z]+r"]', 1),
        (r'[:regex :message "eer\\d+ of .*one-2"]', 1),
    ],
)
def test_only_words_that_are_not_rare_are_counted(
    monkeypatch: pytest.MonkeyPatch, where: str, counts: int
) -> None:
    counted: list[bool] = []
    are_few = TextQueries._are_few
    monkeypatch.setattr(
        TextQueries, "_are_few", lambda self, query: counted.append(True) or are_few(self, query)
    )
    text = f"{{:where {where} :limit 500 :total true}}"
    with built_store([("main", RECORDS)]) as store:
        answer = store.query(text, syntax="edn")
        assert len(counted) == counts
        if not counts:
            assert answer.total == RARE
        assert answer.total == store.oracle(text, syntax="edn").total
