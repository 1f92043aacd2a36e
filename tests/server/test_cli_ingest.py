import bz2
import gzip
import json
import lzma
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import zstandard
from cli_receiver import BREAK, Receiver, start
from click.testing import CliRunner, Result

from server import client
from server.cli import main
from server.cli.documents import Kind
from server.cli.lines import LINE_BYTES_MAX, split_lines
from server.cli.sources import detect


@pytest.fixture
def receiver():
    receiver = Receiver()
    server = start(receiver)
    yield receiver
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(client, "BACKOFF_FIRST_S", 0.001)


def ingest(receiver: Receiver, *arguments: object, stdin: bytes | None = None) -> Result:
    command = ["ingest", "--url", receiver.url, *map(str, arguments)]
    return CliRunner().invoke(main, command, input=stdin, catch_exceptions=False)


def written(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def ndjson(count: int) -> str:
    return "".join(f'{{"n": {number}}}\n' for number in range(1, count + 1))


def test_json_lines_pass_unchanged_in_batches(receiver, tmp_path):
    file = written(tmp_path, "a.ndjson", ndjson(25))
    result = ingest(receiver, file, "--batch", 10, "--stream", "web", "--connections", 1)
    assert result.exit_code == 0
    assert [len(request.lines) for request in receiver.requests] == [10, 10, 5]
    assert b"\n".join(receiver.lines) + b"\n" == file.read_bytes()
    assert {request.path for request in receiver.requests} == {"/v1/streams/web/logs"}
    assert receiver.requests[0].headers["content-type"] == "application/x-ndjson"
    assert receiver.connections == 1
    assert result.stderr.startswith("25 records accepted, 0 rejected in ")
    assert result.stdout == ""


def test_numbers_are_grouped_in_the_last_line(receiver, tmp_path):
    result = ingest(receiver, written(tmp_path, "a.ndjson", ndjson(20_000)))
    assert result.stderr.startswith("20 000 records accepted, 0 rejected in ")
    assert len(receiver.lines) == 20_000


def test_no_request_passes_four_mebibytes(receiver, tmp_path):
    line = json.dumps({"message": "x" * 900_000})
    ingest(receiver, written(tmp_path, "big", f"{line}\n" * 9), "--connections", 1)
    assert [len(request.lines) for request in receiver.requests] == [4, 4, 1]
    assert max(len(request.body) for request in receiver.requests) <= 4 << 20


def test_several_connections_lose_nothing(receiver, tmp_path):
    file = written(tmp_path, "a.ndjson", ndjson(1000))
    assert ingest(receiver, file, "--batch", 20, "--connections", 4).exit_code == 0
    assert sorted(row["n"] for row in receiver.records) == list(range(1, 1001))
    assert 1 < receiver.connections <= 4


def test_a_text_line_becomes_a_message(receiver, tmp_path):
    file = written(tmp_path, "a.log", "\n[error] one\r\n   \n  two indented  \nlast without end")
    result = ingest(receiver, file, "--field", "service=nginx", "--field", "zone=a=b")
    assert result.exit_code == 0
    assert receiver.records == [
        {"service": "nginx", "zone": "a=b", "message": "[error] one"},
        {"service": "nginx", "zone": "a=b", "message": "  two indented  "},
        {"service": "nginx", "zone": "a=b", "message": "last without end"},
    ]


def test_text_arrives_in_its_order(receiver, tmp_path):
    ingest(receiver, written(tmp_path, "a.log", "".join(f"line {n}\n" for n in range(100))), "--batch", 3)
    assert [row["message"] for row in receiver.records] == [f"line {n}" for n in range(100)]


def test_text_that_is_not_utf8_is_read_as_latin1_and_counted(receiver, tmp_path):
    file = written(tmp_path, "old.log", b"fine \xe2\x82\xac\nCaf\xe9\n\xff\xfe\n")
    result = ingest(receiver, file)
    assert [row["message"] for row in receiver.records] == ["fine €", "Café", "ÿþ"]
    assert f"2 lines were not UTF-8 and were read as Latin-1, the first at {file}:2\n" in result.stderr
    assert result.exit_code == 0


def test_json_lines_that_are_not_utf8_are_for_the_server_to_judge(receiver, tmp_path):
    file = written(tmp_path, "a.ndjson", b'{"a": 1}\n{"a": "\xff"}\n')
    result = ingest(receiver, file)
    assert receiver.lines[1] == b'{"a": "\xff"}'
    assert result.exit_code == 1
    assert f"{file}:2: bad-json: not JSON\n1 record accepted, 1 rejected in" in result.stderr


def test_rejected_records_are_named_by_line_then_counted(receiver, tmp_path):
    receiver.reject = lambda line: ("odd", "an odd number") if json.loads(line)["n"] % 2 else None
    file = written(tmp_path, "a.ndjson", "\n\n" + ndjson(30))
    result = ingest(receiver, file, "--batch", 8)
    lines = result.stderr.splitlines()
    assert result.exit_code == 1
    assert lines[0] == f"{file}:3: odd: an odd number"
    assert lines[9] == f"{file}:21: odd: an odd number"
    assert lines[10] == "… and 5 more: 5 odd"
    assert lines[11].startswith("15 records accepted, 15 rejected in ")


def test_all_rejected_is_no_failure_of_the_run(receiver, tmp_path):
    receiver.reject = lambda line: ("no", "never")
    result = ingest(receiver, written(tmp_path, "a.ndjson", ndjson(3)), "--batch", 1)
    assert result.exit_code == 1
    assert len(receiver.requests) == 3


def test_what_the_server_does_not_list_is_still_counted(receiver, tmp_path):
    listed = [{"index": 0, "code": "odd", "message": "odd"}]
    receiver.scripted = [(202, {"accepted": 1, "rejected": listed, "rejected_count": 4})]
    result = ingest(receiver, written(tmp_path, "a.ndjson", ndjson(5)))
    assert "… and 3 more: 3 not listed\n1 record accepted, 4 rejected in" in result.stderr


def test_a_message_cannot_command_the_terminal(receiver, tmp_path):
    receiver.reject = lambda line: ("bad", "\x1b[2J\x07")
    result = ingest(receiver, written(tmp_path, "a.ndjson", ndjson(1)))
    assert "bad: ␛[2J␇" in result.stderr


@pytest.mark.parametrize("kind", ["ndjson", "text"])
def test_a_long_line_is_skipped_and_named(receiver, tmp_path, kind):
    limit = b'{"m":"' + b"x" * (LINE_BYTES_MAX - 8) + b'"}'
    file = written(
        tmp_path, "long", b'{"n":1}\n' + b"x" * (5 << 20) + b'\n{"n":2}\n' + limit + b"\n" + limit + b" "
    )
    result = ingest(receiver, file, "--as", kind)
    assert result.exit_code == 1
    assert len(receiver.lines) == 3
    assert f"{file}:2: too-large: a line of 5242880 bytes, more than the 1048576" in result.stderr
    assert f"{file}:5: too-large: a line of 1048577 bytes" in result.stderr
    assert "3 records accepted, 2 rejected" in result.stderr


def test_a_long_line_is_never_in_memory():
    held = 0

    def chunks():
        for _ in range(400):
            yield b"y" * 262_144
        yield b"\nnext\n"

    for line in split_lines(chunks()):
        held = max(held, len(line.data or b""))
    assert held == 4
    assert line.number == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_do_not_depend_on_how_they_come(size):
    data = b"one\n\ntwo\r\nthree"
    lines = list(split_lines(data[start : start + size] for start in range(0, len(data), size)))
    assert [(line.number, line.data) for line in lines] == [
        (1, b"one"),
        (2, b""),
        (3, b"two\r"),
        (4, b"three"),
    ]


DETECTED = [
    ('{"a": 1}\n', Kind.NDJSON),
    ('\n  {"a": 1}\n', Kind.NDJSON),
    ('{"a": 1}', Kind.NDJSON),
    ('{"a": 1, "b": "' + "x" * 1000, Kind.NDJSON),  # the first line goes on past what is looked at
    ('{"a": 1,}\n{"a": 2}\n', Kind.NDJSON),  # a broken first line
    ('{"a": 1, "b": "cut o\n{"a": 2}\n', Kind.NDJSON),
    ('{\n  "a": 1\n}\n', Kind.JSON),
    ('{ "resourceLogs": [\n', Kind.JSON),
    ("{}\n", Kind.NDJSON),
    ('[{"a": 1}, {"a": 2}]', Kind.JSON),
    ('[\n  {"a": 1}\n]', Kind.JSON),
    ("[]", Kind.JSON),
    ("[", Kind.JSON),
    ("{:a 1}\n{:a 2}\n", Kind.EDN),
    ("[{:a 1}]", Kind.EDN),
    ("[2026-01-02 03:04:05] INFO up\n", Kind.TEXT),
    ("[Sun Dec 04 04:47:44 2005] [notice] up\n", Kind.TEXT),
    ("{thread-1} started\n", Kind.TEXT),
    ("<34>Oct 11 22:14:15 host su: failed\n", Kind.TEXT),
    ("12\n", Kind.TEXT),
    ("", Kind.TEXT),
]


@pytest.mark.parametrize(("head", "kind"), DETECTED)
def test_the_beginning_tells_what_a_file_holds(head, kind):
    assert detect(head.encode()) is kind


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": "é"}, {"a": [1, {"b": null}]}]',
        '[\n  {"a": 1},\n  {"a": "é"},\n  {"a": [1, {"b": null}]}\n]\n',
        '{\n"a": 1\n}\n{\n"a": "é"\n}\n\n{"a": [1, {"b": null}]}\n',
    ],
)
def test_a_json_document_is_taken_apart(receiver, tmp_path, text):
    assert ingest(receiver, written(tmp_path, "a.json", text), "--connections", 1).exit_code == 0
    assert receiver.records == [{"a": 1}, {"a": "é"}, {"a": [1, {"b": None}]}]


