"""What other engines and servers are asked, and that the real ones among them answer right."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from bench import adapters
from bench.adapters.base import load_once
from bench.adapters.klomp import Klomp
from bench.asking import compare, measure
from bench.expected import expected
from bench.questions import questions, survey

DAY = "2025-03-03T"
NS = 1_000_000_000
START_S = 1_740_960_000  # 2025-03-03T00:00:00Z
HOUR = f"_time:[{DAY}02:00:00Z, {DAY}03:00:00Z)"
LOGSQL = {
    "everything, newest 100": "* | sort by (_time desc) limit 100",
    "everything, count": "* | stats count() as n",
    "one hour, newest 100": f"{HOUR} | sort by (_time desc) limit 100",
    "one hour, count": f"{HOUR} | stats count() as n",
    "level and service, count": 'level:in("ERROR", "error") {service="search"} | stats count() as n',
    "two words, count": '"connection" "reset" | stats count() as n',
    "phrase, count": '"connection reset by peer" | stats count() as n',
    "one trace id, count": 'trace_id:="TRACE" | stats count() as n',
    "level, not service, status >= 500, count": (
        'level:in("ERROR", "error") {service!="auth"} "http.status":>=500 | stats count() as n'
    ),
    "word prefix, count": '"time"* | stats count() as n',
    "regex across two words, count": r'~"connection \\w+ by p[a-z]+r" | stats count() as n',
    "substring across words, count": '~"tion reset by" | stats count() as n',
    "count by level": "* | stats by (level) count() as n",
    "count by level of one hour": f"{HOUR} | stats by (level) count() as n",
    "per minute by level": "* | stats by (_time:1m, level) count() as n",
    "per minute of one hour": f"{HOUR} | stats by (_time:1m) count() as n",
    "top 10 services with avg and p95": (
        "* | stats by (service) count() as n, avg(latency_ms) as avg, quantile(0.95, latency_ms) as p95"
        " | sort by (n desc, service) limit 10"
    ),
}
ALL = '{service=~".+"}'
LOGQL = {
    "everything, count": f"sum(count_over_time({ALL} [21600s]))",
    "one hour, count": f"sum(count_over_time({ALL} [3600s]))",
    "level and service, count": ('sum(count_over_time({level=~"ERROR|error", service="search"} [21600s]))'),
    "two words, newest 100": rf"{ALL} |= `connection` |~ `\bconnection\b` |= `reset` |~ `\breset\b`",
    "phrase, newest 100": rf"{ALL} |= `connection reset by peer` |~ `\bconnection reset by peer\b`",
    "one trace id, records": f"{ALL} | trace_id = `TRACE`",
    "level, not service, status >= 500, newest 100": (
        '{level=~"ERROR|error", service!="auth"} | http_status >= 500'
    ),
    "word prefix, newest 100": rf"{ALL} |= `time` |~ `\btime`",
    "regex across two words, newest 100": rf"{ALL} |~ `connection \w+ by p[a-z]+r`",
    "substring across words, newest 100": f"{ALL} |= `tion reset by`",
    "count by level": f"sum by (level) (count_over_time({ALL} [21600s]))",
    "count by level of one hour": f"sum by (level) (count_over_time({ALL} [3600s]))",
    "per minute by level": f"sum by (level) (count_over_time({ALL} [1m]))",
    "per minute of one hour": f"sum (count_over_time({ALL} [1m]))",
    "top 10 services with avg and p95": f"topk(10, sum by (service) (count_over_time({ALL} [21600s])))",
}


class Recorder:
    """A server that writes down what it is asked; it has as many records as it was sent."""

    def __init__(self, count, answer):
        self.seen = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                where = urlsplit(self.path)
                asked = parse_qs(where.query)
                if self.headers["Content-Type"] == "application/x-www-form-urlencoded":
                    asked |= parse_qs(body.decode())
                recorder.seen.append((self.command, where.path, asked, body, self.headers["Content-Type"]))
                sent = sum(count(body) for _, path, _, body, _ in recorder.seen if "query" not in path)
                status, reply = answer(where.path, sent)
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_GET = do_POST  # noqa: N815 - the names that http.server calls

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def victorialogs():
    def answer(path, sent):
        return (200, b"") if path == "/insert/jsonline" else (200, b'{"n":"%d"}\n' % sent)

    recorder = Recorder(lambda body: body.count(b"\n"), answer)
    yield recorder
    recorder.stop()


@pytest.fixture
def loki():
    def count(body):
        return sum(len(stream["values"]) for stream in orjson.loads(body)["streams"])

    def answer(path, sent):
        if path == "/loki/api/v1/push":
            return 204, b""
        result = [{"metric": {}, "value": [1, str(sent)]}] if sent else []
        return 200, orjson.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})

    recorder = Recorder(count, answer)
    yield recorder
    recorder.stop()


def statements(adapter, asked):
    """Each query that can be asked, by its row in the table."""
    return {
        q.label(kind): (kind, text) for q in asked for kind in q.kinds if (text := adapter.statement(q, kind))
    }


def test_victorialogs_is_loaded_once_and_asked_in_logsql(corpus, victorialogs):
    found = survey(corpus.records())
    adapter = adapters.start(f"victorialogs={victorialogs.url}", corpus, found)
    adapters.start(f"victorialogs={victorialogs.url}", corpus, found).close()  # the corpus is there
    inserts = [it for it in victorialogs.seen if it[1] == "/insert/jsonline"]
    assert len(inserts) == 1
    method, _, parameters, body, content_type = inserts[0]
    assert (method, content_type) == ("POST", "application/stream+json")
    assert parameters == {
        "_stream_fields": ["service,host"],
        "_time_field": ["timestamp"],
        "_msg_field": ["message"],
    }
    assert body == corpus.path.read_bytes()

    found_texts = statements(adapter, questions(found))
    texts = {label: text.replace(found.trace, "TRACE") for label, (_, text) in found_texts.items()}
    assert {label: texts[label] for label in LOGSQL} == LOGSQL
    for label in set(texts) - set(LOGSQL):  # a page asks as its count does
        head = LOGSQL[label.rpartition(", ")[0] + ", count"].partition(" | ")[0]
        assert texts[label] == f"{head} | sort by (_time desc) limit 100"

    before = len(victorialogs.seen)
    answer = adapter.run(texts["phrase, count"])
    method, path, parameters, *_ = victorialogs.seen[before]
    assert (method, path, parameters) == ("POST", "/select/logsql/query", {"query": [texts["phrase, count"]]})
    assert adapter.size("count", answer) == 600
    assert adapter.size("page", b'{"_msg":"a"}\n{"_msg":"b"}\n') == 2
    assert adapter.size("groups", b'{"level":"a","n":"1"}\n') == 1
    assert adapter.size("count", b"") == 0
    adapter.close()


def test_loki_is_loaded_once_and_asked_in_logql(corpus, loki):
    found = survey(corpus.records())
    adapter = adapters.start(f"loki={loki.url}", corpus, found)
    adapters.start(f"loki={loki.url}", corpus, found).close()
    pushes = [it for it in loki.seen if it[1] == "/loki/api/v1/push"]
    assert len(pushes) == 1
    assert pushes[0][0] == "POST"
    assert pushes[0][4] == "application/json"
    streams = orjson.loads(pushes[0][3])["streams"]
    assert all(set(stream["stream"]) == {"level", "service"} for stream in streams)
    first = next(iter(corpus.records()))
    values = next(
        s["values"]
        for s in streams
        if s["stream"]["service"] == first["service"] and s["stream"]["level"] == first["level"]
    )
    assert values[0] == [f"{first['_us']}000", first["message"], {"host": "host-0"}]
    assert all(isinstance(v, str) for s in streams for _, _, rest in s["values"] for v in rest.values())

    texts = statements(adapter, questions(found))
    got = {}
    for label, (kind, text) in texts.items():
        paths = text.split("\n")
        where = urlsplit(paths[0])
        asked = parse_qs(where.query)
        got[label] = asked.pop("query")[0].replace(found.trace, "TRACE")
        ranged = kind == "page" or "minute" in label
        assert where.path == ("/loki/api/v1/query_range" if ranged else "/loki/api/v1/query"), label
        assert (
            set(asked)
            == {
                "page": {"start", "end", "limit", "direction"},
                "count": {"time"},
                "groups": {"start", "end", "step"} if ranged else {"time"},
            }[kind]
        )
    assert {label: got[label] for label in LOGQL} == LOGQL

    hour = parse_qs(urlsplit(texts["per minute of one hour"][1]).query)
    since, until = START_S + 2 * 3600, START_S + 3 * 3600
    assert hour["start"] == [
        str((since + 60) * NS - 1)
    ]  # looks back a minute: from the first nanosecond of it
    assert hour["end"] == [str(until * NS - 1)]
    assert parse_qs(urlsplit(texts["one hour, newest 100"][1]).query)["start"] == [str(since * NS)]

    before = len(loki.seen)
    answer = adapter.run(texts["top 10 services with avg and p95"][1])
    assert [(it[0], it[1]) for it in loki.seen[before:]] == [("GET", "/loki/api/v1/query")] * 3
    assert "quantile_over_time(0.95" in loki.seen[-1][2]["query"][0]
    assert adapter.size("count", answer) == 600
    page = {
        "data": {
            "result": [
                {"stream": {}, "values": [["1", "a"], ["2", "b"]]},
                {"stream": {}, "values": [["3", "c"]]},
            ]
        }
    }
    assert adapter.size("page", [orjson.dumps(page)]) == 3
    adapter.close()


def test_a_server_with_other_records_is_refused():
    with pytest.raises(RuntimeError, match="there has 7 records, the corpus 8: start it on an empty folder"):
        load_once("there", 8, lambda: 7, lambda: None)


@pytest.mark.parametrize("text", ["mysql", "duckdb=http://127.0.0.1:1", "klomp", "victorialogs="])
def test_what_is_not_known_is_named(corpus, text):
    with pytest.raises(ValueError, match="write one of duckdb, chdb, klomp=URL, victorialogs=URL, loki=URL"):
        adapters.start(text, corpus, survey(corpus.records()))


def test_klomp_and_duckdb_are_loaded_asked_and_compared(corpus, server, capsys):
    pytest.importorskip("duckdb")
    found = survey(corpus.records())
    asked = questions(found)
    answers = expected(asked, corpus)
    others = [adapters.start("duckdb", corpus, found), adapters.start(f"klomp={server.url}", corpus, found)]
    others.append(adapters.start(f"klomp={server.url}", corpus, found))  # which has them already
    here = Klomp(server.url)
    differing = compare(measure(here, asked, answers, 1), others, 1)
    # DuckDB's \b does not take an underscore for the end of a word; there is none in these messages.
    assert differing == []
    table = capsys.readouterr().out
    assert table.count("\n| ") == sum(len(question.kinds) for question in asked) + 1
    assert "| regex across two words, count |" in table
    others[0].run("delete from logs where message like '%timeout%'")
    differing = compare(measure(here, asked, answers, 1), others[:1], 1)
    assert any(text.startswith("DuckDB: word prefix, count: ") for text in differing)
    for it in [*others, here]:
        it.close()
