"""The HTTP interface, through a real server: what goes in, what comes out, and what mistakes get."""

import gzip
import subprocess
import sys
import time

import orjson
import pytest
import zstandard

from tests.support.serving import Serving

NDJSON = "application/x-ndjson"
JSON = "application/json"
EDN = "application/edn"


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    server = Serving(tmp_path_factory.mktemp("http") / "data")
    post(server, "main", b'{"message":"so that there is a default stream"}')
    yield server
    assert server.stop() == 0


def post(serving, stream, body, content_type=NDJSON, path="?refresh=wait", **headers):
    return serving.request(
        "POST", f"/v1/streams/{stream}/logs{path}", body, content_type=content_type, **headers
    )[:2]


def rows(serving, stream, extra=""):
    answer = serving.query(f"{{:from :{stream} :order-by [[:_number :asc]] {extra}}}")
    return [
        {k: v for k, v in row.items() if k not in ("timestamp", "_stream", "_number")}
        for row in answer["rows"]
    ]


RECORDS = [{"message": "one", "n": 1}, {"message": "two", "n": 2}]


@pytest.mark.parametrize(
    ("name", "content_type", "body"),
    [
        ("in-ndjson", NDJSON, b'{"message":"one","n":1}\n\n{"message":"two","n":2}\r\n'),
        ("in-array", JSON, b'[{"message":"one","n":1},{"message":"two","n":2}]'),
        ("in-json-lines", JSON, b'{"message":"one","n":1}\n{"message":"two","n":2}'),
        ("in-edn-vector", EDN, b'[{:message "one" :n 1} {:message "two", :n 2}]'),
        ("in-edn-maps", EDN, b'{:message "one" :n 1} ; first\n{:message "two" :n 2}'),
    ],
)
def test_all_the_ways_in(serving, name, content_type, body):
    assert post(serving, name, body, content_type) == (
        202,
        {"accepted": 2, "rejected": [], "rejected_count": 0, "searchable": True},
    )
    assert rows(serving, name) == RECORDS


def test_one_object_and_the_default_stream(serving):
    status, answer, _ = serving.request(
        "POST", "/logs?refresh=wait", b'{"msg":"hi","lvl":"WARN"}', content_type=JSON
    )
    assert (status, answer["accepted"]) == (202, 1)
    assert {"message": "hi", "level": "warn"} in rows(serving, "main")


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("gzip", lambda b: gzip.compress(b[:9]) + gzip.compress(b[9:])),
    ],
)
def test_packed_bodies(serving, encoding, pack):
    body = b"\n".join(orjson.dumps(r) for r in RECORDS)
    assert post(serving, "packed", pack(body), content_encoding=encoding)[1]["accepted"] == 2


def test_a_packed_body_that_was_cut_is_refused_wherever_it_was_cut(serving):
    lines = b"\n".join(b'{"n":%d}' % n for n in range(50))
    for pack, name in ((gzip.compress, "gzip"), (zstandard.ZstdCompressor().compress, "zstd")):
        packed = pack(lines)
        for cut in range(1, len(packed)):
            status, answer = post(serving, "cut", packed[:cut], path="", content_encoding=name)
            assert (status, answer["errors"][0]["code"]) == (400, "bad-encoding"), (name, cut)
    frames = zstandard.ZstdCompressor().compress(lines) + zstandard.ZstdCompressor().compress(b'\n{"n":50}')
    assert post(serving, "cut", frames, content_encoding="zstd")[1]["accepted"] == 51