def test_a_record_of_a_json_document_has_a_number(receiver, tmp_path):
    file = written(tmp_path, "a.json", '[{"a": 1}, 7]')
    assert f"{file}#2: not-a-map: a record is a map" in ingest(receiver, file).stderr


BROKEN_JSON = [
    ('{\n "a": 1\n', ":3 is no JSON document: expecting ',' delimiter"),
    ("[" * 100_000 + "{", " is no JSON document: nested too deep"),
    ('[{"a": NaN}]', " is no JSON document: nan is no json value"),
]


@pytest.mark.parametrize(("text", "want"), BROKEN_JSON)
def test_a_broken_json_document_ends_the_run(receiver, tmp_path, text, want):
    file = written(tmp_path, "a.json", text)
    result = ingest(receiver, file, "--as", "json")
    assert result.exit_code == 2
    assert f"error: {file}" in result.stderr
    assert want in result.stderr
    assert "--as ndjson" in result.stderr
    assert receiver.requests == []


EDN = '{:level :error :message "één" :tags #{:a} :at #inst "2026-01-02"}'


@pytest.mark.parametrize(
    "text", [f"{EDN}\n{EDN}\n", f"[{EDN}\n {EDN}]", f"\n{EDN.replace(' ', chr(10), 1)} {EDN}"]
)
def test_edn_maps_become_json(receiver, tmp_path, text):
    assert ingest(receiver, written(tmp_path, "a.edn", text)).exit_code == 0
    record = {"level": "error", "message": "één", "tags": ["a"], "at": "2026-01-02T00:00:00Z"}
    assert receiver.records == [record, record]


