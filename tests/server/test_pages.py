"""Pages while the store changes: what was there at the start comes exactly once, in order."""

from contextlib import contextmanager

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.cursor import decode
from dsl.errors import QueryError
from dsl.order import RowOrder
from dsl.parse import parse
from server.engine import Engine
from storage.drop import delete_stream, drop
from storage.indexer import Indexer
from storage.log import StreamLog
from storage.paths import DataDirectory
from storage.publication import live_catalog
from storage.rewrite import compact, sealed_runs
from storage.store import Store
from tests.support.stores import NOW_US, append, temporary_folder

STREAMS = ("app", "web")
QUERIES = (
    "{:from [:app :web]}",
    "{:from :app :order-by [[:timestamp :asc]]}",
    '{:from :* :where [:contains :message "ell"]}',
    '{:from [:app :web] :order-by [[:timestamp :asc]] :where [:contains :message "ell"]}',
    "{:from [:app :web] :order-by [[:k :desc]]}",
    "{:from :app :order-by [[:k :asc] [:timestamp :desc]]}",
    "{:from :* :order-by [[:message :asc]] :where [:>= :k 0]}",
)
batches = st.lists(
    st.builds(
        lambda second, k: {"timestamp": 1_767_225_600 + second, "k": k, "message": f"hello {k}"},
        st.integers(0, 4),  # late, early and equal
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=8,
)
changes = st.one_of(
    st.tuples(st.just("append"), st.sampled_from(STREAMS), batches),
    st.tuples(
        st.sampled_from(["index", "compact", "drop", "reopen", "page", "page"]), st.sampled_from(STREAMS)
    ),
)


class Churning:
    """A store that is written to, sealed, compacted and dropped from, and what is in it."""

    def __init__(self, root):
        self.data = DataDirectory(root)
        self.logs = {name: StreamLog(self.data.stream(name), segment_bytes_max=200) for name in STREAMS}
        for name in STREAMS:
            self.data.stream(name).root.mkdir(
                parents=True, exist_ok=True
            )  # it may be asked while it is empty
        self.indexer = Indexer(self.data)
        self.records = []
        self.gone = set()
        self.open()

    def open(self):
        self.store = Store(self.data)
        self.engine = Engine(self.store, lambda: NOW_US)

    def close(self):
        for log in self.logs.values():
            log.close()
        self.indexer.close()
        self.store.close()

    def append(self, stream, batch):
        self.records += append(self.logs[stream], batch)

    def index(self, _=None):
        self.indexer.catch_up()

    def reopen(self, _):
        self.store.close()
        self.open()

    def compact(self, stream):
        directory = self.data.stream(stream)
        for run in sealed_runs(live_catalog(directory)):
            if len(run) > 1:
                compact(directory, run[:3])
                return

    def drop(self, stream):
        for entry in drop(self.data.stream(stream), lambda catalog: catalog.segments[:1]):
            self.gone |= {(stream, number) for number in range(entry.first, entry.until)}


@contextmanager
def churning():
    with temporary_folder() as root:
        store = Churning(root)
        try:
            yield store
        finally:
            store.close()


def address(row):
    return row["_stream"], row["_number"]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(STREAMS), batches), min_size=2, max_size=6),
    st.sampled_from(QUERIES),
    st.integers(1, 5),
    st.lists(changes, max_size=12),
)
def test_a_walk_gives_what_was_there_once_and_in_order(start, text, limit, happens):
    with churning() as store:
        for stream, batch in start:
            store.append(stream, batch)
            store.index()
        query = parse(text)
        wanted = {
            (record.stream, record.number) for record in store.records if query.reads(record.stream)
        } - store.gone
        seen, missed, cursor, pages = [], set(), None, 0
        plan = list(happens)
        while True:
            while plan and plan[0][0] != "page":
                name, *rest = plan.pop(0)
                getattr(store, name)(*rest)
            plan = plan[1:]
            missed |= store.gone - set(map(address, seen))  # dropped before their page came
            answer = store.engine.query(f"{text[:-1]} :limit {limit}}}", after=cursor)
            assert answer.complete
            seen += [orjson.loads(row) for row in answer.rows]
            cursor = answer.cursor
            pages += 1
            assert pages < 300
            if cursor is None:
                break
        found = [address(row) for row in seen]
        assert len(found) == len(set(found))
        assert wanted - missed <= set(found)
        order = RowOrder(query.order_by)
        known = {(record.stream, record.number): record for record in store.records}
        ranks = [order.of(known[one]) for one in found]
        assert ranks == sorted(ranks)


def first_page(store, text):
    answer = store.engine.query(f"{text[:-1]} :limit 2}}")
    assert answer.cursor is not None
    return answer.cursor


ROWS = [{"k": n, "message": f"hello {n}", "timestamp": 1_767_225_600 + n} for n in range(5)]


@pytest.mark.parametrize(
    "text", ["{:from :app}", "{:from [:app :web]}", "{:from :*}", "{:from :app :order-by [:k]}"]
)
def test_a_stream_that_was_made_anew_has_other_cursors(text):
    with churning() as store:
        store.append("app", ROWS)
        store.index()
        cursor = first_page(store, text)
        assert store.engine.query(f"{text[:-1]} :limit 2}}", after=cursor).rows
        store.logs["app"].close()
        store.indexer.close()  # which else would be asked to let go of it
        assert delete_stream(store.data, "app")
        store.store.forget("app")
        store.indexer = Indexer(store.data)
        store.logs["app"] = StreamLog(store.data.stream("app"))
        store.append("app", ROWS)
        store.index()
        with pytest.raises(QueryError, match="made anew") as caught:
            store.engine.query(f"{text[:-1]} :limit 2}}", after=cursor)
        assert caught.value.mistakes[0].code == "cursor-of-another-stream"
        with pytest.raises(QueryError, match="made anew"):
            store.engine.explain(f"{text[:-1]} :limit 2}}", after=cursor)
        again = first_page(store, text)
        assert store.engine.query(f"{text[:-1]} :limit 2}}", after=again).rows


def test_a_stream_that_gets_its_first_records_meanwhile_is_no_other():
    with churning() as store:
        store.append("app", ROWS)
        store.index()
        cursor = first_page(store, "{:from [:app :web]}")
        store.append("web", ROWS)
        store.index()
        rows = store.engine.query("{:from [:app :web] :limit 100}", after=cursor).rows
        assert [orjson.loads(row)["_number"] for row in rows if b'"app"' in row] == [3, 2, 1]


def test_a_cursor_remembers_its_streams():
    with churning() as store:
        store.append("app", ROWS)
        store.index()
        one, both = (
            decode(first_page(store, text), parse(text)).mark
            for text in ("{:from :app}", "{:from [:app :web]}")
        )
        assert len(one) == 8
        assert both.startswith(one)
        assert len(both) == 16
