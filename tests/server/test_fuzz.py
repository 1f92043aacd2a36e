"""Whatever is sent as a query, text or bytes, is answered or has its mistakes named, at a cost linear in it."""

import sys

import falcon.asgi
import falcon.testing
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dsl.compile import compile_predicate
from dsl.errors import QueryError
from dsl.parse import parse
from dsl.printer import to_edn, to_json
from server.errors import install
from server.parameters import KnownParameters
from server.resources.explain import Explain
from server.resources.query import Query
from server.turns import Turns
from storage.errors import UnknownStream
from tests.dsl.strategies import queries
from tests.support.stores import NOW_US, built_store

RECORDS = [
    {
        "level": "error",
        "message": f"connection reset {n}",
        "a": {"b": n, "c": [n, "x", None]},
        "http": {"status": n},
    }
    for n in range(20)
]
PIECES = (
    *'()[]{}"\\#?:;^@~,\n\x00\ud7ff\U0001f41f',
    "#_",
    "#{",
    "##NaN",
    "##Inf",
    "#inst",
    "#uuid",
    "#log/re",
    "\\u0041",
    ":*",
    ":/",
    "nil",
    "null",
    "true",
    "-",
    "1e999999",
    "1e-999999",
    "9" * 400,
    "-0.0",
    "1N",
    "1M",
    "0x10",
    "1/2",
    "?x",
    ":where",
    '"where"',
    "[:and",
    "[:not ",
    '["or",',
    "{:limit",
    '{"limit":',
    ":timeout",
    '"now-1d/d"',
    "\\d+",
    "(?i)",
    "(a+)+$",
    "*",
    ".*" * 50,
)
MALFORMED = [
    "",
    " ",
    ";",
    "#_",
    "\ufeff{}",
    "{" * 70,
    "[" * 70,
    "(" * 5000,
    '{"where":' * 5000,
    "#a " * 3000,
    "^{} " * 3000,
    "#_ " * 5000,
    '"' + "\\" * 9999,
    "{:where " + "[:not " * 65 + "[:= :a 1]" + "]" * 65 + "}",
    "{:limit " + "9" * 5000 + "}",
    "{:where [:> :a " + "9" * 5000 + "]}",
    "{:where [:> :a 1e400]}",
    "{:where [:= :a ##NaN]}",
    '{"limit": 1e400}',
    '{"limit": NaN}',
    '{"where": ["=", "a", ' + "9" * 5000 + "]}",
    '{"a":1,"a":2}',
    "{:where [:in :a #{" + "1 " * 5000 + "}]}",
    "{:where [:in :a [" + " ".join(map(str, range(2000))) + "]]}",
    "{:where [:or " + "[:exists :a]" * 2000 + "]}",
    "{:select [" + ":a " * 9000 + "]}",
    "{:where [:= " + ":" + "a." * 5000 + "b 1]}",
    '{:where [:contains :message "\\u0000"]}',
    '{:where [:phrase :message "' + "w " * 9000 + '"]}',
    '{:where [:match :a.c "' + "x" * 60_000 + '"]}',
    '{:where [:regex :message "' + "(" * 500 + "a" + ")*" * 500 + '"]}',
    '{:where [:regex :message "(x{1000}){1000}"]}',
    '{:where [:glob :message "' + "*a" * 900 + '"]}',
    '{:where [:fuzzy :message "' + "a" * 300 + '"]}',
    '{:time {:last "' + "9" * 50 + 'w"}}',
    '{:time {:since "0001-01-01" :until "9999-12-31"} :group-by [[:bucket :timestamp "1ms"]]}',
    "{:group-by [" + ":a " * 500 + "]}",
    "{:where [:= :a \ud800]}".encode("utf-8", "replace").decode(),
    "x" * 70_000,
]


def mutated(text, cuts):
    """A text with some stretches taken out and other pieces put in."""
    for at, length, piece in cuts:
        start = at % (len(text) + 1)
        text = text[:start] + piece + text[start + length :]
    return text


cuts = st.lists(
    st.tuples(
        st.integers(0, 10_000), st.integers(0, 12), st.sampled_from(["", *PIECES]) | st.text(max_size=3)
    ),
    min_size=1,
    max_size=4,
)
written = queries.map(to_edn)
in_json = queries.map(lambda query: orjson.dumps(to_json(query), option=orjson.OPT_NON_STR_KEYS).decode())
texts = st.one_of(
    st.builds(mutated, written, cuts),
    st.builds(mutated, in_json, cuts),
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join),
    st.text(max_size=60),
)