def test_bad_records_are_named_and_the_others_kept(serving):
    body = b'{"message":"good"}\n{broken\n[1]\n{"timestamp":"soon"}\n{"a":"\xff"}\n{"message":"also good"}'
    status, answer = post(serving, "mixed", body)
    assert (status, answer["accepted"], answer["rejected_count"]) == (202, 2, 4)
    assert [(r["index"], r["code"]) for r in answer["rejected"]] == [
        (1, "bad-json"),
        (2, "not-a-map"),
        (3, "bad-timestamp"),
        (4, "bad-utf-8"),
    ]
    assert rows(serving, "mixed") == [{"message": "good"}, {"message": "also good"}]


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status", "code"),
    [
        (b"[1, 2]", JSON, {}, 422, "nothing-accepted"),
        (b"", NDJSON, {}, 422, "nothing-accepted"),
        (b"[]", JSON, {}, 422, "nothing-accepted"),
        (b"", JSON, {}, 400, "bad-json"),
        (b"{", JSON, {}, 400, "bad-json"),
        (b'{"a":"\xff"}', JSON, {}, 400, "bad-utf-8"),
        (b"{:a", EDN, {}, 400, "missing-bracket"),
        (b'{:a "\xff"}', EDN, {}, 400, "bad-utf-8"),
        (b"<a/>", "text/xml", {}, 415, "unknown-content-type"),
        (b"x", NDJSON, {"content_encoding": "br"}, 415, "unknown-encoding"),
        (b"x", NDJSON, {"content_encoding": "gzip"}, 400, "bad-encoding"),
        (b"x", NDJSON, {"content_encoding": "zstd"}, 400, "bad-encoding"),
        (gzip.compress(b'{"a":1}', mtime=0)[:-9], NDJSON, {"content_encoding": "gzip"}, 400, "bad-encoding"),
    ],
)
def test_bodies_that_cannot_be_kept(serving, body, content_type, headers, status, code):
    got, answer = post(serving, "bad-bodies", body, content_type, **headers)
    assert (got, answer["errors"][0]["code"]) == (status, code)
    assert answer["errors"][0]["message"]
    assert post(serving, "bad-bodies", b'{"a":1}')[0] == 202


@pytest.mark.parametrize("name", ["-x", "a b", ".hidden", "a%2Fb", "%2e%2e", "x" * 101, "é"])
def test_names_that_no_stream_has(serving, name):
    from urllib.parse import quote

    status, answer = post(serving, quote(name, safe="%"), b'{"a":1}')
    assert status in (400, 404)
    assert answer["errors"][0]["code"] in ("bad-stream-name", "no-such-path")


def test_a_hundred_megabytes_in_one_line(serving):
    line = b'{"message":"' + b"x" * (100 << 20) + b'"}'
    status, answer = post(serving, "huge", line)  # all is sent before the answer is read
    assert (status, answer["errors"][0]["code"]) == (413, "body-too-large")
    packed = zstandard.ZstdCompressor().compress(line)
    status, answer = post(serving, "huge", packed, content_encoding="zstd")
    assert (status, answer["errors"][0]["code"]) == (413, "body-too-large")
    status, answer = post(serving, "huge", b'{"message":"' + b"x" * (2 << 20) + b'"}\n{"message":"small"}')
    assert (status, answer["accepted"], answer["rejected"][0]["code"]) == (202, 1, "record-too-large")
    assert rows(serving, "huge") == [{"message": "small"}]


@pytest.mark.parametrize("depth", [65, 129, 1000, 100_000])
@pytest.mark.parametrize("kind", [b'{"a":', b"["])
def test_a_nested_bomb(serving, depth, kind):
    closing = b"}" if kind.startswith(b"{") else b"]"
    bomb = b'{"a":' + kind * depth + b"1" + closing * depth + b"}"
    status, answer = post(serving, "bombs", bomb + b'\n{"message":"after"}')
    assert (status, answer["accepted"], answer["rejected"][0]["index"]) == (202, 1, 0)
    assert answer["rejected"][0]["code"] in ("record-too-deep", "bad-json")
    assert serving.query('{:from :bombs :where [:= :message "after"]}')["rows"]


