import json
from collections import Counter
from itertools import pairwise

import pytest
from cli_receiver import Receiver, start
from click.testing import CliRunner

from server.cli import demo as command
from server.cli import main
from server.cli.common import grouped
from server.client import Client
from server.demo.generator import CALM_US, MINUTE_US, OUTAGE_US, SECOND_US, Demo, day_curve, rfc3339

START_US = 1_767_355_200_000_000  # 2026-01-02T12:00:00Z


@pytest.fixture(scope="module")
def ten_minutes():
    return list(Demo(1, START_US).records(START_US + 10 * MINUTE_US))


def test_the_same_seed_makes_the_same_records(ten_minutes):
    assert list(Demo(1, START_US).records(START_US + 10 * MINUTE_US)) == ten_minutes
    assert list(Demo(2, START_US).records(START_US + 10 * MINUTE_US)) != ten_minutes


@pytest.mark.parametrize("step_us", [1, 7, 777_777, SECOND_US, 61 * SECOND_US])
def test_it_does_not_matter_how_they_are_asked_for(ten_minutes, step_us):
    demo = Demo(1, START_US)
    until_us = min(START_US + 2_000 * step_us, START_US + 10 * MINUTE_US)
    records = [record for now_us in range(START_US, until_us, step_us) for record in demo.records(now_us)]
    records += demo.records(until_us)
    assert records == [record for record in ten_minutes if record["timestamp"] < rfc3339(until_us)]


def test_records_are_in_the_order_of_time_and_within_it(ten_minutes):
    times = [record["timestamp"] for record in ten_minutes]
    assert all(before <= after for before, after in pairwise(times))
    assert rfc3339(START_US) <= times[0]
    assert times[-1] < rfc3339(START_US + 10 * MINUTE_US)


def test_every_service_and_level_writes(ten_minutes):
    services = Counter(record["service"] for record in ten_minutes)
    assert set(services) == {
        "edge", "checkout", "payments", "auth", "search", "inventory", "postgres", "cron", "kernel",
    }  # fmt: skip
    assert {record["level"] for record in ten_minutes} == {"debug", "info", "warn", "error", "fatal"}
    for record in ten_minutes:
        assert {"timestamp", "level", "service", "host", "message"} <= set(record)
        assert record["message"].strip() == record["message"] != ""


def test_a_request_is_followed_through_the_services(ten_minutes):
    services: dict[str, set[str]] = {}
    for record in ten_minutes:
        if "trace_id" in record:
            assert len(record["trace_id"]) == 32
            services.setdefault(record["trace_id"], set()).add(record["service"])
    assert {"edge", "checkout", "payments", "inventory"} in services.values()
    assert {"edge", "search"} in services.values()


def test_the_payments_fail_for_a_while(ten_minutes):
    def errors(begin_us: int, end_us: int) -> float:
        within = [row for row in ten_minutes if rfc3339(begin_us) <= row["timestamp"] < rfc3339(end_us)]
        return sum(row["level"] == "error" for row in within) / len(within)

    begin_us = START_US + CALM_US
    calm = errors(START_US, begin_us)
    outage = errors(begin_us + 10 * SECOND_US, begin_us + OUTAGE_US)
    assert calm < 0.01
    assert outage > 0.1
    messages = " ".join(row["message"] for row in ten_minutes)
    assert "connection reset by peer" in messages
    assert "upstream timeout" in messages
    assert any(row["message"].count("\n") > 5 for row in ten_minutes)
    assert {504, 502, 402, 201} <= {row["http"]["status"] for row in ten_minutes if row["service"] == "edge"}


def test_it_has_a_needle_and_is_not_all_ascii(ten_minutes):
    assert sum("klompendans" in row["message"] for row in ten_minutes) == 1
    assert sum(not row["message"].isascii() for row in ten_minutes) > 50
    assert any(isinstance(row.get("tags"), list) for row in ten_minutes)
    assert any("items" in row.get("order", {}) for row in ten_minutes)


