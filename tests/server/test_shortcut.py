"""The short way in and the long one answer alike, and keep the same."""

import asyncio
import errno
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.app import Parts, create_app
from server.deletions import Deletions
from server.engine import Engine
from server.ingest import Ingest
from server.parameters import KnownParameters
from server.settings import Settings
from server.shortcut import Shortcut
from server.space import FreeSpace
from server.streams import StreamAdmin
from server.turns import Turns
from storage import log as storage_log
from storage.format import FrameHeader, decode_frame
from storage.metadata import Metadata
from storage.paths import DataDirectory
from storage.scan import frames, read_frame
from storage.store import Store

JSON, NDJSON, EDN = b"application/json", b"application/x-ndjson", b"application/edn"
ONE = b'{"message":"hello","level":"WARN","timestamp":"2026-01-02T10:00:00Z"}'
BODY_BYTES_MAX = 1 << 20


class Ways:
    """A store with the whole application, and the short way before it."""

    def __init__(self, root):
        self.data = DataDirectory(root)
        self.disk_percent = 100
        set_up = Settings(data=root, body_bytes_max=BODY_BYTES_MAX)
        store, metadata = Store(self.data), Metadata(self.data.metadata)
        self.ingest = Ingest(self.data, lambda: 1_700_000_000_000_000, 3)
        admin = StreamAdmin(self.data, store, metadata, self.ingest, lambda: 0)
        engine = Engine(store, lambda: 0)
        deletions = Deletions(engine, self.ingest, metadata, lambda: 0)
        turns = Turns(1, 1, 1.0)
        self.long = create_app(
            Parts(set_up, self.data, store, self.ingest, engine, turns, metadata, admin, deletions)
        )
        self.short = Shortcut(self.long, self.ingest, BODY_BYTES_MAX)
        self.only_short = Shortcut(_nowhere, self.ingest, BODY_BYTES_MAX)
        self.runner = asyncio.Runner()
        self._closing = (turns, store, metadata)
        assert self.ask(self.long, self.request(ONE))[0]["status"] == 202  # opens the log of `app`

    def request(self, body, headers=((b"content-type", JSON),), *, path="/v1/streams/app/logs", **changes):
        """A request as its scope and its events; a list of bodies comes in pieces."""
        pieces = body if isinstance(body, list) else [body]
        length = [(b"content-length", b"%d" % len(b"".join(pieces)))]
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in headers):
            length = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"here"), *headers, *length],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            **changes,
        }
        return scope, [
            {"type": "http.request", "body": piece, "more_body": i < len(pieces) - 1}
            for i, piece in enumerate(pieces)
        ]

    def ask(self, app, *requests):
        """The answers to requests that come at once, as the events that a server is given; of one, its own."""

        async def one(scope, events):
            coming, sent = iter(events), []

            async def receive():
                return dict(next(coming, {"type": "http.disconnect"}))

            async def send(event):
                sent.append(event)

            await app(dict(scope), receive, send)
            if sent:
                sent[0]["headers"] = sorted((bytes(k), bytes(v)) for k, v in sent[0]["headers"])
                sent[1:] = [b"".join(event.get("body", b"") for event in sent[1:])]
            return sent

        async def everything():
            return await asyncio.gather(*(one(*request) for request in requests))

        answers = self.runner.run(everything())
        return answers[0] if len(answers) == 1 else answers

    def kept(self, stream="app"):
        """All records of a stream, as its data files have them."""
        found = []
        for first, generation in self.data.stream(stream).segment_folders():
            with self.data.stream(stream).segment(first, generation).data.open("rb") as file:
                for header in frames(file.fileno(), verify=True, expect=first):
                    assert isinstance(header, FrameHeader)
                    records = decode_frame(header, read_frame(file.fileno(), header))
                    found += zip(records.times_us, records.lines, strict=True)
        return found

    def close(self):
        """Let go of everything."""
        self.runner.run(asyncio.to_thread(self.ingest.close))
        self.runner.close()
        for part in self._closing:
            part.close()


async def _nowhere(scope, _receive, _send):
    raise AssertionError(f"{scope['path']} took the long way")


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    both = Ways(tmp_path_factory.mktemp("shortcut"))
    yield both
    both.close()


