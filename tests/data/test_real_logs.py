"""Real log files through the real command into a real server: what it answers is what a pass over the lines finds.

The expected answers are worked out here from the files alone, with none of the project's own code.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.serving import KLOMP, Serving

Record = dict[str, Any]

TEXT = {
    # file: two words in a row, a piece of a line with its case, words anywhere, the beginning of a line
    "loghub/Apache_2k.log": ("child workerEnv", "state 6", "jk2_init child", "[Sun Dec 04 04:"),
    "loghub/HDFS_2k.log": ("for block", "blk_-69", "terminating PacketResponder", "081109 2036"),
    "loghub/Linux_2k.log": ("authentication failure", "rhost=218.188.2.4", "user unknown", "Jun 14"),
    "loghub/OpenSSH_2k.log": ("BREAK IN", "POSSIBLE BREAK-IN", "invalid user webmaster", "Dec 10 06:5"),
    "loghub/OpenStack_2k.log": ("status 200", "status: 200 len: 1893", "GET 200 servers", "nova-api.log"),
    "loghub/Spark_2k.log": ("finished task", "[TERM, HUP", "executor info", "17/06/09 20:10:4"),
    "loghub/Zookeeper_2k.log": ("connection request", "@774] - Not", "warn interrupted", "2015-07-29 1"),
    "elastic-examples/apache_logs": ("kibana search", 'HTTP/1.1" 404', "get 404", "83.149.9.216 - -"),
    "elastic-examples/kafka_controller.log": ("starting become", "[Controller 0]:", "info starting", "[2016-12-19 16:"),
}  # fmt: skip
JSON_LINES = [
    "zeek/dns.ndjson",
    "zeek/notice.ndjson",
    "elastic-examples/nginxplus_json_logs",
    "lnav/gharchive_log.jsonl",
    "quickwit/gharchive-bulk.json",
]
DOCUMENTS = ["otlp/logs.json", "otlp/otlp_logs_cases.json"]


def stream_of(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


@pytest.fixture(scope="module")
def ingested(server: Serving, real_logs: Path) -> Serving:
    """The server with every file in a stream of its own."""
    for name in [*TEXT, *JSON_LINES, *DOCUMENTS]:
        command = [*KLOMP, "ingest", str(real_logs / name), "--stream", stream_of(name), "--refresh"]
        done = subprocess.run(
            [*command, "--url", server.url], capture_output=True, text=True, env=os.environ, check=False
        )
        assert done.returncode == 0, (name, done.stdout, done.stderr)
    return server


def lines_of(path: Path) -> list[str]:
    lines = path.read_bytes().split(b"\n")
    return [line.rstrip(b"\r").decode() for line in lines if line.strip()]


def ask(server: Serving, name: str, query: str) -> dict[str, Any]:
    assert query.startswith("{")
    return server.query(f"{{:from :{stream_of(name)} {query[1:]}")


def count(server: Serving, name: str, where: str) -> int:
    """How many match, told in two ways."""
    rows = ask(server, name, f"{{:where {where} :limit 0 :total true}}")
    groups = ask(server, name, f"{{:where {where} :aggregate {{:n [:count]}}}}")
    assert rows["total"] == groups["rows"][0]["n"]
    return int(rows["total"])


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def has_phrase(text: str, phrase: str) -> bool:
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def quoted(text: str) -> str:
    return json.dumps(text)


def test_every_file_is_asked_about(real_logs: Path) -> None:
    files = {str(path.relative_to(real_logs)) for path in real_logs.rglob("*") if path.is_file()}
    plain = {name for name in files if Path(name).name not in {"LICENSE", "SOURCES.md"}}
    assert plain == {*TEXT, *JSON_LINES, *DOCUMENTS}


@pytest.mark.parametrize("name", TEXT)
def test_text(ingested: Serving, real_logs: Path, name: str) -> None:
    lines = lines_of(real_logs / name)
    phrase, piece, anywhere, start = TEXT[name]
    wanted = set(words(anywhere))
    conditions = {
        f"[:phrase :message {quoted(phrase)}]": [has_phrase(line, phrase) for line in lines],
        f"[:phrase :message {quoted(phrase[:-1] + '*')}]": [
            f" {' '.join(words(phrase[:-1]))}" in f" {' '.join(words(line))} " for line in lines
        ],
        f"[:contains :message {quoted(piece)}]": [piece in line for line in lines],
        f"[:match :message {quoted(anywhere)}]": [wanted <= set(words(line)) for line in lines],
        f"[:match-any :message {quoted(anywhere)}]": [bool(wanted & set(words(line))) for line in lines],
        f"[:starts-with :message {quoted(start)}]": [line.startswith(start) for line in lines],
        f"[:ends-with :message {quoted(lines[7][-9:])}]": [line.endswith(lines[7][-9:]) for line in lines],
        f"[:= :message {quoted(lines[99])}]": [line == lines[99] for line in lines],
        "[:between :_number 11 20]": [10 <= place < 20 for place in range(len(lines))],
        "[:exists :message]": [True] * len(lines),
        "[:missing :level]": [True] * len(lines),
        f"[:and [:match :message {quoted(anywhere)}] [:not [:contains :message {quoted(piece)}]]]": [
            wanted <= set(words(line)) and piece not in line for line in lines
        ],
    }
    for where, holds in conditions.items():
        want = [line for line, yes in zip(lines, holds, strict=True) if yes]
        assert want, (where, "finds nothing in the file: a poor question")
        assert count(ingested, name, where) == len(want), where
        rows = ask(ingested, name, f"{{:where {where} :order-by [[:_number :asc]] :limit 10000}}")["rows"]
        assert [row["message"] for row in rows] == want, where
    assert count(ingested, name, '[:match :message "zyzzyva"]') == 0
    newest = ask(ingested, name, "{:limit 5}")["rows"]
    assert [row["message"] for row in newest] == lines[:-6:-1]
    recent = ask(ingested, name, '{:time {:last "1h"} :limit 0 :total true}')
    assert recent["total"] == len(lines)
    assert ask(ingested, name, '{:time {:until "now-1d"} :total true}')["total"] == 0


def test_pages_of_a_file_are_the_file(ingested: Serving, real_logs: Path) -> None:
    name = "elastic-examples/apache_logs"
    lines = [line for line in lines_of(real_logs / name) if "GET" in line]
    for direction, want in (("desc", lines[::-1]), ("asc", lines)):
        got: list[str] = []
        after = ""
        while True:
            page = ask(
                ingested,
                name,
                f'{{:where [:contains :message "GET"] :order-by [[:timestamp :{direction}]] :limit 3000 {after}}}',
            )
            got += [row["message"] for row in page["rows"]]
            if page["cursor"] is None:
                break
            after = f":after {quoted(page['cursor'])}"
        assert got == want


def read_records(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def flat(record: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All scalars of a record by their dotted names."""
    if isinstance(record, dict):
        for name, value in record.items():
            yield from flat(value, f"{path}.{name}" if path else name)
    elif isinstance(record, list):
        for item in record:
            yield from flat(item, path)
    elif record is not None:
        yield path, record


