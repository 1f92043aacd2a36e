"""A record by its address, and those beside it, against the obvious way to find them."""

import falcon.asgi
import falcon.testing
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.asked import Asked
from server.engine.records import BESIDE_MAX, Records, Wanted
from server.errors import RequestError, install
from server.parameters import KnownParameters
from server.resources.records import Context, OneRecord
from server.turns import Turns
from storage.catalog import SegmentEntry
from storage.drop import drop
from storage.paths import DataDirectory
from tests.support.stores import built_store

records = st.fixed_dictionaries(
    {"timestamp": st.integers(1_767_225_600, 1_767_225_603)},
    optional={
        "service": st.sampled_from(["a", "b", 1, 1.0, True, ["a", "b"], [], None]),
        "host": st.sampled_from(["x", "y"]),
        "message": st.sampled_from(["hello", "hello there"]),
    },
)


def values(fields, name):
    found = fields.get(name)
    leaves = found if isinstance(found, list) else [found]
    return {(type(leaf) is bool, leaf) for leaf in leaves if leaf is not None}


def row(record):
    return record.stream, record.number


@settings(max_examples=40)
@given(
    st.lists(st.lists(records, min_size=1, max_size=6), min_size=1, max_size=4),
    st.data(),
    st.integers(0, 6),
    st.integers(0, 6),
    st.lists(st.sampled_from(["service", "host", "message", "nothing"]), unique=True, max_size=2),
)
def test_what_stands_beside_a_record(batches, data, before, after, same):
    with built_store(
        [("app", batch) for batch in batches] + [("web", batches[0])], segment_bytes_max=300
    ) as built:
        ours = sorted(
            (record for record in built.records if record.stream == "app"),
            key=lambda record: (record.timestamp_us, record.number),
        )
        here = data.draw(st.sampled_from(ours))
        alike = [
            record
            for record in ours
            if record is here
            or all(
                (mine & theirs) if (mine := values(here.fields, name)) else not theirs
                for name in same
                for theirs in [values(record.fields, name)]
            )
        ]
        at = alike.index(here)
        found = Records(built.engine, built.store).beside(
            "app", here.number, Wanted(before, after, tuple(same)), Asked()
        )
        assert found["complete"]
        assert [one["_number"] for one in found["before"]] == [
            record.number for record in alike[max(at - before, 0) : at]
        ]
        assert [one["_number"] for one in found["after"]] == [
            record.number for record in alike[at + 1 : at + 1 + after]
        ]
        assert found["record"] == orjson.loads(
            built.query(f'{{"from": "app", "where": ["=", "_number", {here.number}]}}').rows[0]
        )
        assert found["record"] == Records(built.engine, built.store).one("app", here.number, Asked())


@pytest.fixture(scope="module")
def client():
    batches = [
        ("app", [{"n": n, "service": "ab"[n % 2], "timestamp": 1767225600 + n} for n in at])
        for at in (
            range(10),
            range(10, 20),
            range(20, 30),
        )
    ]
    with built_store(batches, segment_bytes_max=100) as built:
        directory = DataDirectory(built.root).stream("app")

        def first(catalog) -> list[SegmentEntry]:
            return [catalog.segments[0]]

        assert drop(directory, first)
        turns = Turns(2, 10, 5.0)
        found = Records(built.engine, built.store)
        app = falcon.asgi.App()  # none that watches: this client hangs up as soon as it has asked
        install(app)
        app.add_middleware(KnownParameters())
        app.add_route("/{stream}/{number}", OneRecord(found, turns))
        app.add_route("/{stream}/{number}/context", Context(found, turns))
        yield falcon.testing.TestClient(app)
        turns.close()


def test_over_http(client):
    answer = client.simulate_get("/app/15/context?before=2&after=1&same=service")
    assert answer.status_code == 200
    assert [one["n"] for one in answer.json["before"]] == [10, 12]
    assert (answer.json["record"]["n"], answer.json["same"]) == (14, {"service": ["a"]})
    assert [one["n"] for one in answer.json["after"]] == [16]
    assert client.simulate_get("/app/15").json["n"] == 14
    assert len(client.simulate_get("/app/15/context").json["before"]) == 4  # the first ten are dropped
    assert client.simulate_get("/app/11/context?before=0&after=0").json["before"] == []


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/app/3", 404, "record-gone", "record 3 of app is not there any more"),
        ("/app/3/context", 404, "record-gone", "record 3 of app is not there any more"),
        ("/app/31", 404, "unknown-record", "no record 31 of app can be found yet: the newest there is 30"),
        ("/app/9223372036854775807", 404, "unknown-record", "no record 9223372036854775807 of app"),
        ("/app/9223372036854775808", 400, "bad-number", "no number of a record"),
        ("/app/0", 400, "bad-number", "'0' is no number of a record"),
        ("/app/-1", 400, "bad-number", "no number"),
        ("/app/one", 400, "bad-number", "'one' is no number of a record"),
        ("/app/\u0663", 400, "bad-number", "no number"),
        ("/none/1", 404, "unknown-stream", "no stream 'none'"),
        ("/a b/1", 400, "bad-stream-name", "a b"),
        (f"/app/15/context?before={BESIDE_MAX + 1}", 400, "bad-parameter", "before is '1001'"),
        ("/app/15/context?after=-1", 400, "bad-parameter", "after is '-1'"),
        ("/app/15/context?befor=1", 400, "unknown-parameter", "no parameter 'befor'"),
        ("/app/15/context?same=_number", 400, "bad-parameter", "same has _number"),
        ("/app/15/context?same=" + ",".join("abcdefghi"), 400, "bad-parameter", "9 fields in same"),
        ("/app/15?before=1", 400, "unknown-parameter", "no parameter 'before'"),
    ],
)
def test_what_cannot_be_shown_is_said(client, path, status, code, message):
    answer = client.simulate_get(path)
    (error,) = answer.json["errors"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert message in error["message"]
    assert error["hint"]


def test_neighbours_too_large_for_memory_are_refused():
    from dsl.limits import Limits

    with built_store([("app", [{"message": "x" * 100}] * 20)]) as built:
        found = Records(built.engine, built.store, Limits(held_bytes_max=1000))
        with pytest.raises(RequestError, match="too large"):
            found.beside("app", 10, Wanted(9, 9), Asked())
        assert len(found.beside("app", 10, Wanted(2, 2), Asked())["before"]) == 2