def alike(ways, request):
    """What both ways answer, which is the same, and what each of them kept, which is too."""
    before = len(ways.kept())
    long = ways.ask(ways.long, request)
    between = len(ways.kept())
    short = ways.ask(ways.short, request)
    kept = ways.kept()
    assert short == long
    assert kept[between:] == kept[before:between]
    return short, kept[between:]


@pytest.mark.parametrize(
    ("body", "kind", "records"),
    [
        (ONE, JSON, 1),
        (ONE, b"Application/JSON; charset=utf-8", 1),
        (b"[" + ONE + b"," + ONE + b"]", JSON, 2),
        (ONE + b"\n" + ONE, JSON, 2),
        (ONE + b"\n\n" + ONE + b"\r\n", NDJSON, 2),
        (b'{:message "hello"}', EDN, 1),
        (b"\n".join([ONE] * 100), NDJSON, 100),
    ],
)
def test_a_plain_batch_takes_the_short_way(ways, body, kind, records):
    request = ways.request(body, [(b"content-type", kind), (b"user-agent", b"curl"), (b"accept", b"*/*")])
    (start, answer), kept = alike(ways, request)
    assert ways.ask(ways.only_short, request) == [start, answer]
    assert (start["status"], len(kept)) == (202, records)
    assert orjson.loads(answer) == {"accepted": records, "rejected": [], "rejected_count": 0}


def test_no_content_type_is_json_and_the_default_stream_has_a_short_way_too(ways):
    request = ways.request(ONE, [], path="/logs")
    assert ways.ask(ways.long, request) == ways.ask(ways.only_short, request)
    assert len(ways.kept("main")) == 2


PLAIN = [(b"content-type", JSON)]


@pytest.mark.parametrize(
    ("body", "headers", "changes", "status"),
    [
        (b"", PLAIN, {}, 400),
        (b"{", PLAIN, {}, 400),
        (b"[]", PLAIN, {}, 422),
        (b"[1]", PLAIN, {}, 422),
        (b'[{"a":1},2]', PLAIN, {}, 202),
        (b'{"a":"\xff"}', PLAIN, {}, 400),
        (b'{"timestamp":"soon"}', PLAIN, {}, 422),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", PLAIN, {}, 422),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", PLAIN, {}, 400),
        (b"{:a", [(b"content-type", EDN)], {}, 400),
        (b"{:a 1} [", [(b"content-type", EDN)], {}, 400),
        (ONE + b"\n{broken\n" + ONE, [(b"content-type", NDJSON)], {}, 202),
        (b"<a/>", [(b"content-type", b"text/xml")], {}, 415),
        (ONE, [(b"content-type", b"\xff")], {}, 415),
        (ONE, [*PLAIN, (b"content-encoding", b"br")], {}, 415),
        (ONE, [*PLAIN, (b"content-encoding", b"gzip")], {}, 400),
        (ONE, [*PLAIN, (b"content-encoding", b"identity")], {}, 202),
        (ONE, [*PLAIN, (b"idempotency-key", b"")], {}, 400),
        (ONE, [*PLAIN, (b"transfer-encoding", b"chunked")], {}, 202),
        ([ONE[:9], ONE[9:]], PLAIN, {}, 202),
        ([ONE, b""], [*PLAIN, (b"content-length", b"%d" % len(ONE))], {}, 202),
        (ONE, [*PLAIN, (b"content-length", b"%d" % (len(ONE) + 5))], {}, 202),
        (ONE, [*PLAIN, (b"content-length", b"%d" % (len(ONE) - 5))], {}, 400),
        (ONE, [*PLAIN, (b"content-length", b"many")], {}, 400),
        (ONE, [*PLAIN, (b"content-length", b"-1")], {}, 400),
        (ONE, [*PLAIN, (b"content-length", b"%d" % (BODY_BYTES_MAX + 1))], {}, 413),
        (b"\n".join([ONE] * 300), [(b"content-type", NDJSON)], {}, 202),
        (ONE, PLAIN, {"query_string": b"refesh=wait"}, 400),
        (ONE, PLAIN, {"query_string": b"refresh=soon"}, 400),
        (ONE, PLAIN, {"method": "PUT"}, 405),
        (ONE, PLAIN, {"path": "/v1/streams/app/logs/"}, 404),
        (ONE, PLAIN, {"path": "/v1/streams/logs"}, 405),
        (ONE, PLAIN, {"path": "/v1/streams//logs"}, 400),
        (ONE, PLAIN, {"path": "/v1/streams/a/b/logs"}, 404),
        (ONE, PLAIN, {"path": "/v1/streams/.app/logs"}, 400),
        (ONE, PLAIN, {"path": "/v2/streams/app/logs"}, 404),
    ],
)
def test_whatever_else_comes_is_answered_as_without_it(ways, body, headers, changes, status):
    (start, _), kept = alike(ways, ways.request(body, headers, **changes))
    assert start["status"] == status
    assert bool(kept) == (status == 202)


