"""The fields of a stream, against a walk over all its records."""

from collections import Counter

import falcon.asgi
import falcon.testing
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.evaluate import matches
from dsl.parse import parse
from dsl.record import leaves
from server.engine import fields as engine_fields
from server.engine.asked import Asked
from server.engine.fields import Fields, Wanted, fields_query
from server.errors import install
from server.parameters import KnownParameters
from server.resources.fields import StreamFields
from server.turns import Turns
from storage.index import analyse
from storage.stop import Stop
from tests.support.stores import NOW_US, built_store

PATHS = ("level", "ms", "http.status", "tags", "message", "odd name", "when")
values = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        1,
        -2.5,
        200,
        2**40,
        "a",
        "b",
        "error",
        "2026-01-02",
        "",
        [],
        [1, "a", 1],
        ["b"],
        [None],
    ]
)
records = st.fixed_dictionaries(
    {"timestamp": st.integers(1_767_225_600 - 100, 1_767_225_600)},
    optional={"http": st.one_of(values, st.fixed_dictionaries({}, optional={"status": values}))}
    | {path: values for path in PATHS if path != "http.status"},
)
KINDS = {str: "string", bool: "boolean", int: "number", float: "number"}


def expected(records, path):
    """How many records have a field, its kinds, and its values."""
    find = leaves(path)
    kinds, counts, having = Counter(), Counter(), 0
    for record in records:
        found = find(record)
        having += bool(found)
        kinds.update({KINDS[type(leaf)] for leaf in found})
        counts.update({(type(leaf) is bool, leaf) for leaf in found})
    return having, dict(kinds), counts


@settings(max_examples=80)
@given(
    st.lists(st.lists(records, min_size=1, max_size=8), min_size=1, max_size=3),
    st.sampled_from([None, '[:= :level "error"]', "[:exists :ms]", "[:>= :http.status 100]"]),
    st.sampled_from([None, "60s", "1s"]),
)
def test_fields_are_those_of_the_records(batches, where, last):
    with built_store([("app", batch) for batch in batches], segment_bytes_max=300) as built:
        query = fields_query("app", {"where": where, "last": last})
        found = Fields(built.engine).of("app", query, Wanted(values=50), Asked())
        low = NOW_US - {None: 10**15, "60s": 60_000_000, "1s": 1_000_000}[last]
        high = NOW_US + 1 if last is None else NOW_US
        holds = matches(query.where, analyse, NOW_US)
        meant = [one for one in built.records if low <= one.timestamp_us < high and holds(one)]
    assert found["records"] == len(meant)
    assert found["complete"]
    by_name = {one["name"]: one for one in found["fields"]}
    assert len(by_name) == len(found["fields"])
    assert set(by_name) == {
        path for path in (*PATHS, "http", "timestamp") if meant and expected(meant, path)[0]
    }
    for name, one in by_name.items():
        if name == "timestamp":
            continue
        having, kinds, counts = expected(meant, name)
        assert (one["records"], one["types"]) == (having, kinds)
        assert one["type"] == (next(iter(kinds)) if len(kinds) == 1 else "mixed")
        if name == "message":
            assert one["values"] is None
            continue
        assert {
            (type(each["value"]) is bool, each["value"]): each["records"] for each in one["values"]
        } == counts
        assert one["distinct"] == len(counts)


def test_what_has_too_many_values_is_told_without_them(monkeypatch):
    monkeypatch.setattr(engine_fields, "LISTED_STRINGS_MAX", 20)
    monkeypatch.setattr(engine_fields, "PROBED_NUMBERS_MAX", 20)
    rows = [{"id": f"id-{n}", "ms": n / 2, "level": "info"} for n in range(100)]
    with built_store([("app", rows)]) as built:
        found = Fields(built.engine).of("app", fields_query("app", {}), Wanted(), Asked())
    by_name = {one["name"]: one for one in found["fields"]}
    assert (by_name["id"]["values"], by_name["id"]["distinct"]) == (None, None)
    assert (by_name["ms"]["values"], by_name["ms"]["min"], by_name["ms"]["max"]) == (None, 0, 49.5)
    assert by_name["level"]["values"] == [{"value": "info", "records": 100}]