def test_a_field_without_a_name(serving):
    assert post(serving, "nameless", b'{"":"x","a":{"":1}}\n{"a":2}')[1]["accepted"] == 2
    answer = serving.query('{:from :nameless :where [:= "" "x"]}')
    assert [row[""] for row in answer["rows"]] == ["x"]
    assert serving.query('{:from :nameless :where [:= "a." 1] :total true}')["total"] == 1


QUERY_MISTAKES = [
    ("{:where [:betwen :a 1 2]}", "unknown-operator", (1, 10), "did you mean :between?"),
    ("{:where [:= :a 1}", "mismatched-bracket", None, ""),
    ("{:where [:= :a 1]", "missing-bracket", (1, 1), ""),
    ("{:where\n  [:= :a]}", "wrong-arity", (2, 3), ""),
    ('{:time {:last "soon"}}', "bad-duration", None, ""),
    ('{:time {:since "soonish"}}', "bad-time", None, ""),
    ("{:limit -1}", "bad-limit", (1, 9), ""),
    ("[1 2]", "not-a-map", (1, 1), ""),
    ("", "empty", None, ""),
    ("{" * 500, "too-deep", None, ""),
]


@pytest.mark.parametrize(("text", "code", "place", "hint"), QUERY_MISTAKES)
def test_mistakes_in_queries_are_placed(serving, text, code, place, hint):
    status, answer, _ = serving.request("POST", "/query", text, content_type=EDN)
    assert status == 400
    first = answer["errors"][0]
    assert first["code"] == code
    assert hint in first.get("hint", "")
    if place:
        assert (first["line"], first["column"]) == place
    assert f"error[{code}]" in answer["text"]
    assert serving.query("{:from :main :limit 1}")["complete"]


def test_a_json_query_says_the_same(serving):
    post(serving, "json-query", b'{"level":"error","n":1}\n{"level":"info","n":2}')
    edn = serving.query('{:from :json-query :where [:= :level "error"]}')["rows"]
    status, answer, _ = serving.request(
        "POST", "/v1/query", b'{"from":"json-query","where":["=","level","error"]}', content_type=JSON
    )
    assert (status, answer["rows"]) == (200, edn)
    status, answer, _ = serving.request("POST", "/v1/query", b'{"where": ["betwen", "a"]}', content_type=JSON)
    assert (status, answer["errors"][0]["line"], answer["errors"][0]["column"]) == (400, 1, 12)


def test_answers_in_every_format(serving):
    post(serving, "formats", b'{"timestamp":0,"message":"a,b","n":1.5,"deep":{"x":[1,null]}}')
    text = "{:from :formats}"
    row = {"timestamp": "1970-01-01T00:00:00.000000Z", "message": "a,b", "n": 1.5, "deep": {"x": [1, None]}}
    row |= {"_stream": "formats", "_number": 1}

    def ask(accept):
        status, data, headers = serving.request("POST", "/query", text, accept=accept)
        assert status == 200
        assert headers["content-type"].startswith(accept if "q=" not in accept else "text/csv")
        return data

    answer = ask("application/json")
    assert answer["rows"] == [row]
    assert {"cursor": None, "complete": True}.items() <= answer.items()
    assert set(answer) == {"rows", "cursor", "complete", "now", "took_ms"}
    assert orjson.loads(ask("application/x-ndjson")) == row
    assert ask("text/csv").decode().splitlines() == [
        "timestamp,message,n,deep,_stream,_number",
        '1970-01-01T00:00:00.000000Z,"a,b",1.5,"{""x"":[1,null]}",formats,1',
    ]
    assert ask("application/json;q=0.1, text/csv").startswith(b"timestamp,")
    edn = ask("application/edn").decode()
    assert edn.startswith(
        '{:rows [{:timestamp #inst "1970-01-01T00:00:00.000000Z", :message "a,b", :n 1.5, :deep {:x [1 nil]}'
    )
    from dsl.reader import read

    assert read(edn)
    assert serving.request("POST", "/query", text, accept="image/png")[0] == 406


