"""An order by a number reads few records, and the pages are those of a sort of all."""

import random

import orjson
import pytest

from server.engine import matching
from tests.support.stores import built_store

RNG = random.Random(7)


def value(n):
    kind = n % 11
    if kind == 0:
        return {}
    if kind == 1:
        return {"v": [RNG.randrange(100), RNG.lognormvariate(3, 2)]}
    if kind == 2:
        return {"v": -RNG.randrange(50)}
    return {"v": RNG.choice([RNG.lognormvariate(3, 2), RNG.randrange(1000), 5])}


@pytest.fixture(scope="module")
def built():
    records = [{"timestamp": 1_000_000_000 + n, "n": n, "k": n % 3, **value(n)} for n in range(3000)]
    with built_store([("main", records[:2000]), ("main", records[2000:])]) as store:
        yield store


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("where", ["", ":where [:= :k 1]", ":where [:not [:exists :v]]"])
def test_pages_are_those_of_a_sort_of_all(built, direction, where):
    text = f"{{:order-by [[:v :{direction}]] :limit 37 {where}}}"
    whole = built.oracle(f"{{:order-by [[:v :{direction}]] :limit 10000 {where}}}", syntax="edn").rows
    seen, after = [], None
    for _ in range(12):
        answer = built.engine.query(text, after=after)
        seen += [orjson.loads(row) for row in answer.rows]
        after = answer.cursor
        if after is None:
            break
    assert [row["n"] for row in seen] == [row["n"] for row in whole[: len(seen)]]


def test_few_records_are_read(built, monkeypatch):
    read = []
    real = matching.Record
    monkeypatch.setattr(matching, "Record", lambda *fields: read.append(1) or real(*fields))
    built.engine.query("{:order-by [[:v :desc]] :limit 20}")
    assert 20 < len(read) < 600
