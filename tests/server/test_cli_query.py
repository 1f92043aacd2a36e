# ruff: noqa: E501  # tables are as wide as they are
import csv
import io
import json
from functools import partial
from textwrap import dedent

import pytest
from cli_receiver import BREAK, NOW, Receiver, start
from click.testing import CliRunner, Result
from rich.console import Console

from server.cli import main
from server.cli.table import print_table


@pytest.fixture
def receiver():
    receiver = Receiver()
    server = start(receiver)
    yield receiver
    server.shutdown()
    server.server_close()


def ask(receiver: Receiver, *arguments: object, stdin: str | bytes | None = None) -> Result:
    command = ["query", *map(str, arguments), "--url", receiver.url]
    return CliRunner().invoke(main, command, input=stdin, catch_exceptions=False)


ROWS = [
    {
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "level": "error",
        "service": "edge",
        "message": "POST /checkout 504 in 5012.3 ms\nand a second line",
        "trace_id": "0123456789abcdef0123456789abcdef",
        "http": {"status": 504, "path": "/checkout"},
        "_stream": "main",
        "_number": 12,
    },
    {
        "timestamp": "2026-01-02T03:04:04.000001Z",
        "level": "info",
        "service": "search",
        "message": "3 hits for “木靴”",
        "trace_id": "fedcba9876543210fedcba9876543210",
        "latency_ms": 28.123456789,
        "tags": ["a", "b"],
        "_stream": "main",
        "_number": 11,
    },
]


def answered(receiver: Receiver, rows: list[dict], **more: object) -> None:
    receiver.answer = {"rows": rows, "cursor": None, "complete": True, "now": NOW, "took_ms": 3.14, **more}


WIDE = """\
timestamp                    level  service  http.status  http.path  latency_ms  tags       trace_id                      message
2026-01-02T03:04:05.678901Z  error  edge             504  /checkout                         0123456789abcdef0123456789a…  POST /checkout 504 in 5012.3 ms⏎and a second line
2026-01-02T03:04:04.000001Z  info   search                             28.12346  ["a","b"]  fedcba9876543210fedcba98765…  3 hits for “木靴”

2 rows · 12 345 total · 3.1 ms · next page: --after Q1VSU09S
"""

NARROW = """\
timestamp                    level  service  message
2026-01-02T03:04:05.678901Z  error  edge     POST /checkout 504 in 5012.3 ms⏎an…
2026-01-02T03:04:04.000001Z  info   search   3 hits for “木靴”

no room for http.status, http.path, latency_ms, tags and 1 more field: see --width 0, --format json
2 rows · 3.1 ms
"""


def test_a_table_fits_its_width(receiver):
    answered(receiver, ROWS)
    result = ask(receiver, "{}", "--format", "table", "--width", 80)
    assert result.stdout == NARROW
    assert result.exit_code == 0


def test_a_wide_table_shows_every_field(receiver):
    answered(receiver, ROWS, total=12_345, cursor="Q1VSU09S")
    result = ask(receiver, "{}", "--format", "table", "--width", 175)
    assert result.stdout == WIDE
    assert "0123456789abcdef0123456789abcdef" in ask(receiver, "{}", "--format", "table", "--width", 0).stdout


def test_no_line_passes_the_width(receiver):
    answered(receiver, ROWS)
    for width in range(60, 200):
        out = io.StringIO()
        print_table(Console(file=out, width=500), ROWS, width=width)
        lines = out.getvalue().splitlines()
        assert max(len(line) + line.count("木") + line.count("靴") for line in lines) <= width
        assert len(lines) == 3


def test_a_cut_never_splits_a_wide_character():
    out = io.StringIO()
    print_table(Console(file=out, width=500), [{"a": "木" * 40}], ["a"], width=21)
    assert out.getvalue().splitlines()[1] == "木" * 13 + " …"


def test_the_others_of_the_most_frequent_are_named(receiver):
    rows = [{"service": "a", "n": 3}, {"service": {"other": True}, "n": 2}, {"n": 1}]
    answered(receiver, rows, columns=["service", "n"])
    table = ask(receiver, "{}", "--format", "table").stdout.splitlines()
    assert table[:4] == ["service   n", "a         3", "(others)  2", "          1"]


def test_a_map_that_was_asked_for_is_shown_whole(receiver):
    rows = [{"http": {"status": 200}, "http.status": 200}, {"http.status": 404}]
    answered(receiver, rows, columns=["http", "http.status"])
    table = ask(receiver, "{}", "--format", "table").stdout.splitlines()
    assert table[:3] == [
        "http            http.status",
        '{"status":200}          200',
        "                        404",
    ]


