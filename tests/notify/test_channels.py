"""Channels: what can be saved, what is kept back, and what arrives at real receivers."""

import hashlib
import hmac
import ssl
import time

import orjson
import pytest

from dsl.errors import QueryError
from dsl.forms import print_form, to_plain
from dsl.reader import read
from server.clock import now_us as clock
from server.errors import RequestError
from server.notify.channels import CHANNEL_TYPES
from server.notify.channels.alertmanager import names_allowed
from server.notify.channels.base import Sending
from server.notify.documents import ChannelKind, SavedChannels, masked_settings, read_channel
from server.notify.http import Post, post
from server.notify.message import Message
from server.notify.secrets import mask_url, pieces, redact
from storage.documents import Documents
from storage.metadata import Metadata
from storage.notifications import Notifications
from tests.docs.blocks import ROOT, blocks, code, table
from tests.notify.test_text import alert, message
from tests.support.receivers import MailServer, Receiver, alertmanager, eventually

PAGE = ROOT / "docs" / "notifications.md"
TYPES = sorted(CHANNEL_TYPES)
NOW_US = 1_767_348_300_000_000


def settings_of(text):
    return read_channel("ops", read(text))


def send(text, sent=None):
    kind, settings = settings_of(text)
    return kind.send(settings, sent or message(), Sending())


@pytest.fixture
def documents(tmp_path):
    metadata = Metadata(tmp_path / "klomp.db")
    yield Documents(metadata)
    metadata.close()


@pytest.fixture
def channels(documents):
    outbox = Notifications(documents._metadata)
    return SavedChannels(ChannelKind(documents, outbox, lambda: NOW_US), documents, lambda: NOW_US)


# -- the registry


@pytest.mark.parametrize("name", TYPES)
def test_every_type_has_an_example_that_can_be_saved_and_hides_its_secrets(name, channels):
    kind = CHANNEL_TYPES[name]
    text = orjson.dumps(kind.example).decode()
    created, document = channels.put("ops", text, "json", author="a")
    assert created
    assert kind.name == name
    shown = channels.describe(document)
    assert "text" not in shown
    told = orjson.dumps(shown, default=print_form).decode()
    for secret in kind.settings.secrets:
        if secret in kind.example:
            assert kind.example[secret] not in told
    if kind.mask_url(kind.example["url"]) != kind.example["url"]:
        assert kind.example["url"] not in told


@pytest.mark.parametrize("name", TYPES)
def test_every_type_and_all_its_settings_are_documented(name):
    (row,) = (row for row in table(PAGE, "type", "for") if code(row["type"]) == [name])
    assert row["for"]
    known = {code(row["setting"])[0] for row in table(PAGE, "setting", "default", "what it is")}
    of_type = {code(row["setting"])[0]: row for row in table(PAGE, "setting", "of", "what it is")}
    for field, info in CHANNEL_TYPES[name].settings.model_fields.items():
        alias = info.alias or field
        assert alias in known or name in code(of_type[alias]["of"]), alias
    assert f'"type": "{name}"' in PAGE.read_text() or f":type :{name}" in PAGE.read_text()


@pytest.mark.parametrize("name", TYPES)
def test_a_loopback_address_is_refused_unless_it_is_allowed(name, tmp_path):
    urls = {
        "apprise": "json://127.0.0.1:{}/hook",
        "webhook": "http://127.0.0.1:{}/hook",
        "alertmanager": "http://127.0.0.1:{}",
    }
    with Receiver() as receiver:
        url = urls[name].format(receiver.port)
        kind = CHANNEL_TYPES[name]
        # Past the check when it is saved, as a name would be that leads to loopback only later.
        settings = kind.settings.model_construct(
            **{
                **kind.settings(type=name, url=url, **{"allow-private": True}).__dict__,
                "allow_private": False,
            }
        )
        outcome = kind.send(settings, message(), Sending())
        assert not outcome.ok
        assert outcome.permanent
        assert "127.0.0.1 is a loopback address" in outcome.detail
        assert receiver.got == []
        outcome = kind.send(
            kind.settings(type=name, url=url, **{"allow-private": True}), message(), Sending()
        )
        assert outcome.ok, outcome
        assert len(receiver.got) == 1


