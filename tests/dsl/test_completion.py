"""What is offered at a cursor, shown as `|`; and that no place in any text is one where completing fails."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.aggregates import AGGREGATES
from dsl.analyze import QUERY_KEYS
from dsl.completion import QUERY_KEYS_TOLD, TIME_KEYS_TOLD, complete
from dsl.keys import KEYS
from dsl.operators import OPERATORS
from dsl.parse import parse
from tests.docs.blocks import PAGES, blocks

FIELDS = {
    "timestamp": "time",
    "level": "string",
    "latency_ms": "number",
    "http.status": "number",
    "odd name": "string",
}


class Known:
    """A store that knows two streams."""

    def streams(self):
        return ["app", "web"]

    def fields(self, streams):
        return FIELDS.items() if set(streams) & {"app", "main", "*"} else [("other", "string")]

    def values(self, streams, field):
        return {"level": [("error", 7), ("info", 3)], "http.status": [(200, 9), (500, 1)]}.get(field, [])


def offered(marked, syntax="edn"):
    cursor = marked.index("|")
    found = complete(marked.replace("|", "", 1), cursor, Known(), syntax)
    return found, [one.insert for one in found.candidates]


TABLE = [
    ("|", "query", ['{:where [:= :level "error"]}']),
    ("{:wh|", "query-key", [":where"]),
    ("{:from :app :li|mit 5}", "query-key", [":limit"]),
    ("{:from :app :fr|", "query-key", []),
    ("{:from |", "stream", [":app", ":web", ":*"]),
    ("{:from [:app |", "stream", [":web"]),
    ("{:time {|", "time-key", [":last", ":since", ":until", ":around", ":within"]),
    ('{:time {:last "15|', "duration", ['"15ms"', '"15s"', '"15m"', '"15h"', '"15d"', '"15w"']),
    ('{:time {:since "now-1d|', "moment", ['"now-1d"', '"now-1d/d"']),
    (
        '{:time {:since "now-90|',
        "moment",
        ['"now-90ms"', '"now-90s"', '"now-90m"', '"now-90h"', '"now-90d"', '"now-90w"'],
    ),
    ("{:where [:betw|", "operator", [":between"]),
    ("{:where [:and [:= :level :error] [:betw|]]}", "operator", [":between"]),
    ("{:where [:and [:= :le|", "field", [":level"]),
    ("{:where [:and [:= :status|", "field", [":http.status"]),
    ("{:from :web :where [:= |", "field", [":other"]),
    ("{:where [:= |] :from :web}", "field", [":other"]),
    ("{:where [:= odd|", "field", ['"odd name"']),
    ('{:where [:= :level "er|', "value", ['"error"']),
    ('{:where [:= :level "er|ror"]}', "value", ['"error"']),
    ("{:where [:= :level |", "value", ['"error"', '"info"']),
    ("{:where [:= :http.status 5|", "value", ["500"]),
    ('{:where [:in :level #{"error" |', "value", ['"info"']),
    ("{:where {:level |", "value", ['"error"', '"info"']),
    ("{:where {:le|", "field", [":level"]),
    ("{:where {:field :level :operator :st|", "map-operator", [":starts-with"]),
    ("{:where {:field :level :operator :eq :value |", "value", ['"error"', '"info"']),
    ("{:where {:and [[:= :le|", "field", [":level"]),
    ("{:where [:not |", "predicate", ['[:= :level "error"]']),
    ('{:where [:match :message "er|', "value", []),
    ('{:where [:phrase :message "a b" {|', "option", [":slop"]),
    (
        "{:where [:contains |",
        "field",
        [":timestamp", ":level", ":latency_ms", ":http.status", '"odd name"', ":*"],
    ),
    ("{:where [:> :timestamp |", "value", None),
    ("{:select [:la|", "field", [":latency_ms"]),
    ("{:group-by [:lev|", "group", [":level"]),
    ("{:group-by [[:bu|", "key-kind", [":bucket"]),
    ('{:group-by [[:bucket :timestamp "5|', "duration", None),
    ("{:group-by [[:top :lev|", "field", [":level"]),
    ("{:aggregate {:p95 [:perc|", "aggregate-name", [":percentile"]),
    ("{:aggregate {:p95 [:percentile :lat|", "measured", [":latency_ms"]),
    ("{:aggregate {:errors [:count [:= :level |", "value", ['"error"', '"info"']),
    ("{:group-by [:level] :aggregate {:n [:count]} :having [:> |", "field", [":level", ":n"]),
    ("{:group-by [:level] :aggregate {:n [:count]} :order-by [[|", "order-name", [":level", ":n"]),
    ("{:order-by [[:timestamp :d|", "direction", [":desc"]),
    ("{:total t|", "boolean", ["true"]),
    ("{:on-timeout |", "on-timeout", [":fail", ":partial"]),
    ("{:where [:and [:= :a ?service] [:= :zzz |", "value", ["?service"]),
    ("{:where [:= :level |] ; here", "value", ['"error"', '"info"']),
    ("{:where ; nothing belongs in a com|ment", "anything", []),
    ("{:limit |", "number", []),
    ("{:frob |", "anything", []),
    ("[:betw|", "operator", [":between"]),
    ("}}]] {:wh|", "query-key", [":where"]),
]

JSON_TABLE = [
    ("|", "query", ['{"where": ["=", "level", "error"]}']),
    ('{"wh|', "query-key", ['"where"']),
    ('{"wh|": 5}', "query-key", ['"where"']),
    ('{"from": "a|', "stream", ['"app"']),
    ('{"time": {"last": "15|"}}', "duration", None),
    ('{"where": ["betw|"', "operator", ['"between"']),
    ('{"where": ["=", "lev|', "field", ['"level"']),
    ('{"where": ["=", "level", "|', "value", ['"error"', '"info"']),
    ('{"where": {"level":|', "value", ['"error"', '"info"']),
    ('{"where": ["=", "x", {"param": "service"}], "select": ["odd|', "field", ['"odd name"']),
    ('{"order-by": [["timestamp", "d|', "direction", ['"desc"']),
    ('{"aggregate": {"n": ["cou|', "aggregate-name", ['"count"', '"count-distinct"']),
]


@pytest.mark.parametrize(("marked", "kind", "wanted"), TABLE)
def test_what_is_offered_in_edn(marked, kind, wanted):
    found, inserts = offered(marked)
    assert found.expected == kind
    assert wanted is None or inserts == wanted
    assert wanted is not None or inserts


@pytest.mark.parametrize(("marked", "kind", "wanted"), JSON_TABLE)
def test_what_is_offered_in_json(marked, kind, wanted):
    found, inserts = offered(marked, "json")
    assert found.expected == kind
    assert wanted is None or inserts == wanted


@pytest.mark.parametrize(
    ("marked", "replaced"),
    [
        ("{:wh|ere [:= :a 1]}", ":where"),
        ("{:where [:= |]}", ""),
        ('{:where [:= :level "er|ror" ]}', '"error"'),
        ('{:where [:= :level "er|', '"er'),
        ("{:where [:= :le|]}", ":le"),
    ],
)
def test_what_is_replaced_is_the_word_at_the_cursor(marked, replaced):
    found, _ = offered(marked)
    assert marked.replace("|", "", 1)[found.start : found.end] == replaced


def test_every_operator_aggregate_and_group_key_is_offered_with_its_signature():
    for marked, registry in (("{:where [|", OPERATORS), ("{:aggregate {:n [|", AGGREGATES)):
        found, _ = offered(marked)
        told = {one.name: (one.detail, one.summary) for one in found.candidates}
        assert told == {name: (one.signature, one.summary) for name, one in registry.items()}
    found, _ = offered("{:group-by [[|")
    assert {one.name for one in found.candidates} == {
        name for name, one in KEYS.items() if one.signature.startswith("[")
    }


def test_every_key_of_a_query_is_told():
    assert set(QUERY_KEYS_TOLD) == set(QUERY_KEYS)
    for name, (example, _) in QUERY_KEYS_TOLD.items():
        if name not in {"from", "after", "having", "exact", "on-timeout"}:
            parse(f"{{:{name} {example}}}")
    for name, (example, _) in TIME_KEYS_TOLD.items():
        beside = {"around": ' :within "5m"', "within": ' :around "now"'}.get(name, "")
        parse(f"{{:time {{:{name} {example}{beside}}}}}")


TEXTS = sorted({block.text for path in PAGES for block in blocks(path, "clojure")}, key=len)
JSON_TEXTS = sorted({block.text for path in PAGES for block in blocks(path, "json")}, key=len)


def insist(text, cursor, syntax):
    found = complete(text, cursor, Known(), syntax)
    assert 0 <= found.start <= found.end <= len(text)
    assert found.start <= cursor
    if found.candidates:
        assert cursor <= found.end


@pytest.mark.parametrize(("texts", "syntax"), [(TEXTS, "edn"), (JSON_TEXTS, "json")])
def test_at_every_place_of_what_is_documented_something_is_said(texts, syntax):
    assert len(texts) > 5
    for text in texts:
        step = max(len(text) // 150, 1)
        for cursor in range(0, min(len(text), 3000) + 1, step):
            insist(text[:cursor], cursor, syntax)
            insist(text, cursor, syntax)


@settings(max_examples=300)
@given(
    st.text(st.sampled_from('{}[]()#:"\\;?, \nabc=1-/'), max_size=40),
    st.integers(-5, 50),
    st.sampled_from(["edn", "json"]),
)
def test_no_text_is_too_broken(text, cursor, syntax):
    found = complete(text, cursor, Known(), syntax)
    assert 0 <= found.start <= found.end <= len(text)


def test_what_is_put_in_can_be_read():
    for marked, kind, _ in TABLE:
        if kind in {"operator", "field", "value", "duration", "moment", "direction", "boolean"}:
            found, inserts = offered(marked)
            for insert in inserts:
                assert re.fullmatch(r':\S+|"[^"]*"|\d+|#inst "[^"]*"|\?\w+|true|false', insert), found


def test_deep_texts_cost_no_more_than_their_length():
    text = "[:and " * 20_000
    assert complete(text, len(text), Known()).expected == "predicate"