def test_a_broken_line_of_edn_is_skipped(receiver, tmp_path):
    file = written(tmp_path, "a.edn", '{:a 1}\n{:a 2\n\n{:a 3}\n{:b 1 "b" 2}\n')
    result = ingest(receiver, file)
    assert receiver.records == [{"a": 1}, {"a": 3}]
    assert f"{file}:2: missing-bracket: this {{ is never closed" in result.stderr
    assert f"{file}:5: duplicate-key: " in result.stderr


def test_a_broken_edn_document_shows_where(receiver, tmp_path):
    file = written(tmp_path, "a.edn", "[{:a 1}\n {:a }]")
    result = ingest(receiver, file)
    assert result.exit_code == 2
    assert " 2 |  {:a }]\n   |   ^^\n" in result.stderr


def test_fields_are_for_text_only(receiver, tmp_path):
    file = written(tmp_path, "a.ndjson", ndjson(1))
    result = ingest(receiver, file, "--field", "a=1")
    assert result.exit_code == 2
    assert f"error: --field is for text lines, and {file} holds NDJSON\n" in result.stderr
    assert ingest(receiver, file, "--field", "a").exit_code == 2


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_compressed_files_are_read_as_they_are(receiver, tmp_path, packed):
    data = packed(ndjson(3).encode()) + packed(b'{"n": 4}\n')
    assert ingest(receiver, written(tmp_path, "a", data)).exit_code == 0
    assert [row["n"] for row in receiver.records] == [1, 2, 3, 4]


