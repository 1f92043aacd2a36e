"""A query that takes too long is given up, by name, and the next one works."""

import orjson
import pytest

from storage.errors import QueryTimeout
from tests.support.stores import built_store

SLOW = [
    "{:group-by [:message]}",
    '{:where [:contains :message "ell"] :aggregate {:n [:count]}}',
    "{:order-by [[:k :desc] [:n :asc]]}",
    "{:limit 10}",
]


@pytest.mark.parametrize("text", SLOW)
def test_a_query_without_time_left_is_given_up(text):
    records = [{"n": n, "k": n % 3, "message": f"hello {n}"} for n in range(50)]
    with built_store([("main", records)]) as store:
        want = store.engine.query(text).rows
        store.engine._timeout_s = -1.0
        with pytest.raises(QueryTimeout, match="longer than it may"):
            store.engine.query(text)
        store.engine._timeout_s = 60.0
        assert [orjson.loads(row) for row in store.engine.query(text).rows] == [
            orjson.loads(row) for row in want
        ]


def test_a_mistake_that_shows_only_at_run_time_has_its_place():
    from dsl.errors import QueryError
    from dsl.limits import Limits

    text = "{:from :main\n :group-by [:n]}"
    with built_store([("main", [{"n": n} for n in range(5)])]) as store:
        store.engine._limits = Limits(groups_max=3)
        with pytest.raises(QueryError) as caught:
            store.engine.query(text)
    assert " 2 |  :group-by [:n]}" in caught.value.render()