# -- saving


BAD = [
    ("[]", "not-a-map", "a channel is a map, this is an empty vector"),
    ("{}", "bad-channel", "the channel has no type"),
    ('{:type :pigeon, :url "x"}', "bad-channel", "no type of channel :pigeon"),
    ("{:type :webhook}", "bad-channel", "the channel has no url"),
    ('{:type :webhook, :url "ftp://example.com"}', "bad-channel", "url is no URL of HTTP"),
    ('{:type :webhook, :url "http://"}', "bad-channel", "url is no URL of HTTP"),
    ('{:type :webhook, :url "http://[::1"}', "bad-channel", "url is no URL of HTTP"),
    ('{:type :webhook, :url "http://①②⑦.example/"}', "bad-channel", "url is no URL of HTTP"),
    ('{:type :webhook, :url "http://%31%32%37.0.0.1/"}', "bad-channel", "url leads to a loopback address"),
    ("{:type :webhook, :url 5}", "bad-channel", "url: this is no text"),
    (
        '{:type :webhook, :url "http://example.com", :group-by "rule"}',
        "bad-channel",
        "group-by: this is no vector",
    ),
    ('{:type :webhook, :url "http://example.com", :token "a b"}', "bad-channel", "token: this is no token"),
    ('{:type :webhook, :url "http://example.com", :secret "***"}', "secret-needed", "secret is masked"),
    ('{:type :webhook, :url "http://127.0.0.1/"}', "bad-channel", "url leads to a loopback address"),
    ('{:type :webhook, :url "http://localhost:8080"}', "bad-channel", "url leads to a loopback address"),
    ('{:type :webhook, :url "http://[fe80::1]/"}', "bad-channel", "url leads to a link-local address"),
    (
        '{:type :webhook, :url "http://u:p@example.com", :token "t"}',
        "bad-channel",
        "there are a token and a user in the URL",
    ),
    (
        '{:type :webhook, :url "http://example.com", :secret "short"}',
        "bad-channel",
        "secret: a text of fewer than 16 characters",
    ),
    (
        '{:type :webhook, :url "http://example.com", :titel "x"}',
        "unknown-key",
        "a channel of the type webhook has no titel",
    ),
    ('{:type :webhook, :url "http://example.com", :title "{x}"}', "bad-channel", "title: no name {x}"),
    (
        '{:type :webhook, :url "http://example.com", :text "{"}',
        "bad-channel",
        "text: a lone { at character 1",
    ),
    (
        '{:type :webhook, :url "http://example.com", :group-wait "soon"}',
        "bad-channel",
        'group-wait: "soon" is no duration',
    ),
    (
        '{:type :webhook, :url "http://example.com", :timeout "1h"}',
        "bad-channel",
        "timeout: a duration of more than 1m",
    ),
    (
        '{:type :webhook, :url "http://example.com", :allow-private "yes"}',
        "bad-channel",
        "allow-private: this is neither true nor false",
    ),
    ('{:type :webhook, :url "https://***@example.com/***"}', "secret-needed", "url is masked"),
    (
        '{:type :webhook, :url "http://example.com", :name "dev"}',
        "bad-channel",
        'the channel says that it is called "dev"',
    ),
    ('{:type :apprise, :url "nothing"}', "bad-channel", "url is no URL of Apprise"),
    ('{:type :apprise, :url "pigeon://roof"}', "bad-channel", "url: Unparseable URL pigeon://roof"),
    ('{:type :apprise, :url "syslog://"}', "bad-channel", "url: Apprise does not know such a URL"),
    ('{:type :alertmanager, :url "http://10.0.0.1:9093"}', "bad-channel", "url leads to a private address"),
]