def test_pages_follow_their_cursor(serving):
    serving.ingest([{"timestamp": 5, "i": i} for i in range(25)], "pages")
    first = serving.query("{:from :pages :limit 10 :total true}")
    assert (len(first["rows"]), first["total"]) == (10, 25)
    seen = [row["i"] for row in first["rows"]]
    cursor = first["cursor"]
    while cursor:
        status, answer, _ = serving.request("POST", f"/query?after={cursor}", "{:from :pages :limit 10}")
        assert status == 200
        seen += [row["i"] for row in answer["rows"]]
        cursor = answer["cursor"]
    assert seen == list(range(24, -1, -1))
    status, answer, _ = serving.request("POST", "/query?after=nonsense", "{:from :pages}")
    assert (status, answer["errors"][0]["code"]) == (400, "bad-cursor")


def test_unknown_things(serving):
    for method, path, status, code in (
        ("POST", "/v1/query", 404, "unknown-stream"),
        ("GET", "/v2/nothing", 404, "no-such-path"),
        ("DELETE", "/v1/query", 405, "method-not-allowed"),
        ("POST", "/logs?refresh=yes", 400, "bad-parameter"),
    ):
        body = "{:from :nowhere}" if method == "POST" else None
        got, answer, _ = serving.request(method, path, body, content_type=EDN)
        assert (got, answer["errors"][0]["code"]) == (status, code)


def test_a_batch_that_is_sent_again_with_its_key_is_kept_once(serving):
    body = b'{"n":1}\n{bad\n{"n":2}'
    first = post(serving, "retries", body, idempotency_key="batch-1")
    assert first[1]["accepted"] == 2
    assert post(serving, "retries", body, idempotency_key="batch-1") == first
    status, answer = post(serving, "retries", b'{"n":3}', idempotency_key="batch-1")
    assert (status, answer["errors"][0]["code"]) == (422, "idempotency-key-reused")
    status, answer = post(serving, "retries", b'{"n":3}', idempotency_key="x" * 300)
    assert (status, answer["errors"][0]["code"]) == (400, "bad-idempotency-key")
    assert post(serving, "retries", body, idempotency_key="batch-2")[1]["accepted"] == 2
    assert serving.query("{:from :retries :total true}")["total"] == 4


def test_streams_are_listed(serving):
    serving.ingest([{"timestamp": 1}, {"timestamp": 3}], "listed")
    status, answer, _ = serving.request("GET", "/v1/streams")
    one = next(s for s in answer["streams"] if s["name"] == "listed")
    assert (status, one["records"]) == (200, 2)
    assert (one["first_time"], one["last_time"]) == (
        "1970-01-01T00:00:01.000000Z",
        "1970-01-01T00:00:03.000000Z",
    )
    assert one["bytes"] > 0
    assert one["disk_bytes"] > 0


def test_records_are_searchable_within_a_second_without_asking_for_it(serving):
    serving.ingest([{"x": 0}], "fresh")
    serving.ingest([{"x": 1}], "fresh", refresh=False)
    deadline = time.monotonic() + 20  # of a busy machine; what is promised is a second
    while serving.query("{:from :fresh :total true}")["total"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_server_on_the_same_data_is_refused(serving):
    command = [
        sys.executable,
        "-c",
        "from server.cli import main; main()",
        "serve",
        "--data",
        str(serving.data),
    ]
    done = subprocess.run([*command, "--port", "1"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "another klomp serves" in done.stderr
    assert "hint:" in done.stderr


def test_a_taken_port_is_named(serving, tmp_path):
    command = [
        sys.executable,
        "-c",
        "from server.cli import main; main()",
        "serve",
        "--data",
        str(tmp_path / "d"),
    ]
    done = subprocess.run(
        [*command, "--port", str(serving.port)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{serving.port}" in done.stderr
    assert not (tmp_path / "d").exists()