@pytest.mark.parametrize("rate", [5.0, 50.0, 200.0])
def test_the_rate_is_that_of_the_hour(rate):
    hours = [
        START_US + hour * 60 * MINUTE_US for hour in (-8, 4)
    ]  # four in the morning, four in the afternoon
    assert [round(day_curve(hour), 3) for hour in hours] == [0.4, 1.6]
    for start_us in hours:
        number = sum(1 for _ in Demo(3, start_us, rate=rate).records(start_us + 3 * MINUTE_US))
        assert number / 180 == pytest.approx(rate * day_curve(start_us), rel=0.15, abs=1.5)


def test_records_are_json_of_a_sensible_size(ten_minutes):
    sizes = sorted(len(json.dumps(record)) for record in ten_minutes)
    assert sizes[len(sizes) // 2] < 500
    assert sizes[-1] < 4000


@pytest.fixture
def receiver():
    receiver = Receiver()
    server = start(receiver)
    yield receiver
    server.shutdown()
    server.server_close()


class Clock:
    """Time that passes only by sleeping; after `stop_us` somebody presses Ctrl-C."""

    def __init__(self, now_us: int, stop_us: int | None = None) -> None:
        self.us = now_us
        self.stop_us = stop_us

    def now_us(self) -> int:
        return self.us

    def sleep(self, seconds: float) -> None:
        self.us += int(seconds * SECOND_US)
        if self.stop_us is not None and self.us > self.stop_us:
            raise KeyboardInterrupt


def run(receiver: Receiver, clock: Clock, end_us: int | None) -> None:
    shop = Demo(1, START_US)
    with Client(receiver.url) as client:
        command_run = command.Run(client, "shop", shop, clock.now_us, clock.sleep)
        command_run.until(clock.us, end_us)


def test_the_past_is_written_then_time_goes_by(receiver, ten_minutes, capsys):
    begin_us = START_US + 9 * MINUTE_US
    run(receiver, Clock(begin_us), START_US + 10 * MINUTE_US)
    assert receiver.records == ten_minutes
    assert {request.path for request in receiver.requests} == {"/v1/streams/shop/logs"}
    assert max(len(request.lines) for request in receiver.requests) == 1000
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith(" records of the past in shop")
    assert len(lines) == 1 + 6 + 1  # one in ten seconds, and the sum
    assert lines[-1].endswith(" records sent to shop in 60 s")


def test_ctrl_c_ends_it_well(receiver, ten_minutes, capsys):
    run(receiver, Clock(START_US, stop_us=START_US + 30 * SECOND_US), None)
    assert receiver.records == [
        row for row in ten_minutes if row["timestamp"] < rfc3339(START_US + 30 * SECOND_US)
    ]
    assert capsys.readouterr().err.splitlines()[-1].endswith(" records sent to shop in 31 s")


def test_the_command_sends_the_past_and_no_more(receiver):
    arguments = ["demo", "--url", receiver.url, "--minutes", "1", "--for", "0s", "--rate", "20"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert len(receiver.records) > 200
    assert result.stderr.startswith(f"{grouped(len(receiver.records))} records of the past in main\n")


def test_the_command_prints(receiver):
    result = CliRunner().invoke(main, ["demo", "--print", "7", "--url", receiver.url])
    assert len([json.loads(line) for line in result.stdout.splitlines()]) == 7
    assert receiver.requests == []


@pytest.mark.parametrize("arguments", [["--for", "soon"], ["--rate", "0"], ["--minutes", "-1"]])
def test_misuse_is_told(arguments):
    assert CliRunner().invoke(main, ["demo", *arguments]).exit_code == 2


def test_no_server_is_told():
    result = CliRunner().invoke(main, ["demo", "--url", "http://127.0.0.1:9"])
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "error: cannot reach http://127.0.0.1:9: connection refused; start it with: "
    )