def leaves(record: Record) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for path, value in flat(record):
        found[path].append(value)
    return found


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_dns(ingested: Serving, real_logs: Path) -> None:
    name = "zeek/dns.ndjson"
    records = read_records(real_logs / name)
    flats = [leaves(record) for record in records]

    def has(path: str, test: Any) -> int:
        return sum(any(test(value) for value in one.get(path, ())) for one in flats)

    assert count(ingested, name, "[:and]") == len(records)
    assert count(ingested, name, '[:= :rcode_name "NXDOMAIN"]') == has("rcode_name", "NXDOMAIN".__eq__)
    assert count(ingested, name, '{:rcode_name #{"NXDOMAIN" "NOERROR"} :id.resp_p 53}') == sum(
        one["id.resp_p"] == [53] and one.get("rcode_name", [""])[0] in {"NXDOMAIN", "NOERROR"} for one in flats
    )  # fmt: skip
    assert count(ingested, name, "[:= :RD true]") == has("RD", lambda value: value is True)
    assert count(ingested, name, "[:between :id.orig_p 40000 50000]") == has(
        "id.orig_p", lambda v: 40000 <= v <= 50000
    )
    assert count(ingested, name, "[:> :TTLs 3600]") == has("TTLs", lambda value: value > 3600)
    assert count(ingested, name, "[:between :rtt 0.0001 0.001]") == has("rtt", lambda v: 0.0001 <= v <= 0.001)
    rtt = records[0]["rtt"]
    assert count(ingested, name, f"[:= :rtt {rtt!r}]") == has("rtt", rtt.__eq__) > 0
    assert count(ingested, name, '[:contains :query "google"]') == has(
        "query", lambda value: "google" in value
    )
    assert count(ingested, name, '[:ends-with :query ".com"]') == has("query", lambda v: v.endswith(".com"))
    assert count(ingested, name, '[:starts-with :answers "10."]') == has(
        "answers", lambda v: v.startswith("10.")
    )
    assert count(ingested, name, '[:match :query "www google com"]') == has(
        "query", lambda value: {"www", "google", "com"} <= set(words(value))
    )
    assert count(ingested, name, "[:exists :answers]") == has("answers", lambda _: True)
    assert count(ingested, name, "[:exists :id]") == len(records)
    assert count(ingested, name, "[:missing :rcode_name]") == len(records) - has("rcode_name", lambda _: True)
    assert count(ingested, name, '[:< :query "b"]') == has("query", lambda value: value < "b")

    groups = ask(
        ingested,
        name,
        "{:group-by [:qtype_name] :aggregate {:n [:count] :slow [:count [:> :rtt 0.1]] :max [:max :rtt]"
        " :mean [:avg :rtt] :hosts [:count-distinct :id.orig_h] :p90 [:percentile :rtt 90]}}",
    )["rows"]
    by_type: dict[Any, list[Any]] = defaultdict(list)
    for one in flats:
        for key in set(one.get("qtype_name", [None])):
            by_type[key].append(one)
    assert [row["qtype_name"] for row in groups] == sorted(by_type, key=lambda key: (key is None, key))
    for row in groups:
        members = by_type[row["qtype_name"]]
        times = sorted(value for one in members for value in one.get("rtt", ()))
        assert row["n"] == len(members)
        assert row["slow"] == sum(value > 0.1 for value in times)
        assert row["hosts"] == len({value for one in members for value in one["id.orig_h"]})
        if not times:
            assert row["max"] is row["mean"] is row["p90"] is None
            continue
        assert row["max"] == times[-1]
        assert math.isclose(row["mean"], math.fsum(times) / len(times), rel_tol=1e-9)
        exact = times[math.floor(0.9 * (len(times) - 1))]
        assert math.isclose(row["p90"], exact, rel_tol=0.011)

    top = ask(
        ingested,
        name,
        "{:group-by [:id.orig_h] :aggregate {:n [:count]} :order-by [[:n :desc] [:id.orig_h :asc]] :limit 5}",
    )
    hosts = Counter(one["id.orig_h"][0] for one in flats)
    assert [(row["id.orig_h"], row["n"]) for row in top["rows"]] == sorted(
        hosts.items(), key=lambda item: (-item[1], item[0])
    )[:5]

    answers = ask(
        ingested,
        name,
        "{:group-by [:answers] :aggregate {:n [:count]} :order-by [[:n :desc] [:answers :asc]] :limit 10}",
    )
    answered = Counter(value for one in flats for value in set(one.get("answers", [None])))
    want = sorted(answered.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))[:10]
    assert [(row["answers"], row["n"]) for row in answers["rows"]] == want

    since, until = instant(records[3000]["ts"]), instant(records[9000]["ts"])
    span = f'{{:since "{since.isoformat()}" :until "{until.isoformat()}"}}'
    inside = [record for record in records if since <= instant(record["ts"]) < until]
    page = ask(ingested, name, f"{{:time {span} :total true :limit 10 :order-by [[:timestamp :asc]]}}")
    assert page["total"] == len(inside) > 1000
    first = sorted(inside, key=lambda record: instant(record["ts"]))[:10]
    assert [row["timestamp"] for row in page["rows"]] == [
        instant(record["ts"]).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for record in first
    ]

    buckets = ask(ingested, name, f'{{:time {span} :group-by [[:bucket :timestamp "1s"]]}}')["rows"]
    seconds = Counter(instant(record["ts"]).replace(microsecond=0) for record in inside)
    start = since.replace(microsecond=0)
    filled = [start + timedelta(seconds=step) for step in range(len(buckets))]
    assert filled[-1] == (until - timedelta(microseconds=1)).replace(microsecond=0)
    assert [(row["timestamp"], row["count"]) for row in buckets] == [
        (second.strftime("%Y-%m-%dT%H:%M:%S.000000Z"), seconds[second]) for second in filled
    ]

    slowest = ask(ingested, name, "{:select [:uid :rtt] :order-by [[:rtt :desc]] :limit 20}")["rows"]
    assert [row["rtt"] for row in slowest] == sorted((r["rtt"] for r in records if "rtt" in r), reverse=True)[
        :20
    ]
    record = records[1234]
    (row,) = ask(
        ingested, name, f"{{:where {{:uid {quoted(record['uid'])} :trans_id {record['trans_id']}}} :limit 1}}"
    )["rows"]
    assert row["query"] == record["query"]