@pytest.fixture(scope="module")
def store():
    with built_store([("main", RECORDS[:10]), ("main", RECORDS[10:])], segment_bytes_max=300) as built:
        built.engine.timeout_s = 20.0
        yield built


def ask(store, text, syntax):
    for question in (store.engine.query, store.engine.explain):
        wrong = None
        try:
            question(text, syntax=syntax)
        except QueryError as error:
            wrong = error
        except UnknownStream as error:
            told = error.hint
        else:
            continue
        assert told if wrong is None else wrong.mistakes
        if wrong is not None:
            assert wrong.render()
            assert orjson.dumps(wrong.to_json())


def test_any_text_is_answered_or_has_its_mistakes_named(store):
    @settings(max_examples=400)
    @given(texts, st.sampled_from(["edn", "json"]))
    @example('{:where [:regex :message "(a|aa)+$"]}', "edn")
    def check(text, syntax):
        ask(store, text, syntax)

    check()


@pytest.mark.parametrize("syntax", ["edn", "json"])
@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_and_monstrous_texts(store, text, syntax):
    ask(store, text, syntax)


@pytest.fixture(scope="module")
def client(store):
    turns = Turns(2, 10, 30.0)
    app = falcon.asgi.App()  # none that watches: this client hangs up as soon as it has asked
    install(app)
    app.add_middleware(KnownParameters())
    app.add_route("/query", Query(store.engine, turns))
    app.add_route("/explain", Explain(store.engine, turns))
    yield falcon.testing.TestClient(app)
    turns.close()


def test_any_body_gets_an_answer_that_names_what_is_wrong(client):
    @settings(max_examples=150)
    @given(
        st.binary(max_size=60) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from(["application/edn", "application/json", "text/plain", "x/y"]),
        st.sampled_from(["application/json", "application/edn", "text/csv", "application/x-ndjson"]),
        st.sampled_from(["/query", "/explain", "/query?after=W10", "/query?after=%ff", "/explain?run=true"]),
    )
    def check(body, content_type, accept, path):
        answer = client.simulate_post(
            path, body=body, headers={"Content-Type": content_type, "Accept": accept}
        )
        assert answer.status_code in (200, 400, 404, 406, 413, 415), answer.text
        if answer.status_code != 200:
            assert all(error["code"] and error["message"] for error in answer.json["errors"])

    check()


# -- linear in the text


def calls(work):
    """How many functions are called, of Python and of C: a measure of work that no busy machine disturbs."""
    count = 0

    def profile(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


GROWING = {
    "many predicates": lambda n: "{:where [:or " + " ".join(f"[:= :f{i} {i}]" for i in range(n)) + "]}",
    "many negations": lambda n: (
        "{:where [:and " + " ".join(f"[:not [:= :f{i} {i}]]" for i in range(n)) + "]}"
    ),
    "many values": lambda n: "{:where [:in :a #{" + " ".join(map(str, range(n))) + "}]}",
    "a short form": lambda n: "{:where {" + " ".join(f":f{i} {i}" for i in range(n)) + "}}",
    "many fields": lambda n: "{:select [" + " ".join(f":f{i}" for i in range(n)) + "]}",
    "a long text": lambda n: '{:where [:contains :message "' + "word " * n + '"]}',
    "a long path": lambda n: "{:where [:exists :" + "a." * (n // 2) + "b]}",
    "many streams": lambda n: "{:from [" + " ".join(f":s{i}" for i in range(n)) + "]}",
    "many mistakes of one kind": lambda n: (
        "{:where [:or " + "[:= :a]" * min(n, 30) + " ".join(f":b{i}" for i in range(n))
    ),
    "json": lambda n: '{"where": ["or", ' + ", ".join(f'["=", "f{i}", {i}]' for i in range(n)) + "]}",
}


@pytest.mark.parametrize("name", GROWING)
def test_reading_checking_and_compiling_are_linear_in_the_text(store, name):
    make = GROWING[name]
    index = store.store.snapshot(["main"]).queries

    def work(n):
        text = make(n)

        def read():
            try:
                query = parse(text, "json" if name == "json" else "edn", now_us=NOW_US)
            except QueryError:
                return
            compile_predicate(query.where, index, NOW_US)
            to_edn(query)

        read()  # what is kept of the first time is no part of the measure
        text += " "
        return calls(read)

    once, twice = work(250), work(500)
    assert once > 50
    assert twice < 2.6 * once
