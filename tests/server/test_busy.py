"""Many queries at once, through a real server: who waits, who is refused, and what hanging up does."""

import re
import socket
import threading
import time

import pytest

from tests.support.serving import Serving

EDN = "application/edn"
# Many texts that the index finds in every record and that none has: each record is read and looked through.
SLOW = (
    "{:where [:or "
    + " ".join(f'[:contains :message "hello {c}{d}  "]' for c in "abcdefghijklmnopqrst" for d in range(40))
    + "] :from :slow"
)


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    server = Serving(
        tmp_path_factory.mktemp("busy") / "data",
        None,
        "--query-threads",
        "1",
        "--query-queue-max",
        "1",
        "--query-timeout-s",
        "20",
    )
    words = " ".join(f"hello {c}{d}" for c in "abcdefghijklmnopqrst" for d in range(40))
    server.ingest([{"message": f"{n} {words}"} for n in range(4000)], "slow")
    server.ingest([{"message": "hello"}])
    yield server
    assert server.stop() == 0


def ask(serving, text, **headers):
    status, answer, got = serving.request("POST", "/v1/query", text, content_type=EDN, **headers)
    return status, answer, got


def test_a_query_has_its_own_time(serving):
    started = time.monotonic()
    status, answer, _ = ask(serving, SLOW + ' :timeout "300ms"}')
    assert (status, answer["errors"][0]["code"]) == (504, "query-timeout")
    status, answer, _ = ask(serving, SLOW + ' :timeout "300ms" :on-timeout :partial}')
    assert (status, answer["complete"], answer["warnings"][0]["code"]) == (200, False, "out-of-time")
    assert time.monotonic() - started < 15  # each took a minute otherwise
    status, answer, _ = ask(serving, '{:timeout "2h"}')
    assert (status, answer["errors"][0]["code"]) == (400, "timeout-too-long")


def test_who_finds_the_line_full_is_sent_away_and_told_when_to_come_back(serving):
    outcomes = []

    def one():
        outcomes.append(ask(serving, SLOW + ' :timeout "2s"}'))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    codes = sorted(answer["errors"][0]["code"] for _, answer, _ in outcomes)
    assert codes == ["query-timeout"] * 2 + ["too-busy"] * 4
    for status, answer, headers in outcomes:
        if answer["errors"][0]["code"] == "too-busy":
            assert status == 503
            assert int(headers["retry-after"]) >= 1
    assert ask(serving, "{}")[1]["rows"]


def hang_up_after(serving, text, seconds):
    body = text.encode()
    head = f"POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: {EDN}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", serving.port)) as connection:
        connection.sendall(head.encode() + body)
        time.sleep(seconds)


def test_a_query_whose_client_hangs_up_stops(serving):
    started = time.monotonic()
    hang_up_after(serving, SLOW + ' :timeout "20s"}', 0.5)
    # The only thread is free again long before the query would have ended.
    status, answer, _ = ask(serving, "{}")
    assert (status, len(answer["rows"])) == (200, 1)
    assert time.monotonic() - started < 10


def test_nothing_of_it_is_a_fault(serving):
    assert not re.search(r"Traceback|ERROR", serving.log.read_text())