def test_notice(ingested: Serving, real_logs: Path) -> None:
    name = "zeek/notice.ndjson"
    records = read_records(real_logs / name)
    assert count(ingested, name, "[:and]") == len(records)
    phrase = "certificate validation failed"
    assert count(ingested, name, f"[:phrase :message {quoted(phrase)}]") == sum(
        has_phrase(record["msg"], phrase) for record in records
    )
    assert count(ingested, name, '[:contains :message "(unable to"]') == sum(
        "(unable to" in r["msg"] for r in records
    )
    assert count(ingested, name, '[:= :actions "Notice::ACTION_LOG"]') == sum(
        "Notice::ACTION_LOG" in record.get("actions", ()) for record in records
    )
    assert count(ingested, name, "[:exists :email_dest]") == sum(bool(r.get("email_dest")) for r in records)
    assert count(ingested, name, '[:match :sub "vmware"]') == sum(
        "vmware" in words(r.get("sub", "")) for r in records
    )
    notes = Counter(record["note"] for record in records)
    rows = ask(ingested, name, "{:group-by [:note] :aggregate {:n [:count]}}")["rows"]
    assert {row["note"]: row["n"] for row in rows} == notes
    assert [row["note"] for row in rows] == sorted(notes)


def test_nginx_plus(ingested: Serving, real_logs: Path) -> None:
    name = "elastic-examples/nginxplus_json_logs"
    records = read_records(real_logs / name)
    field = "server_zones.hg.nginx.org.requests"
    values = [record["server_zones"]["hg.nginx.org"]["requests"] for record in records]
    middle = sorted(values)[250]
    assert count(ingested, name, f"[:>= :{field} {middle}]") == sum(value >= middle for value in values)
    assert count(ingested, name, f"[:between :{field} {middle - 0.5} {middle}]") == values.count(middle)
    assert count(ingested, name, "[:exists :upstreams]") == sum("upstreams" in record for record in records)
    assert count(ingested, name, "[:exists :server_zones.hg]") == len(records)
    (row,) = ask(
        ingested,
        name,
        f"{{:aggregate {{:n [:count] :s [:sum :{field}] :lo [:min :{field}] :hi [:max :{field}]}}}}",
    )["rows"]
    assert row == {"n": len(records), "s": sum(values), "lo": min(values), "hi": max(values)}
    top = ask(ingested, name, f"{{:select [:{field}] :order-by [[:{field} :desc]] :limit 3}}")["rows"]
    assert [row[field] for row in top] == sorted(values, reverse=True)[:3]
    times = sorted(record["timestamp"] for record in records)
    since = datetime.fromtimestamp(times[100] / 1000, UTC)
    assert ask(ingested, name, f'{{:time {{:since "{since.isoformat()}"}} :total true :limit 0}}')[
        "total"
    ] == sum(time >= times[100] for time in times)
    newest = ask(ingested, name, "{:limit 1}")["rows"][0]
    assert newest["timestamp"] == datetime.fromtimestamp(times[-1] / 1000, UTC).strftime(
        "%Y-%m-%dT%H:%M:%S.%fZ"
    )
    caches = Counter(
        peer["server"] for record in records for up in record["upstreams"].values() for peer in up["peers"]
    )
    assert caches


