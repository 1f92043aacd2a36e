"""Counts over time, against counting by hand; and the width of buckets that is chosen."""

import itertools
from collections import Counter

import falcon.asgi
import falcon.testing
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.histogram import BUCKETS_MAX, WIDTHS_US, width_for
from dsl.record import leaves
from dsl.time import parse_duration, parse_instant
from server.cli.histogram import histogram
from server.encode import json
from server.engine.histogram import Histograms
from server.errors import install
from server.parameters import KnownParameters
from server.resources.histogram import Histogram
from server.turns import Turns
from tests.support.stores import NOW_US, built_store

records = st.fixed_dictionaries(
    {"timestamp": st.integers(1_767_225_600 - 5000, 1_767_225_600 + 50)},
    optional={"level": st.sampled_from(["info", "error", "warn", None, 3, True, ["info", "error"]])},
)


@settings(max_examples=80)
@given(
    st.lists(st.lists(records, min_size=1, max_size=8), min_size=1, max_size=3),
    st.sampled_from(["", ':time {:last "1h"}', ':time {:since "now-30m"}', ':time {:until "now-10m"}']),
    st.sampled_from(["", ':bucket "5m"', ':bucket "7s"']),
    st.sampled_from(["", ":by :level", ":by :level :top 1"]),
)
def test_counts_are_those_of_the_records(batches, time, bucket, by):
    with built_store([("app", batch) for batch in batches], segment_bytes_max=300) as built:
        text = f"{{:from :app {time} {bucket} {by}}}"
        answer = orjson.loads(json.encode(Histograms(built.engine).of(text)))
        everything = built.records
    if "since" not in answer:
        assert answer["rows"] == []
        return
    since, until = parse_instant(answer["since"]), parse_instant(answer["until"])
    width = parse_duration(answer["bucket"])
    meant = [one for one in everything if since <= one.timestamp_us < until]
    low, high = {"": (0, NOW_US * 2), ':time {:last "1h"}': (NOW_US - 3_600_000_000, NOW_US)}.get(
        time,
        (
            NOW_US - 1_800_000_000 if "since" in time else 0,
            NOW_US - 600_000_000 if "until" in time else NOW_US * 2,
        ),
    )
    assert meant == [one for one in everything if low <= one.timestamp_us < high]
    starts = [parse_instant(row["timestamp"]) for row in answer["rows"]]
    assert starts == sorted(starts)
    if not by:
        assert [after - before for before, after in itertools.pairwise(starts)] == [width] * (len(starts) - 1)
        assert starts[0] <= since < starts[0] + width
        assert starts[-1] < until <= starts[-1] + width
    counts = Counter()
    for row in answer["rows"]:
        counts[row["timestamp"], orjson.dumps(row.get("level"))] += row["n"]
    if not by:
        wanted = Counter()
        for one in meant:
            wanted[next(start for start in reversed(starts) if start <= one.timestamp_us)] += 1
        assert {
            start: row["n"] for start, row in zip(starts, answer["rows"], strict=True) if row["n"]
        } == dict(wanted)
    elif ":top" not in by:
        values = Counter()
        for one in meant:
            for leaf in {(type(leaf) is bool, leaf) for leaf in leaves("level")(one)} or {(False, None)}:
                values[orjson.dumps(leaf[1])] += 1
        found = Counter()
        for (_, value), count in counts.items():
            found[value] += count
        assert +found == +values