def test_what_there_was_no_time_for_is_named_without_numbers():
    with built_store([("app", [{"a": 1, "b": 2}])]) as built:
        ticks = iter(range(10_000))
        asked = Asked(stop=Stop(lambda: float(next(ticks))))
        found = Fields(built.engine).of("app", fields_query("app", {"timeout": "8s"}), Wanted(), asked)
    assert not found["complete"]
    assert [warning["code"] for warning in found["warnings"]] == ["out-of-time"]
    assert found["fields"][-1] == {"name": "b", "type": "number", "records": None}


def test_a_condition_that_the_index_only_narrows_is_said():
    with built_store([("app", [{"message": "GET /a/b"}, {"message": "a b"}])]) as built:
        query = fields_query("app", {"where": '[:contains :message "/a/"]'})
        found = Fields(built.engine).of("app", query, Wanted(), Asked())
    assert [warning["code"] for warning in found["warnings"]] == ["counts-at-most"]


@pytest.fixture(name="client")
def client_of_a_store():
    with built_store(
        [("app", [{"level": "info", "ms": 5}, {"level": "error"}]), ("app", [{"odd\\name": 1}])]
    ) as built:
        app = falcon.asgi.App()  # none that watches: this client hangs up as soon as it has asked
        install(app)
        app.add_middleware(KnownParameters())
        turns = Turns(1, 1, 1)
        app.add_route("/v1/streams/{stream}/fields", StreamFields(Fields(built.engine), turns))
        yield falcon.testing.TestClient(app)
        turns.close()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/streams/nowhere/fields", 404, "unknown-stream"),
        ("/v1/streams/a%20b/fields", 400, "bad-stream-name"),
        ("/v1/streams/app/fields?last=5", 400, "bad-duration"),
        ("/v1/streams/app/fields?last=1h&since=now-2h", 400, "key-not-here"),
        ("/v1/streams/app/fields?since=yesterday", 400, "bad-time"),
        ("/v1/streams/app/fields?where=%5B:betwen%20:a%201%202%5D", 400, "unknown-operator"),
        ("/v1/streams/app/fields?where=%5B:=%20:a%201%5D%7D%20%7B", 400, "stray-bracket"),
        ("/v1/streams/app/fields?where=%5B:=%20:a%201%5D%20:limit%201", 400, "more-than-one-form"),
        ("/v1/streams/app/fields?values=many", 400, "bad-parameter"),
        ("/v1/streams/app/fields?value=1", 400, "unknown-parameter"),
        ("/v1/streams/app/fields?" + "name=a&" * 101, 400, "bad-parameter"),
    ],
)
def test_mistakes_are_said(client, path, status, code):
    answer = client.simulate_get(path)
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (status, code)


def test_only_some_fields(client):
    answer = client.simulate_get("/v1/streams/app/fields?name=level&name=nothing&values=1").json
    assert answer["fields"] == [
        {
            "name": "level",
            "type": "string",
            "records": 2,
            "types": {"string": 2},
            "values": [{"value": "error", "records": 1}],
            "distinct": None,
        }
    ]


def test_names_that_the_index_does_not_keep_are_counted(client):
    answer = client.simulate_get("/v1/streams/app/fields").json
    assert [warning["code"] for warning in answer["warnings"]] == ["fields-not-listed"]
    assert [one["name"] for one in answer["fields"]] == ["timestamp", "level", "ms"]


def test_the_answer_comes_as_edn_too(client):
    answer = client.simulate_get("/v1/streams/app/fields?name=ms", headers={"Accept": "application/edn"})
    assert answer.text.startswith('{:stream "app"')


def test_what_is_asked_is_a_query_of_its_own():
    text = '{:from [:app], :time {:last "1h"}, :where [:exists :a]}'
    assert fields_query("app", {"last": "1h", "where": "[:exists :a] ; that is all"}) == parse(text)