def test_columns_of_the_question_keep_their_order(receiver):
    rows = [
        {"service": "b", "n": 10_981, "p95": 450.407926912419},
        {"service": "a", "n": 8, "p95": None},
        {"n": 1},
    ]
    answered(receiver, rows, columns=["service", "n", "p95"])
    want = """\
        service      n       p95
        b        10981  450.4079
        a            8
                     1

        3 rows · 3.1 ms
        """
    assert ask(receiver, "{}", "--format", "table").stdout == dedent(want)


def test_streams_are_shown_where_there_are_several(receiver):
    answered(receiver, [dict(ROWS[0], _stream="web"), ROWS[1]])
    header = ask(receiver, "{}", "--format", "table", "--width", 100).stdout.splitlines()[0]
    assert header.split() == ["timestamp", "level", "service", "_stream", "message"]


def test_no_rows_are_no_table(receiver):
    assert ask(receiver, "{}", "--format", "table").stdout == "0 rows · 1.5 ms\n"


def test_only_a_terminal_gets_colours(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for console, want in (
        (Console, False),
        (partial(Console, force_terminal=True, color_system="standard"), True),
    ):
        out = io.StringIO()
        print_table(console(file=out), ROWS, width=100)
        assert ("\x1b[31merror" in out.getvalue()) is want


def test_a_message_cannot_command_the_terminal(receiver):
    answered(receiver, [{"message": "\x1b]0;owned\x07 \u202e [bold]"}])
    table = ask(receiver, "{}", "--format", "table").stdout
    assert "␛]0;owned␇ \N{REPLACEMENT CHARACTER} [bold]" in table


def test_rows_are_json_lines_where_no_terminal_is(receiver):
    answered(receiver, ROWS, cursor="NEXT")
    result = ask(receiver, "{}")
    assert [json.loads(line) for line in result.stdout.splitlines()] == ROWS
    assert result.stderr == "2 rows; next page: --after NEXT\n"


def test_json_is_the_whole_answer(receiver):
    answered(receiver, ROWS, total=2)
    answer = json.loads(ask(receiver, "{}", "--format", "json").stdout)
    assert answer == receiver.answer


def test_edn_has_keywords_and_instants(receiver):
    answered(receiver, [{"timestamp": NOW, "http": {"status": 200}}])
    text = ask(receiver, "{}", "--format", "edn").stdout
    assert text.startswith(f'{{:rows [{{:timestamp #inst "{NOW}", :http {{:status 200}}}}] ')


def test_csv_has_the_columns_in_order_of_appearance(receiver):
    answered(receiver, [{"a": 'x, "y"', "b": {"c": 1}}, {"d": None, "a": 2.5, "e": "z\nz"}])
    rows = list(csv.reader(io.StringIO(ask(receiver, "{}", "--format", "csv").stdout, newline="")))
    assert rows == [["a", "b", "d", "e"], ['x, "y"', '{"c":1}', "", ""], ["2.5", "", "", "z\nz"]]


def test_what_is_not_complete_or_exact_is_said(receiver):
    warning = {"code": "slow", "message": "one segment was not read", "hint": "ask again"}
    answered(receiver, [], complete=False, warnings=[warning], approximate={"p95": "within 1 %"})
    assert ask(receiver, "{}").stderr.splitlines() == [
        "warning: the answer is not complete",
        "warning: one segment was not read; ask again",
        "warning: p95 is approximate: within 1 %",
    ]


def test_a_mistake_shows_its_place(receiver):
    text = "error[unknown-operator]: no operator :betwen\n 1 | [:betwen]\n   |  ^^^^^^^\nhint: did you mean :between?"
    receiver.scripted = [
        (400, {"errors": [{"code": "unknown-operator", "message": "no operator"}], "text": text})
    ]
    result = ask(receiver, "{:where [:betwen]}")
    assert result.exit_code == 2
    assert result.stderr == text + "\n"
    assert result.stdout == ""


def test_a_mistake_without_a_place_is_one_line(receiver):
    receiver.scripted = [
        (404, {"errors": [{"code": "unknown-stream", "message": "no stream x", "hint": "there are: a"}]})
    ]
    result = ask(receiver, "{}")
    assert (result.exit_code, result.stderr) == (2, "error: no stream x; there are: a\n")


def test_a_broken_connection_is_told(receiver):
    receiver.scripted = [BREAK]
    result = ask(receiver, "{}")
    assert result.exit_code == 2
    assert "broke the connection after the request was sent" in result.stderr


def test_something_else_answers(receiver):
    receiver.scripted = [(200, b"<html>hello</html>")]
    result = ask(receiver, "{}")
    assert (
        result.stderr
        == f"error: {receiver.url} answered <html>hello</html>; is that a klomp server? check --url\n"
    )


DOCUMENTS = [
    (["{:limit 1}"], "{:limit 1}"),
    ([" ; a comment\n{:limit 1} "], " ; a comment\n{:limit 1} "),
    (["[:= :a 1]"], "{:where [:= :a 1]}"),
    (["[:= :a 1]", "--from", "web", "--from", "*"], "{:where [:= :a 1]\n :from :*}"),
    (["[:= :a 1]", "--last", "1h", "--limit", "5"], '{:where [:= :a 1]\n :time {:last "1h"}\n :limit 5}'),
    (["--last", '1h"} :limit {"'], '{:time {:last "1h\\"} :limit {\\""}}'),
]


@pytest.mark.parametrize(("arguments", "want"), DOCUMENTS)
def test_the_document_that_is_sent(receiver, arguments, want):
    assert ask(receiver, *arguments).exit_code == 0
    request = receiver.requests[0]
    assert request.body.decode() == want
    assert request.headers["content-type"] == "application/edn"
    assert request.query == {}


def test_the_cursor_travels_beside_the_document(receiver):
    ask(receiver, "{:limit 1}", "--after", "a+b/c=&")
    assert receiver.requests[0].query == {"after": ["a+b/c=&"]}
    assert receiver.requests[0].body == b"{:limit 1}"


def test_the_question_may_come_from_a_file_or_a_pipe(receiver, tmp_path):
    file = tmp_path / "q.edn"
    file.write_text('{:where [:= :a "é"]}', encoding="utf-8")
    ask(receiver, "--file", file)
    ask(receiver, "-", stdin='{:where [:= :a "é"]}'.encode())
    assert [request.body for request in receiver.requests] == [file.read_bytes()] * 2


MISUSED = [
    ([], "no question"),
    ([" "], "no question"),
    (["{}", "--limit", "3"], "complete a predicate"),
    (["[]", "--from", "a b"], "no name of a stream"),
    (["[]", "--limit", "-1"], "--limit"),
    (["{}", "--format", "xml"], "--format"),
    (["{}", "--data", "/nowhere"], "--data"),
]


@pytest.mark.parametrize(("arguments", "want"), MISUSED)
def test_misuse_is_told_before_anything_is_asked(receiver, arguments, want):
    result = ask(receiver, *arguments)
    assert result.exit_code == 2
    assert want in result.stderr
    assert receiver.requests == []


def test_a_question_that_is_not_utf8(receiver):
    result = ask(receiver, "-", stdin=b'{:where "\xff"}')
    assert (result.exit_code, result.stderr) == (2, "error: the question is not UTF-8 at byte 9\n")


def test_streams_are_listed(receiver):
    first, last = "2026-01-02T03:04:05.000000Z", "2026-01-03T03:04:05.000000Z"
    stream = {"name": "main", "records": 12_345, "bytes": 5_000_000, "disk_bytes": 900, "first_time": first}
    empty = {
        "name": "an-empty-one",
        "records": 0,
        "bytes": 0,
        "disk_bytes": 0,
        "first_time": None,
        "last_time": None,
    }
    receiver.streams = [{**stream, "last_time": last}, empty]
    want = """\
        stream        records     size  on disk  first                        last
        main           12 345  4.8 MiB    900 B  2026-01-02T03:04:05.000000Z  2026-01-03T03:04:05.000000Z
        an-empty-one        0      0 B      0 B
        2 streams · 12 345 records
        """
    result = CliRunner().invoke(main, ["streams"], env={"KLOMP_URL": receiver.url})
    assert result.stdout == dedent(want)
    result = CliRunner().invoke(main, ["streams", "--format", "json", "--url", receiver.url])
    assert json.loads(result.stdout) == receiver.streams


def test_a_folder_is_asked_without_a_server(tmp_path):
    runner = CliRunner()
    result = runner.invoke(main, ["query", "[:= :levl]", "--data", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stderr.startswith("error[wrong-arity]: ")
    assert " 1 | {:where [:= :levl]}\n" in result.stderr
    result = runner.invoke(main, ["query", "{}", "--data", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stderr.startswith("error[unknown-stream]: no stream 'main'")