@pytest.mark.parametrize(("text", "code", "wrong"), BAD)
def test_what_is_no_channel_is_refused_with_a_place(channels, text, code, wrong):
    with pytest.raises(QueryError) as caught:
        channels.put("ops", text, "edn", author="a")
    (found,) = caught.value.mistakes
    assert (found.code, found.message) == (code, wrong)
    assert found.hint
    assert "^" in caught.value.render()


def test_all_mistakes_are_said_at_once(channels):
    with pytest.raises(QueryError) as caught:
        channels.put(
            "ops",
            '{"type": "webhook", "url": "http://example.com", "title": "{x}", "colour": 1}',
            "json",
            author="a",
        )
    assert [one.code for one in caught.value.mistakes] == ["bad-channel", "unknown-key"]


SAVED = (
    '{:type :webhook, :url "https://u:pass-1234@example.com/T0/secret-path", :secret "sixteen characters"}'
)


def stored(documents):
    return to_plain(read(documents.get("channel", "ops").body))


def test_the_mask_keeps_what_was(channels, documents):
    _, document = channels.put("ops", SAVED, "edn", author="a")
    shown = print_form(channels.describe(document)["channel"])
    assert shown == '{:type :webhook, :url "https://***@example.com/***", :secret "***"}'
    channels.put("ops", shown.replace(":secret", ':title "x", :secret'), "edn", author="a")
    assert stored(documents)["url"] == "https://u:pass-1234@example.com/T0/secret-path"
    assert stored(documents)["secret"] == "sixteen characters"
    assert stored(documents)["title"] == "x"
    # As JSON, and with the mask for the whole URL.
    channels.put("ops", '{"type": "webhook", "url": "***", "secret": "***"}', "json", author="a")
    assert stored(documents)["url"] == "https://u:pass-1234@example.com/T0/secret-path"
    # Old versions can be had back, and do not tell either.
    restored = channels.restore("ops", 1, author="a")
    assert stored(documents) == to_plain(read(SAVED))
    assert "pass-1234" not in print_form(channels.describe(restored)["channel"])
    assert "pass-1234" not in str(channels.versions("ops"))
    assert "pass-1234" not in str(channels.list())


def test_secrets_do_not_follow_to_another_host(channels):
    channels.put(
        "ops", '{:type :webhook, :url "https://example.com/a", :token "token-of-example"}', "edn", author="a"
    )
    channels.put("ops", '{:type :webhook, :url "https://example.com/b", :token "***"}', "edn", author="a")
    for url in ("https://evil.example/", "http://example.com/b", "https://example.com:444/b"):
        with pytest.raises(QueryError) as caught:
            channels.put("ops", f'{{:type :webhook, :url "{url}", :token "***"}}', "edn", author="a")
        assert caught.value.mistakes[0].code == "secret-needed"
        assert "token-of-example" not in caught.value.render()


def test_a_mistake_beside_a_kept_secret_does_not_tell_it(channels):
    channels.put("ops", SAVED, "edn", author="a")
    with pytest.raises(QueryError) as caught:
        channels.put("ops", '{:type :webhook, :url "***", :secret "***", :title "{x}"}', "edn", author="a")
    assert "pass-1234" not in caught.value.render()
    assert "sixteen" not in caught.value.render()


def test_a_channel_that_a_rule_notifies_stays(channels, documents):
    channels.put("ops", SAVED, "edn", author="a")
    documents.put("rule", "r", "{:notify [:ops]}", author="a", now_us=NOW_US)
    with pytest.raises(RequestError, match="notified by r"):
        channels.delete("ops", author="a")
    documents.delete("rule", "r", author="a", now_us=NOW_US)
    assert channels.delete("ops", author="a")["deleted"]


def test_texts_lose_secrets():
    url = "https://user:pass%40word@hooks.example.com/services/T000/B0%2F0/abc123?token=tok-9"
    assert mask_url(url) == "https://***@hooks.example.com/***"
    text = (
        "cannot post to hooks.example.com/services/T000/B0%2F0/abc123?token=tok-9 as user pass@word or B0/0"
    )
    clean = redact(text, pieces(url))
    assert "hooks.example.com" in clean
    for secret in ("abc123", "tok-9", "pass@word", "T000", "user"):
        assert secret not in clean