def test_github_events(ingested: Serving, real_logs: Path) -> None:
    name = "lnav/gharchive_log.jsonl"
    records = read_records(real_logs / name)
    flats = [leaves(record) for record in records]
    kinds = Counter(record["type"] for record in records)
    rows = ask(ingested, name, "{:group-by [:type] :aggregate {:n [:count]}}")["rows"]
    assert [(row["type"], row["n"]) for row in rows] == sorted(kinds.items())
    assert (
        count(ingested, name, '{:type #{"PushEvent" "CreateEvent"}}')
        == kinds["PushEvent"] + kinds["CreateEvent"]
    )
    authors = Counter(value for one in flats for value in set(one.get("payload.commits.author.name", [None])))
    rows = ask(ingested, name, "{:group-by [:payload.commits.author.name] :aggregate {:n [:count]}}")["rows"]
    assert {row["payload.commits.author.name"]: row["n"] for row in rows} == authors
    piece = "fix"
    assert count(ingested, name, f'[:match :payload.commits.message "{piece}"]') == sum(
        any(piece in words(value) for value in one.get("payload.commits.message", ())) for one in flats
    )
    assert count(ingested, name, "[:exists :payload.pull_request]") == sum(
        any(path.startswith("payload.pull_request.") for path in one) for one in flats
    )
    created = records[20]["created_at"]
    assert count(ingested, name, f"[:= :created_at {quoted(created)}]") == sum(
        r["created_at"] == created for r in records
    )
    assert count(ingested, name, f"[:starts-with :created_at {quoted(created[:10])}]") == sum(
        record["created_at"].startswith(created[:10]) for record in records
    )
    ids = [record["actor"]["id"] for record in records]
    assert count(ingested, name, f"[:< :actor.id {sorted(ids)[25]}]") == sum(
        one < sorted(ids)[25] for one in ids
    )
    least = ask(ingested, name, "{:select [:actor.id :id] :order-by [:actor.id :id] :limit 5}")["rows"]
    want = sorted((record["actor"]["id"], record["id"]) for record in records)[:5]
    assert [(row["actor.id"], row["id"]) for row in least] == want