def test_a_sender_that_leaves_while_sending_is_answered_as_without_it(ways):
    scope, _ = ways.request(ONE)
    alike(ways, (scope, [{"type": "http.request", "body": ONE[:9], "more_body": True}]))
    alike(ways, (scope, []))


HEADERS = st.lists(
    st.sampled_from(
        [
            (b"content-type", JSON),
            (b"content-type", NDJSON),
            (b"content-type", b"text/plain"),
            (b"content-encoding", b"identity"),
            (b"x-klomp-client", b"me"),
            (b"content-length", b"7"),
            (b"content-length", b"07"),
        ]
    ),
    max_size=3,
)
LINES = st.sampled_from(
    [ONE, b"{}", b"", b"1", b"{", b'{"a":1}', b'{"ts":"x"}', b'{"timestamp":"x"}', b"\xff"]
)


@settings(max_examples=150)
@given(st.lists(LINES, max_size=4), HEADERS, st.sampled_from([b"\n", b","]), st.booleans())
def test_both_ways_answer_alike_and_keep_the_same(ways, lines, headers, between, in_pieces):
    body = between.join(lines)
    alike(ways, ways.request([body[:3], body[3:]] if in_pieces else body, headers))


def test_what_comes_together_is_told_apart(ways):
    bodies = [b"\n".join(b'{"n":%d,"of":%d}' % (n, i) for n in range(i % 3 + 1)) for i in range(40)]
    before = len(ways.kept())
    answers = ways.ask(ways.only_short, *(ways.request(body, [(b"content-type", NDJSON)]) for body in bodies))
    assert [orjson.loads(answer)["accepted"] for _, answer in answers] == [i % 3 + 1 for i in range(40)]
    assert [line for _, line in ways.kept()[before:]] == b"\n".join(bodies).split(b"\n")


def test_a_full_disk_is_told_as_without_it(ways):
    ways.ingest.space = FreeSpace(
        ways.data.root,
        5.0,
        statvfs=lambda _: SimpleNamespace(f_blocks=100, f_bfree=1, f_bavail=1, f_frsize=1),
    )
    try:
        (start, _), kept = alike(ways, ways.request(ONE))
    finally:
        ways.ingest.space = None
    assert (start["status"], kept) == (507, [])


@pytest.mark.parametrize(("error", "status"), [(errno.ENOSPC, 507), (errno.EIO, 503)])
def test_a_failing_disk_is_told_as_without_it(ways, monkeypatch, error, status):
    def fail(_fd):
        raise OSError(error, "no")

    monkeypatch.setattr(storage_log.os, "fdatasync", fail)
    long, short = ways.ask(ways.long, ways.request(ONE)), ways.ask(ways.short, ways.request(ONE))
    monkeypatch.undo()
    assert short == long
    assert short[0]["status"] == status
    assert ways.ask(ways.only_short, ways.request(ONE))[0]["status"] == 202


def test_a_stream_that_was_deleted_is_made_anew(ways):
    request = ways.request(ONE, path="/v1/streams/gone/logs")
    ways.ask(ways.long, request)
    assert ways.ask(ways.only_short, request)[0]["status"] == 202
    ways.runner.run(ways.ingest.delete("gone"))
    with pytest.raises(AssertionError, match="took the long way"):
        ways.ask(ways.only_short, request)
    for app in (ways.short, ways.only_short):
        assert ways.ask(app, request)[0]["status"] == 202
    assert len(ways.kept("gone")) == 2


def test_a_bug_is_told_as_without_it(ways, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("server.ingest.prepare", broken)
    (start, _), _ = alike(ways, ways.request(ONE))
    assert start["status"] == 500


def test_nothing_else_stands_before_the_resources_that_the_short_way_would_pass_by(ways):
    """Whoever adds a middleware has to say what the short way does about it."""
    assert [type(one) for one in ways.long._unprepared_middleware] == [KnownParameters]