@pytest.mark.parametrize("name", TYPES)
def test_settings_are_shown_with_their_defaults(name):
    kind = CHANNEL_TYPES[name]
    shown = masked_settings(kind.settings(**kind.example))
    assert shown["allow-private"] is False
    assert shown["url"] == kind.mask_url(kind.example["url"])
    kind.settings(**{**shown, **kind.example})


# -- sending


def test_a_webhook_is_signed_over_its_time_and_body():
    with Receiver() as receiver:
        text = f'{{:type :webhook, :url "{receiver.url}/hook", :allow-private true, :secret "sixteen characters"}}'
        outcome = send(text)
        assert (outcome.ok, outcome.status) == (True, 204)
        (got,) = receiver.got
    time, body = got.headers["klomp-timestamp"], got.body
    assert time == "1767348300"
    want = hmac.new(b"sixteen characters", time.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert got.headers["klomp-signature"] == f"v1={want}"
    assert got.path == "/hook"
    assert got.json == {
        "version": 1,
        "id": message().id,
        "channel": "ops",
        "status": "firing",
        "title": "[firing] checkout-errors",
        "text": got.json["text"],
        "group": {"rule": "checkout-errors"},
        "alerts": [
            {
                "id": 1,
                "rule": "checkout-errors",
                "status": "firing",
                "fingerprint": "0000000000000001",
                "labels": {"service": "edge", "http.status": "504"},
                "annotations": {"summary": "edge: 12 errors in 5m"},
                "starts_at": "2026-01-02T10:04:05.000000Z",
                "ends_at": None,
                "value": {"n": 12, "ratio": 0.25},
                "samples": [
                    {"timestamp": "2026-01-02T10:00:00.000000Z", "level": "error", "message": "boom"}
                ],
                "samples_left_out": 0,
                "url": "https://klomp.example/v1/rules/checkout-errors",
            }
        ],
    }


def test_the_check_that_the_documentation_shows_is_right():
    (block,) = blocks(PAGE, "python")
    shown = {}
    exec(block.text, shown)
    with Receiver() as receiver:
        text = f'{{:type :webhook, :url "{receiver.url}", :allow-private true, :secret "sixteen characters"}}'
        kind, settings = settings_of(text)
        kind.send(settings, Message("ops", {}, (alert(),), clock()), Sending())
        (got,) = receiver.got
    headers = {name.title(): value for name, value in got.headers.items()}
    assert shown["is_from_klomp"](headers, got.body, "sixteen characters")
    assert not shown["is_from_klomp"](headers, got.body + b" ", "sixteen characters")
    assert not shown["is_from_klomp"](headers, got.body, "other characters")
    headers["Klomp-Timestamp"] = str(int(headers["Klomp-Timestamp"]) - 400)
    assert not shown["is_from_klomp"](headers, got.body, "sixteen characters")


def test_what_is_too_large_loses_its_samples_and_then_is_refused():
    large = alert(samples=[{"message": "x" * 600_000}, {"message": "y" * 600_000}])
    with Receiver() as receiver:
        text = f'{{:type :webhook, :url "{receiver.url}", :allow-private true}}'
        assert send(text, message(large)).ok
        (told,) = receiver.got[0].json["alerts"]
        assert (told["samples"], told["samples_left_out"]) == ([], 2)
        outcome = send(text, message(alert(labels={"a": "x" * 1_100_000})))
        assert outcome.permanent
        assert "not sent" in outcome.detail


@pytest.mark.parametrize(
    ("status", "headers", "permanent", "asked_s"),
    [
        (500, {}, False, None),
        (503, {"Retry-After": "17"}, False, 17),
        (429, {"Retry-After": "Fri, 02 Jan 2026 10:05:30 GMT"}, False, 30),
        (429, {"Retry-After": "soon"}, False, None),
        (408, {}, False, None),
        (400, {}, True, None),
        (404, {"Retry-After": "17"}, True, None),
        (301, {"Location": "http://127.0.0.1:1/"}, True, None),
    ],
)
def test_what_a_receiver_answers_decides_what_comes_next(status, headers, permanent, asked_s):
    with Receiver((status, headers)) as receiver:
        outcome = send(f'{{:type :webhook, :url "{receiver.url}/secret-path", :allow-private true}}')
        assert len(receiver.got) == 1
    assert (outcome.ok, outcome.permanent, outcome.retry_after_s, outcome.status) == (
        False,
        permanent,
        asked_s,
        status,
    )
    assert f"127.0.0.1 answered {status}" in outcome.detail
    assert "secret-path" not in outcome.detail


def test_an_answer_that_repeats_what_is_secret_is_told_without_it():
    with Receiver(
        (404, {}), body=b"no hook /T0/B1/secret-path?key=tok-123 for Bearer token-4711"
    ) as receiver:
        outcome = send(
            f'{{:type :webhook, :url "{receiver.url}/T0/B1/secret-path?key=tok-123", :token "token-4711",'
            " :allow-private true}"
        )
    assert outcome.detail.startswith("127.0.0.1 answered 404: no hook")
    for secret in ("secret-path", "tok-123", "token-4711"):
        assert secret not in outcome.detail


def test_a_receiver_that_is_not_there_or_says_nothing():
    assert (
        send('{:type :webhook, :url "http://127.0.0.1:1/", :allow-private true}').detail
        == "127.0.0.1: connection refused"
    )
    with Receiver() as receiver:
        receiver.release.clear()
        outcome = send(f'{{:type :webhook, :url "{receiver.url}", :allow-private true, :timeout "1s"}}')
    assert (outcome.ok, outcome.permanent, outcome.detail) == (False, False, "127.0.0.1: no answer in time")


def test_the_connection_goes_to_the_address_that_was_looked_up_once():
    asked = []
    with Receiver() as receiver:

        def resolve(host, port):
            asked.append(host)
            return [(2, 1, 6, "", ("127.0.0.1", port))]

        request = Post(f"http://hooks.invalid:{receiver.port}/x", b"{}", {}, 5, allow_private=True)
        assert post(request, NOW_US, resolve).ok
        assert asked == ["hooks.invalid"]
        assert receiver.got[0].headers["host"] == f"hooks.invalid:{receiver.port}"


def test_a_certificate_must_be_good_for_the_name(tmp_path, monkeypatch):
    with Receiver() as receiver:
        request = Post(f"https://127.0.0.1:{receiver.port}/x", b"{}", {}, 5, allow_private=True)
        outcome = post(request, NOW_US)  # which speaks no TLS at all
    assert not outcome.ok
    assert outcome.detail == "127.0.0.1: TLS: wrong version number"
    assert ssl.create_default_context().check_hostname


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    with Receiver() as receiver, Receiver() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert send(f'{{:type :webhook, :url "{receiver.url}", :allow-private true}}').ok
        assert send(f'{{:type :apprise, :url "json://127.0.0.1:{receiver.port}", :allow-private true}}').ok
        assert (len(receiver.got), len(proxy.got)) == (2, 0)


def test_a_token_or_a_user_authorises():
    with Receiver() as receiver:
        send(f'{{:type :webhook, :url "{receiver.url}", :allow-private true, :token "abc"}}')
        send(f'{{:type :webhook, :url "http://me:p%40ss@127.0.0.1:{receiver.port}", :allow-private true}}')
        assert [got.headers["authorization"] for got in receiver.got] == ["Bearer abc", "Basic bWU6cEBzcw=="]
        assert receiver.got[1].headers["host"] == f"127.0.0.1:{receiver.port}"


# -- apprise


def test_a_mail_arrives():
    with MailServer() as server:
        outcome = send(f'{{:type :apprise, :url "{server.url()}", :allow-private true}}')
        assert outcome.ok, outcome
        (mail,) = server.mails
    assert mail["subject"] == "[firing] checkout-errors"
    assert mail["to"] == "ops@example.com"
    body = mail.get_body(("html", "plain")).get_content()
    assert "edge: 12 errors in 5m" in body
    assert "error boom" in body


def test_apprise_follows_no_redirect_and_tells_the_status():
    with (
        Receiver() as inner,
        Receiver((302, {"Location": inner.url}), (429, {"Retry-After": "9"}), (401, {})) as receiver,
    ):
        text = f'{{:type :apprise, :url "json://127.0.0.1:{receiver.port}/secret-hook-path", :allow-private true}}'
        assert not send(text).ok
        assert inner.got == []
        busy, wrong = send(text), send(text)
    assert (busy.status, busy.retry_after_s, busy.permanent) == (429, 9, False)
    assert (wrong.status, wrong.permanent) == (401, True)
    assert "secret-hook-path" not in busy.detail + wrong.detail


@pytest.mark.parametrize(
    "url",
    [
        "json://[::1]:{}/",
        "json://localhost:{}/",
        "json://2130706433:{}/",
        "mailto://localhost:{}?from=a@example.com&to=b@example.com&mode=insecure",
        "rsyslog://127.0.0.1:{}",
        "json://127.0.0.1:{}/?redirect=yes",
    ],
)
def test_no_sender_of_apprise_gets_around_the_guard(url):
    with Receiver() as receiver:
        kind = CHANNEL_TYPES["apprise"]
        outcome = kind.send(
            kind.settings(type="apprise", url=url.format(receiver.port)), message(), Sending()
        )
        assert not outcome.ok
        assert receiver.got == []
        assert "loopback" in outcome.detail


# -- alertmanager


def test_names_are_made_such_that_alertmanager_takes_them():
    given = {"alertname": "r", "http.status": "1", "http_status": "2", "9lives": "x", "": "y", "empty": ""}
    assert names_allowed(given) == {
        "alertname": "r",
        "http_status": "1",
        "http_status_2": "2",
        "_9lives": "x",
        "_": "y",
    }


@pytest.mark.parametrize("path", ["", "/", "/base", "/base/api/v2/alerts", "/base/api/v2/alerts/"])
def test_the_url_of_an_alertmanager_may_name_the_path_of_its_alerts(path):
    with Receiver() as receiver:
        kind, settings = settings_of(
            f'{{:type :alertmanager, :url "{receiver.url}{path}", :allow-private true}}'
        )
        assert kind.send(settings, message(), Sending()).ok
        (got,) = receiver.got
    assert got.path == ("/base" if "base" in path else "") + "/api/v2/alerts"


def test_an_alertmanager_takes_alerts_and_tells_of_them(tmp_path):
    with Receiver() as receiver, alertmanager(tmp_path, f"{receiver.url}/hook") as url:
        now_us = time.time_ns() // 1000
        text = f'{{:type :alertmanager, :url "{url}", :allow-private true}}'
        kind, settings = settings_of(text)
        firing = alert(starts_us=now_us - 60_000_000)
        outcome = kind.send(
            settings, Message("ops", {}, (firing,), now_us, "https://klomp.example"), Sending()
        )
        assert outcome.ok, outcome
        got = eventually(lambda: receiver.got)[0].json
        assert got["status"] == "firing"
        (told,) = got["alerts"]
        assert told["labels"] == {"alertname": "checkout-errors", "service": "edge", "http_status": "504"}
        assert told["annotations"]["summary"] == "edge: 12 errors in 5m"
        assert told["annotations"]["value_n"] == "12"
        assert told["generatorURL"] == "https://klomp.example/v1/rules/checkout-errors"
        ended = alert(status="resolved", starts_us=now_us - 60_000_000, ends_us=now_us - 1_000_000)
        assert kind.send(settings, Message("ops", {}, (ended,), now_us), Sending()).ok
        resolved = eventually(lambda: [one.json for one in receiver.got if one.json["status"] == "resolved"])
        assert resolved[0]["alerts"][0]["endsAt"].startswith("20")