def test_bulk_lines_are_records_as_they_are(ingested: Serving, real_logs: Path) -> None:
    name = "quickwit/gharchive-bulk.json"
    records = read_records(real_logs / name)
    assert count(ingested, name, "[:and]") == len(records)
    assert count(ingested, name, "[:exists :index]") == sum("index" in record for record in records)
    assert count(ingested, name, '[:= :index._index "gharchive"]') == sum(
        "index" in record for record in records
    )
    kinds = Counter(record.get("type") for record in records)
    rows = ask(
        ingested, name, "{:group-by [:type] :aggregate {:n [:count]} :order-by [[:n :desc] [:type :asc]]}"
    )["rows"]
    want = sorted(kinds.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))
    assert [(row["type"], row["n"]) for row in rows] == want
    rows = ask(ingested, name, "{:order-by [[:_number :asc]] :limit 1000}")["rows"]
    shown = [{k: v for k, v in row.items() if k not in {"timestamp", "_stream", "_number"}} for row in rows]
    assert shown == records


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_one_record(ingested: Serving, real_logs: Path, name: str) -> None:
    document = json.loads((real_logs / name).read_text())
    (row,) = ask(ingested, name, "{:total true}")["rows"]
    for added in ("timestamp", "_stream", "_number"):
        del row[added]
    assert row == document
    for path, values in leaves(document).items():
        if "\\" in path or not path.isascii():
            continue
        assert count(ingested, name, f"[:exists {quoted(path)}]") == 1, path
        for value in values[:3]:
            shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else quoted(value)
            if path not in {"timestamp", "_stream", "_number"}:
                assert count(ingested, name, f"[:= {quoted(path)} {shown}]") == 1, (path, value)
