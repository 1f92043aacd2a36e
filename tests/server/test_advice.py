"""Warnings about fields that no record has and kinds that clash, and that there are none where nothing is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.mentions import mentions_of
from dsl.parse import parse
from tests.support.stores import built_store

ROWS = [
    {"level": "info", "message": "hello", "latency_ms": 5, "http": {"status": 200, "path": "/a"}, "ok": True},
    {"level": "error", "message": "no", "latency_ms": 7.5, "tags": ["a", 1], "port": "8080"},
]


@pytest.fixture(name="store", scope="module")
def store_of_rows():
    with built_store(
        [("app", ROWS), ("web", [{"level": "info", "user": "u", "latency_ms": "slow"}])]
    ) as built:
        yield built


WARNED = [
    (
        "{:from :app :where [:> :latncy_ms 5]}",
        "unknown-field: no record of app has a field :latncy_ms; did you mean :latency_ms?",
    ),
    (
        "{:from :app :where [:and [:= :status 200] [:not [:exists :status]]]}",
        "unknown-field: no record of app has a field :status; did you mean :http.status?",
    ),
    (
        "{:from :app :where {:xyzzy 1}}",
        "unknown-field: no record of app has a field :xyzzy; klomp fields lists those that there are",
    ),
    (
        '{:from [:app :web] :where [:match :messages "x"]}',
        "unknown-field: no record of 2 streams has a field :messages; did you mean :message?",
    ),
    (
        "{:from :app :select [:levle]}",
        "unknown-field: no record of app has a field :levle; did you mean :level?",
    ),
    (
        "{:from :app :order-by [[:levle :desc]]}",
        "unknown-field: no record of app has a field :levle; did you mean :level?",
    ),
    (
        "{:from :app :group-by [:levle]}",
        "unknown-field: no record of app has a field :levle; did you mean :level?",
    ),
    (
        "{:from :app :aggregate {:n [:avg :latency]}}",
        "unknown-field: no record of app has a field :latency; did you mean :latency_ms?",
    ),
    (
        '{:from :app :aggregate {:n [:count [:= :levle "error"]]}}',
        "unknown-field: no record of app has a field :levle; did you mean :level?",
    ),
    (
        '{:from :app :where [:> :latency_ms "abc"]}',
        (
            "type-clash: :> finds strings, and :latency_ms has only numbers; "
            "klomp fields --name latency_ms shows what is in it"
        ),
    ),
    (
        '{:from :app :where [:= :http.status "200"]}',
        "type-clash: := finds strings, and :http.status has only numbers; write 200 without quotes",
    ),
    (
        "{:from :app :where [:= :port 8080]}",
        'type-clash: := finds numbers, and :port has only strings; write "8080" in quotes',
    ),
    (
        '{:from :app :where [:= :ok "true"]}',
        "type-clash: := finds strings, and :ok has only booleans; write true without quotes",
    ),
    (
        '{:from :app :where [:contains :http.status "20"]}',
        (
            "type-clash: :contains finds strings, and :http.status has only numbers; "
            "klomp fields --name http.status shows what is in it"
        ),
    ),
    (
        "{:from :app :where [:= :http 200]}",
        "type-clash: := finds numbers, and :http is a map; name a field in it, such as :http.path",
    ),
    (
        '{:from :app :where [:in :latency_ms #{"a" true}]}',
        (
            "type-clash: :in finds booleans or strings, and :latency_ms has only numbers; "
            "klomp fields --name latency_ms shows what is in it"
        ),
    ),
    (
        "{:from :app :aggregate {:n [:percentile :level 95]}}",
        (
            "type-clash: :percentile finds numbers, and :level has only strings; "
            "klomp fields --name level shows what is in it"
        ),
    ),
    (
        "{:from :app :group-by [[:bucket :level 10]]}",
        (
            "type-clash: :group-by finds numbers, and :level has only strings; "
            "klomp fields --name level shows what is in it"
        ),
    ),
]


def warnings_of(store, text):
    answer = store.engine.query(text)
    return [f"{one['code']}: {one['message']}; {one['hint']}" for one in answer.warnings]


@pytest.mark.parametrize(("text", "warned"), WARNED)
def test_a_query_that_finds_nothing_is_told_why(store, text, warned):
    assert warnings_of(store, text) == [warned]


@pytest.mark.parametrize(
    "where",
    [
        "[:> :latency_ms 5]",
        "[:exists :http]",
        '[:match :* "hello"]',
        '[:match :message "hello"]',
        "[:= :message 5]",
        '[:= :tags "a"]',
        "[:= :tags 1]",
        '[:in :latency_ms #{5 "a"}]',
        "[:between :latency_ms nil 9]",
        '[:> :timestamp "now-1h"]',
        "[:and [:= :_number 1] [:= :_stream :app]]",
        '[:exists "odd\\\\name"]',
        '[:= :port #inst "2026-01-01"]',
    ],
)
def test_what_is_right_is_not_warned_of(store, where):
    assert warnings_of(store, f"{{:from :app :where {where}}}") == []


def test_names_of_groups_are_no_fields(store):
    text = "{:from :app :group-by [:level] :aggregate {:n [:count]} :having [:> :n 0] :order-by [[:n :desc]]}"
    assert warnings_of(store, text) == []


def test_a_field_of_another_stream_is_none_of_this_one(store):
    assert [one["code"] for one in store.engine.query("{:from :app :select [:user]}").warnings] == [
        "unknown-field"
    ]
    assert not store.engine.query("{:from [:app :web] :select [:user]}").warnings


def test_where_nothing_is_yet_nothing_is_warned_of():
    with built_store([("app", [])]) as built:
        (built.root / "streams" / "app").mkdir(parents=True, exist_ok=True)
        assert not built.engine.query("{:from :app :where [:= :a 1]}").warnings


def test_what_no_record_of_the_time_has_may_be_in_others(store):
    assert not store.engine.query('{:from :app :time {:until "1990-01-01"} :where [:= :level "x"]}').warnings


def test_a_field_that_came_with_the_last_record_is_known():
    with built_store([("app", [{"a": 1}]), ("app", [{"b": 2}])], segment_bytes_max=100) as built:
        assert not built.engine.query("{:from :app :where [:= :a 1]}").warnings
        assert not built.engine.query("{:from :app :where [:= :b 1]}").warnings
        assert built.engine.query("{:from :app :where [:= :c 1]}").warnings


def test_many_mistakes_are_bounded(store):
    parts = " ".join(f"[:= :nothing{n} 1]" for n in range(500))
    assert len(warnings_of(store, f"{{:from :app :where [:or {parts}]}}")) == 16


names = st.sampled_from(["a", "b.c", "b", "d"])
scalars = st.sampled_from([1, 2.5, "x", True])


@settings(max_examples=60)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b.c", "d"]), scalars, min_size=1), min_size=1, max_size=4
    ),
    names,
    scalars,
)
def test_whoever_is_warned_finds_nothing(rows, name, value):
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
    with built_store([("app", rows)]) as built:
        answer = built.engine.query(f"{{:from :app :where [:= :{name} {shown}]}}")
        exists = built.engine.query(f"{{:from :app :where [:exists :{name}]}}")
    if answer.warnings:
        assert not answer.records
    assert bool(exists.warnings) == (not exists.records)


def test_each_place_where_a_field_can_stand_is_looked_at():
    text = """{:where [:or [:= :f1 1] [:between :f2 1 2] [:in :f3 #{1}] [:not [:exists :f4]] [:match :f5 "x"] {:f6 1}]
               :group-by [:f7 [:top :f8 2] [:ranges :f9 [1 2]]]
               :aggregate {:a [:sum :f10 [:missing :f11]] :b [:count [:regex :f12 "x"]]}}"""
    assert {one.field for one in mentions_of(parse(text))} == {f"f{n}" for n in range(1, 13)}
