"""Files and back: what is exported changes nothing, whatever the channels are, and tells no secret."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsl.errors import QueryError
from dsl.forms import Form, Keyword, MapForm, VectorForm, print_form
from dsl.reader import read
from server.configuration import Configuration
from server.kinds import saved_kinds
from server.plans import File, PartlyApplied
from server.variables import escaped
from storage.documents import Documents
from storage.errors import MetadataUnwritable
from storage.metadata import Metadata

NOW_US = 1_767_348_300_000_000
SECRETS = st.text("abcdefXYZ0123456789-_$", min_size=16, max_size=24)
PATHS = st.text("abc/$%{}?=&", max_size=12).map(lambda text: "/" + text)
URLS = st.builds(
    lambda scheme, user, host, path: f"{scheme}://{user}{host}{path}",
    st.sampled_from(["http", "https"]),
    st.sampled_from(["", "u:pw-of-user@"]),
    st.sampled_from(["hooks.example.com", "hooks.example.com:8443", "[2606:2800:220:1::1]"]),
    PATHS,
)
MORE = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["{status} {rule}", "${rule}", "$${rule}", "${{A}} $${{B}}", "$ {rule}"]),
        "group-by": st.lists(st.sampled_from(["rule", "service", "http.status"]), max_size=2),
        "allow-private": st.booleans(),
        "group-wait": st.sampled_from(["0s", "30s"]),
    },
)


def form(plain):
    if isinstance(plain, dict):
        return Form(MapForm(tuple((Form(Keyword(key)), form(value)) for key, value in plain.items())))
    return Form(VectorForm(tuple(map(form, plain)))) if isinstance(plain, list) else Form(plain)


CHANNELS = st.dictionaries(
    st.sampled_from(["ops", "a.b-c", "x_1"]),
    st.builds(
        lambda url, secret, more: {
            "type": "webhook",
            "url": url,
            **({"secret": secret} if secret else {}),
            **more,
        },
        URLS,
        st.none() | SECRETS,
        MORE,
    ),
    max_size=3,
)


@pytest.fixture
def configuration():
    from pathlib import Path

    metadata = Metadata(Path(":memory:"))
    clock = lambda: NOW_US  # noqa: E731
    admin = SimpleNamespace(names=list, all_names=list)
    saved = saved_kinds(metadata, list, clock).by_name
    scratch = lambda metadata, streams: saved_kinds(metadata, lambda: streams, clock).by_name  # noqa: E731
    yield Configuration(metadata, saved, scratch, admin, clock), metadata
    metadata.close()


def save(configuration, channels):
    made, metadata = configuration
    documents = Documents(metadata)
    for old in documents.list("channel"):
        documents.delete("channel", old.name, author="a", now_us=NOW_US)
    kind = made._saved["channel"]
    for name, plain in channels.items():
        try:
            kind.put(name, print_form(form(plain)), "edn", author="a")
        except QueryError:
            continue  # a text or an address that no channel has
    return made, documents


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANNELS)
def test_what_is_exported_changes_nothing_and_tells_no_secret(configuration, channels):
    made, documents = save(configuration, channels)
    files = made.export()
    text = "\n".join(file.text for file in files)
    for document in documents.list("channel"):
        plain = channels[document.name]
        assert plain.get("secret", "\0") not in text
    assert "pw-of-user" not in text
    plan = made.plan(files, made.kinds, {})
    assert (plan.wrong, plan.changes, plan.streams) == ([], [], [])
    assert {step.what for step in plan.steps} <= {"none"}
    assert len(plan.steps) == len(files)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANNELS, CHANNELS)
def test_a_plan_leads_to_what_the_files_say(configuration, before, after):
    made, documents = save(configuration, after)
    wanted = {one.name: one.body for one in documents.list("channel")}
    save(configuration, before)
    files = [File("channel", name, print_form(escaped(read(body)))) for name, body in wanted.items()]
    plan = made.plan(files, ["channel"], {})
    assert plan.wrong == []
    documents.change_all(plan.changes, author="a", now_us=NOW_US)
    assert {one.name: one.body for one in documents.list("channel")} == wanted
    again = made.plan(files, ["channel"], {})
    assert again.changes == []


class Streams:
    """Streams whose nth change the disk refuses."""

    def __init__(self, fail_at):
        self.there = {"old": {}}
        self.fail_at = fail_at

    def names(self):
        return sorted(self.there)

    all_names = names

    def _change(self):
        self.fail_at -= 1
        if self.fail_at == 0:
            raise MetadataUnwritable("the disk is full", "make room")

    async def replace(self, name, given):
        self._change()
        self.there[name] = given

    async def delete(self, name, _confirm):
        self._change()
        del self.there[name]


@pytest.mark.parametrize("fail_at", [1, 2, 3, 4])
@pytest.mark.parametrize("conflict", [False, True])
def test_where_applying_fails_the_answer_says_what_stands(configuration, fail_at, conflict):
    made, metadata = configuration
    streams = made._admin = Streams(fail_at)
    documents = Documents(metadata)
    files = [
        File("stream", "a", '{:retention {:age "1d"}}'),
        File("stream", "b", "{}"),
        File("rule", "r", '{:query {:from :a :time {:last "1m"}}}'),
    ]
    plan = made.plan(files, ["stream", "rule"], {}, delete_streams=True)
    assert plan.wrong == plan.warnings == []  # the rule's stream comes with it
    if conflict:
        documents.put("rule", "r", "{}", author="b", now_us=NOW_US)

    async def run(work):
        work()

    caught = None
    try:
        asyncio.run(made.apply(plan, "a", run))
    except (MetadataUnwritable, PartlyApplied) as error:
        caught = error
    stands = {("stream", name) for name in streams.there if name != "old"}
    stands |= {("rule", one.name) for one in documents.list("rule") if one.author == "a"}
    if "old" not in streams.there:
        stands.add(("stream", "old"))
    assert (caught is None) is (fail_at == 4 and not conflict)
    if fail_at == 1:
        assert isinstance(caught, MetadataUnwritable)
        assert stands == set()
    elif caught is not None:
        assert {(one["kind"], one["name"]) for one in caught.body["changed"]} == stands
        assert caught.message.startswith(f"{len(stands)} of 4 changes were made (stream a")
        assert caught.status == (412 if conflict and fail_at > 2 else 503)
    if fail_at <= 2 or conflict:
        assert ("rule", "r") not in stands  # where a stream fails no document is changed