def test_what_comes_before_the_cut_of_a_compressed_file_is_sent(receiver, tmp_path):
    noise = "".join(json.dumps({"n": number, "x": os.urandom(30).hex()}) + "\n" for number in range(20_000))
    whole = gzip.compress(noise.encode())
    file = written(tmp_path, "a.gz", whole[: len(whole) // 2])
    result = ingest(receiver, file, "--refresh")
    assert result.exit_code == 2
    assert f"error: {file} cannot be read to its end: " in result.stderr
    assert len(receiver.lines) > 5_000
    assert f"what follows {file}:{len(receiver.lines)} was not sent" in result.stderr


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_requests_can_be_compressed(receiver, tmp_path, compress):
    ingest(receiver, written(tmp_path, "a.ndjson", ndjson(10)), "--compress", compress)
    assert len(receiver.records) == 10
    assert receiver.requests[0].headers["content-encoding"] == compress


def test_refresh_waits_once_and_last(receiver, tmp_path):
    files = [written(tmp_path, f"{n}.ndjson", ndjson(25)) for n in range(2)]
    ingest(receiver, *files, "--batch", 10, "--refresh")
    assert [request.query.get("refresh") for request in receiver.requests] == [None] * 5 + [["wait"]]
    assert len(receiver.lines) == 50


def test_a_wait_in_vain_is_told(receiver, tmp_path):
    receiver.scripted = [(202, {"accepted": 1, "rejected": [], "rejected_count": 0, "searchable": False})]
    result = ingest(receiver, written(tmp_path, "a.ndjson", ndjson(1)), "--refresh")
    assert "did not get round to indexing all of them" in result.stderr


def test_an_empty_file_sends_nothing(receiver, tmp_path):
    result = ingest(receiver, written(tmp_path, "empty", b""), written(tmp_path, "blank", b"\n \n"))
    assert result.exit_code == 0
    assert receiver.requests == []
    assert result.stderr.startswith("0 records accepted, 0 rejected in ")


def test_standard_input_is_a_file_named_stdin(receiver):
    result = ingest(receiver, "-", stdin=b'\xef\xbb\xbf{"n": 1}\n{"n": }\n')
    assert receiver.lines[0] == b'{"n": 1}'
    assert "stdin:2: bad-json" in result.stderr


def test_what_a_slow_pipe_brings_does_not_wait_for_its_end(receiver):
    command = [
        sys.executable,
        "-c",
        "from server.cli import main; main()",
        "ingest",
        "-",
        "--url",
        receiver.url,
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"first\nsec")
        process.stdin.flush()
        deadline = time.monotonic() + 20
        while not receiver.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        assert receiver.records == [{"message": "first"}]
        process.stdin.write(b"ond\n")
        _, stderr = process.communicate()
    assert receiver.records == [{"message": "first"}, {"message": "second"}]
    assert stderr.startswith(b"2 records accepted")
    assert process.returncode == 0


def test_a_server_that_is_not_there_is_said_at_once(tmp_path):
    file = written(tmp_path, "a.ndjson", ndjson(3))
    result = CliRunner().invoke(main, ["ingest", str(file), "--url", "http://127.0.0.1:9"])
    assert result.exit_code == 2
    first = "error: cannot reach http://127.0.0.1:9: connection refused; start it with: klomp serve"
    assert result.stderr.splitlines()[:2] == [first, f"  {file}:1 to {file}:3: not taken"]


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://127.0.0.1:99999", "http://x?y=1"])
def test_a_url_that_is_none(tmp_path, url):
    result = CliRunner().invoke(main, ["ingest", str(written(tmp_path, "a", "x")), "--url", url])
    assert result.exit_code == 2
    assert "write it like http://127.0.0.1:8080" in result.stderr


def test_a_busy_server_is_asked_again(receiver, tmp_path):
    busy = {"errors": [{"code": "busy", "message": "the log is full", "hint": "wait"}]}
    receiver.scripted = [(503, busy, {"Retry-After": "0"}), (507, busy), (503, busy)]
    result = ingest(receiver, written(tmp_path, "a.ndjson", ndjson(2)))
    assert result.exit_code == 0
    assert len(receiver.requests) == 4


def test_a_server_that_stays_busy_is_given_up(receiver, tmp_path):
    busy = (507, {"errors": [{"code": "disk-full", "message": "no room", "hint": "free some"}]})
    receiver.scripted = [busy] * 20
    file = written(tmp_path, "a.ndjson", ndjson(30))
    result = ingest(receiver, file, "--batch", 10, "--connections", 1)
    assert result.exit_code == 2
    assert "error: no room; free some\n" in result.stderr
    assert f"  {file}:1 to {file}:10: not taken\n" in result.stderr
    assert "0 records accepted" in result.stderr


def test_a_batch_whose_answer_is_lost_is_sent_again_with_its_key(receiver, tmp_path):
    file = written(tmp_path, "a.ndjson", ndjson(40))
    accepted = (202, {"accepted": 10, "rejected": [], "rejected_count": 0})
    receiver.scripted = [accepted, BREAK, accepted]
    result = ingest(receiver, file, "--batch", 10, "--connections", 1)
    assert result.exit_code == 0, result.stderr
    bodies = [request.body for request in receiver.requests]
    keys = [request.headers["idempotency-key"] for request in receiver.requests]
    assert len(bodies) == 5
    assert [(bodies[2], keys[2])] == [(bodies[1], keys[1])]
    assert len(set(keys)) == 4


def test_a_batch_that_never_gets_an_answer_is_named(receiver, tmp_path):
    file = written(tmp_path, "a.ndjson", ndjson(40))
    accepted = (202, {"accepted": 10, "rejected": [], "rejected_count": 0})
    receiver.scripted = [accepted, *[BREAK] * client.ATTEMPTS_MAX, accepted]
    result = ingest(receiver, file, "--batch", 10, "--connections", 1)
    assert result.exit_code == 2
    assert f"error: {receiver.url} broke the connection after the request was sent\n" in result.stderr
    assert f"  {file}:11 to {file}:20: nobody knows if the server has them\n" in result.stderr
    sent = len({request.body for request in receiver.requests}) * 10
    assert sent == 40 or f"  what follows {file}:{sent} was not sent\n" in result.stderr


def test_a_refusal_ends_the_run(receiver, tmp_path):
    receiver.scripted = [
        (
            400,
            {"errors": [{"code": "bad-stream-name", "message": "no stream name: 'a b'", "hint": "use a-z"}]},
        )
    ]
    file = written(tmp_path, "a.ndjson", ndjson(3))
    result = ingest(receiver, file, "--stream", "a b")
    assert result.exit_code == 2
    assert receiver.requests[0].path == "/v1/streams/a%20b/logs"
    assert "error: no stream name: 'a b'; use a-z\n" in result.stderr


def test_a_page_of_somebody_else_is_no_answer(receiver, tmp_path):
    receiver.scripted = [(502, b"<html>Bad   Gateway</html>")]
    result = ingest(receiver, written(tmp_path, "a.ndjson", ndjson(1)))
    assert f"error: {receiver.url} answered 502: <html>Bad Gateway</html>\n" in result.stderr


def test_a_request_too_large_for_the_server_is_halved(receiver, tmp_path):
    receiver.body_bytes_max = 40
    big = json.dumps({"n": 99, "x": "y" * 50})
    file = written(tmp_path, "a.ndjson", ndjson(8) + big + "\n" + ndjson(2))
    result = ingest(receiver, file, "--connections", 1)
    assert result.exit_code == 1
    assert [row["n"] for row in receiver.records] == [*range(1, 9), 1, 2]
    assert f"{file}:9: body-too-large: the body is too large\n" in result.stderr
    assert "10 records accepted, 1 rejected" in result.stderr


def test_utf16_and_missing_files_are_refused(receiver, tmp_path):
    result = ingest(receiver, written(tmp_path, "a", "hello\n".encode("utf-16")))
    assert result.exit_code == 2
    assert "is UTF-16; convert it with: iconv" in result.stderr
    assert ingest(receiver, tmp_path / "none").exit_code == 2
    assert ingest(receiver, tmp_path).exit_code == 2


def test_files_after_a_failure_are_not_begun(receiver, tmp_path):
    bad, good = written(tmp_path, "bad.json", "[{"), written(tmp_path, "good.ndjson", ndjson(1))
    result = ingest(receiver, bad, good)
    assert result.exit_code == 2
    assert receiver.requests == []
    assert "nothing was sent" in result.stderr


def test_an_interrupt_tells_how_far_it_came(receiver, tmp_path, monkeypatch):
    file = written(tmp_path, "a.ndjson", ndjson(30))
    lines = file.read_bytes().splitlines(keepends=True)

    def interrupted():
        yield b"".join(lines[:20])
        raise KeyboardInterrupt

    monkeypatch.setattr("server.cli.sources.Source._chunks", lambda _: interrupted())
    result = ingest(receiver, file, "--batch", 10)
    assert result.exit_code == 130
    assert f"interrupted\n  what follows {file}:20 was not sent\n20 records accepted" in result.stderr


def test_a_terminal_sees_progress(receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    receiver.reject = lambda line: ("odd", "odd") if b"7" in line else None
    result = ingest(receiver, written(tmp_path, "a.ndjson", ndjson(10)), "--batch", 2)
    assert "odd: odd" in result.stderr
    assert "9 records accepted, 1 rejected" in result.stderr


def test_standard_input_may_be_compressed(receiver):
    assert ingest(receiver, "-", stdin=gzip.compress(ndjson(2).encode())).exit_code == 0
    assert len(receiver.lines) == 2


def test_a_document_is_read_up_to_a_limit(receiver, tmp_path, monkeypatch):
    monkeypatch.setattr("server.cli.documents.JSON_BYTES_MAX", 1 << 20)
    monkeypatch.setattr("server.cli.documents.EDN_BYTES_MAX", 1 << 20)
    for name, text in (
        ("a.json", "[{}" + " " * (1 << 20) + "]"),
        ("a.edn", "[{:a 1}\n" + " " * (1 << 21) + "\n]"),
    ):
        result = ingest(receiver, written(tmp_path, name, text))
        assert result.exit_code == 2
        assert (
            f" is one {name[2:].upper()} document of over 1 MiB; write it as one record a line"
            in result.stderr
        )
    assert receiver.requests == []


def test_a_document_must_be_utf8_but_a_line_of_edn_is_only_skipped(receiver, tmp_path):
    result = ingest(receiver, written(tmp_path, "a.json", b'[{"a": "\xff"}]'))
    assert (result.exit_code, "is not UTF-8 at byte 8" in result.stderr) == (2, True)
    result = ingest(receiver, written(tmp_path, "a.edn", b'{:a 1}\n{:a "\xff"}\n'))
    assert (result.exit_code, "a.edn:2: bad-utf-8: the line is not UTF-8" in result.stderr) == (1, True)


def test_what_json_cannot_write_is_skipped(receiver, tmp_path):
    result = ingest(
        receiver, written(tmp_path, "a.json", '[{"a": "\\ud800"}, {"b": 123456789012345678901234567890}]')
    )
    assert result.exit_code == 1
    assert "a.json#1: bad-value: no JSON for it: " in result.stderr
    assert receiver.lines == [b'{"b": 123456789012345678901234567890}']


def test_a_body_that_did_not_leave_whole_is_sent_again(receiver):
    """The first connection is closed in the middle of the body, so the server cannot have taken it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        client.Client("http://x", attempts_max=3) as sender,
    ):
        sender.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def hang_up_then_answer():
            first, _ = listener.accept()
            first.recv(1000)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            first.close()
            second, _ = listener.accept()
            with second, second.makefile("rb") as file:
                length = 0
                while (line := file.readline().strip()) != b"":
                    length = int(line.split()[1]) if line.lower().startswith(b"content-length") else length
                file.read(length)
                second.sendall(b'HTTP/1.1 202 OK\r\nContent-Length: 15\r\n\r\n{"accepted": 1}')

        thread = threading.Thread(target=hang_up_then_answer)
        thread.start()
        assert sender.ingest("main", [b"x" * (16 << 20)]) == client.Accepted(1, (), 0)
        thread.join()


def test_ready_is_what_the_server_says(receiver):
    with client.Client(receiver.url) as asker:
        receiver.scripted = [(200, {}), (503, {}), BREAK]
        assert [asker.ready() for _ in range(3)] == [True, False, False]
    with client.Client("127.0.0.1:9") as asker:
        assert not asker.ready()