@settings(max_examples=200)
@given(st.integers(-(10**15), 4 * 10**15), st.integers(1, 10**16))
def test_a_width_is_the_least_that_is_wide_enough(since, length):
    def buckets(width):
        # Wherever the buckets begin there are at most so many.
        return -(-length // width) + 1

    width = width_for(since, since + length)
    assert width in WIDTHS_US
    assert buckets(width) - 1 <= BUCKETS_MAX
    narrower = [one for one in WIDTHS_US if one < width]
    assert not narrower or buckets(narrower[-1]) > BUCKETS_MAX


def test_widths_follow_each_other_closely():
    assert all(after <= 4 * before for before, after in itertools.pairwise(WIDTHS_US))


ROWS = [
    {"timestamp": 1_767_225_600 - 60 * minute, "level": level, "ms": minute}
    for minute, level in enumerate(["info", "info", "error", "info", "debug", "info", "info", "error"])
]


@pytest.fixture(name="client")
def client_of_a_store():
    with built_store([("app", ROWS)]) as built:
        app = falcon.asgi.App()  # none that watches: this client hangs up as soon as it has asked
        install(app)
        app.add_middleware(KnownParameters())
        turns = Turns(1, 1, 1)
        app.add_route("/v1/histogram", Histogram(Histograms(built.engine), turns))
        yield falcon.testing.TestClient(app)
        turns.close()


@pytest.mark.parametrize(
    ("text", "status", "codes"),
    [
        ("[:= :a 1]", 400, ["not-a-map"]),
        ("{:from :app :bucket 5}", 400, ["bad-duration"]),
        ('{:from :app :bukcet "5m"}', 400, ["unknown-key"]),
        ("{:from :app :frob 5}", 400, ["unknown-key"]),
        ("{:from :app :by :timestamp}", 400, ["bad-group"]),
        ("{:from :app :by :level :top 0}", 400, ["bad-group"]),
        ("{:from :app :top 5}", 400, ["key-not-here"]),
        (
            '{:from :app :by 5 :bucket "x" :where [:betwen :a 1 2]}',
            400,
            ["bad-duration", "bad-group", "unknown-operator"],
        ),
        ("{:from :nowhere}", 404, ["unknown-stream"]),
        ('{:from :app :time {:last "99999d"} :bucket "1ms"}', 400, ["too-many-groups"]),
        ("{:from :app :where [:= :x ?y]}", 400, ["unbound-parameter"]),
    ],
)
def test_mistakes_are_said_all_at_once(client, text, status, codes):
    answer = client.simulate_post("/v1/histogram", body=text)
    assert (answer.status_code, sorted(one["code"] for one in answer.json["errors"])) == (status, codes)
    assert all("line" in one for one in answer.json["errors"])


def test_any_query_is_taken_for_the_records_that_it_is_about(client):
    whole = "{:from :app :where [:= :level :info] :select [:ms] :order-by [[:ms :desc]] :limit 1 :total true}"
    groups = (
        "{:from :app :where [:= :level :info] :group-by [:level] :aggregate {:x [:count]} :having [:> :x 99]}"
    )
    for text in (whole, groups):
        assert sum(row["n"] for row in client.simulate_post("/v1/histogram", body=text).json["rows"]) == 5


def test_answers_come_in_the_formats_of_queries(client):
    body = '{"from": "app", "by": "level", "top": 1, "bucket": "1h"}'
    headers = {"Content-Type": "application/json", "Accept": "text/csv"}
    answer = client.simulate_post("/v1/histogram", body=body, headers=headers)
    assert answer.text.splitlines() == [
        "timestamp,level,n",
        "2025-12-31T23:00:00.000000Z,info,4",
        '2025-12-31T23:00:00.000000Z,"{""other"":true}",3',
        "2026-01-01T00:00:00.000000Z,info,1",
        '2026-01-01T00:00:00.000000Z,"{""other"":true}",0',
    ]


def test_a_field_that_no_record_has_is_warned_of(client):
    answer = client.simulate_post("/v1/histogram", body="{:from :app :by :levle}").json
    assert [one["code"] for one in answer["warnings"]] == ["unknown-field"]


def test_where_nothing_is_there_is_no_bar():
    with built_store([("app", ROWS)]) as built:
        answer = Histograms(built.engine).of('{:from :app :time {:since "now+1d"}}')
        assert (answer.rows, answer.about) == ([], {})


def run(*arguments):
    with built_store([("app", ROWS)]) as built:
        result = CliRunner().invoke(histogram, [*arguments, "--data", str(built.root)])
    assert result.exit_code == 0, result.output
    return [line.rstrip() for line in result.stdout.splitlines()]


def test_bars_on_a_terminal():
    lines = run("{:from :app}", "--bucket", "2m", "--width", "60")
    assert lines[:5] == [
        f"2025-12-31 23:52  1  {'█' * 19}▌",
        f"2025-12-31 23:54  2  {'█' * 39}",
        f"2025-12-31 23:56  2  {'█' * 39}",
        f"2025-12-31 23:58  2  {'█' * 39}",
        f"2026-01-01 00:00  1  {'█' * 19}▌",
    ]
    assert lines[6].startswith("8 records · 5 buckets of 2m")


def test_stacks_on_a_terminal():
    lines = run("{:from :app}", "--bucket", "4m", "--by", "level", "--top", "2", "--width", "60")
    assert lines[:4] == [
        "█ info  ▓ error  ▒ (other)",
        f"2025-12-31 23:52  3  {'█' * 20}{'▓' * 9}",
        f"2025-12-31 23:56  4  {'█' * 20}{'▓' * 9}{'▒' * 10}",
        f"2026-01-01 00:00  1  {'█' * 10}",
    ]
