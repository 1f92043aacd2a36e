"""`klomp apply` and `klomp export`: what files say is what is set, all of it or nothing, and back."""

from __future__ import annotations

import getpass
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dsl.forms import Form
from dsl.reader import read
from server.cli import main
from server.configuration import pretty
from server.variables import escaped, references, substituted

CHANNEL = '{:type :webhook\n :url "${HOOK_URL}"\n :secret "${HOOK_SECRET:-sixteen characters}"}\n'
STREAM = '{:retention {:age "30d"}}\n'


def klomp(server, *arguments, **environment):
    """The command line within this process: a dozen new ones would take seconds."""
    done = CliRunner().invoke(main, arguments, env={"KLOMP_URL": server.url, "NO_COLOR": "1", **environment})
    return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)


def apply(server, folder, *options, code=0, **environment):
    done = klomp(server, "apply", str(folder), *options, **environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def write(folder, **files):
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.edn"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


URL = "https://u:secret-pw@hooks.example.com/T0/key"


def test_files_are_applied_shown_first_and_twice_is_once(server, tmp_path):
    write(tmp_path, channels__ops=CHANNEL, streams__app=STREAM)
    shown = apply(server, tmp_path, "--dry-run", HOOK_URL=URL)
    assert shown == (
        "+ stream app\n"
        '    + {:retention {:age "30d"}}\n'
        "+ channel ops\n"
        "    + {:type :webhook\n"
        '    +  :url "https://***@hooks.example.com/***"\n'
        '    +  :secret "***"}\n'
        "2 created, 0 as they are\n"
    )
    assert server.request("GET", "/v1/channels/ops")[0] == 404
    assert apply(server, tmp_path, HOOK_URL=URL).endswith("applied\n")
    assert (
        server.request("GET", "/v1/channels/ops")[1]["settings"]["url"] == "https://***@hooks.example.com/***"
    )
    assert server.request("GET", "/v1/streams/app")[1]["settings"]["retention"]["age"] == "4w2d"
    assert apply(server, tmp_path, HOOK_URL=URL) == "2 as they are\n"
    assert server.request("GET", "/v1/channels/ops")[1]["version"] == 1
    # Another secret is a change, though nothing of it is seen.
    assert "~ channel ops\n    a secret changes\n" in apply(server, tmp_path, HOOK_URL=URL + "2")


def test_what_is_exported_changes_nothing_when_it_is_applied(server, tmp_path):
    write(tmp_path / "in", channels__ops=CHANNEL, streams__app=STREAM)
    apply(server, tmp_path / "in", HOOK_URL=URL)
    server.request(
        "PUT",
        "/v1/channels/am",
        '{"type":"alertmanager","url":"https://am.example.com"}',
        content_type="application/json",
    )
    assert klomp(server, "export", str(tmp_path / "out")).returncode == 0
    text = (tmp_path / "out" / "channels" / "ops.edn").read_text()
    assert text == (
        "{:type :webhook\n"
        ' :url "${KLOMP_OPS_URL:-https://***@hooks.example.com/***}"\n'
        ' :secret "${KLOMP_OPS_SECRET:-***}"}\n'
    )
    assert "${" not in (tmp_path / "out" / "channels" / "am.edn").read_text()
    told = apply(server, tmp_path / "out")
    assert told.endswith(" as they are\n")
    assert told.count("\n") == 1
    # With the variable it is set.
    assert "~ channel ops" in apply(
        server, tmp_path / "out", "--dry-run", KLOMP_OPS_URL="https://hooks.example.com/new"
    )
    # Exported again it is the same, and what was changed by hand is not written over.
    assert klomp(server, "export", str(tmp_path / "out")).returncode == 0
    (tmp_path / "out" / "channels" / "ops.edn").write_text("{}")
    done = klomp(server, "export", str(tmp_path / "out"))
    assert (done.returncode, "--force" in done.stderr) == (2, True)
    assert klomp(server, "export", str(tmp_path / "out"), "--force").returncode == 0


def test_one_mistake_and_nothing_is_changed(server, tmp_path):
    write(
        tmp_path,
        channels__fine='{:type :alertmanager, :url "https://am.example.com"}',
        channels__bad='{:type :webhook\n :url "http://10.0.0.1/"}',
        channels__typo='{:type :webhook\n :url "http://x.example/"\n :titel "x"}',
        channels__broken="{:type :webhook\n :url ]}",
        channels__unset='{:type :webhook\n :url "https://x.example/${NOPE}"}',
        streams__app='{:retention {:age "soon"}}',
    )
    told = apply(server, tmp_path, code=2)
    for line in (
        f"{tmp_path}/channels/bad.edn:2:7: url leads to a private address [bad-channel]",
        f"{tmp_path}/channels/broken.edn:2:7: ",
        f"{tmp_path}/channels/typo.edn:3:2: a channel of the type webhook has no titel [unknown-key]",
        f"{tmp_path}/channels/unset.edn:2:7: NOPE is not set [unset-variable]",
        f'{tmp_path}/streams/app.edn:1:19: retention.age: "soon" is no duration [bad-settings]',
        "nothing is changed",
        "^^^^",
    ):
        assert line in told, told
    assert server.request("GET", "/v1/channels/fine")[0] == 404


def test_a_mistake_beside_a_secret_does_not_show_it(server, tmp_path):
    write(tmp_path, channels__bad='{:type :webhook :url "${HOOK_URL}" :title "{nope}"}')
    told = apply(server, tmp_path, code=2, HOOK_URL=URL)
    assert ":1:43: title: no name {nope}" in told
    assert "secret-pw" not in told


def test_what_has_no_file_goes_but_streams_stay(server, tmp_path):
    write(tmp_path, channels__keep=CHANNEL, channels__go=CHANNEL, streams__records="{}")
    apply(server, tmp_path, HOOK_URL=URL)
    server.ingest([{"message": "hello"}], "records")
    (tmp_path / "channels" / "go.edn").unlink()
    (tmp_path / "streams" / "records.edn").unlink()
    assert "- channel" not in apply(server, tmp_path, "--no-prune", HOOK_URL=URL)
    told = apply(server, tmp_path, HOOK_URL=URL)
    assert "- channel go" in told
    assert "records" not in told
    assert server.request("GET", "/v1/channels/go")[0] == 404
    assert "- stream records" in apply(server, tmp_path, "--delete-streams", HOOK_URL=URL)
    assert server.request("GET", "/v1/streams/records")[0] == 404
    # A kind without a folder is left alone.
    (tmp_path / "channels" / "keep.edn").unlink()
    (tmp_path / "channels").rmdir()
    assert "channel" not in apply(server, tmp_path)
    assert server.request("GET", "/v1/channels/keep")[0] == 200


RULE = """\
; who is on call wants to know
{:query {:from :app :time {:last "5m"} :where [:= :level "error"] :group-by [:service] :aggregate {:n [:count]}}
 :when [:> :n 10]
 :every "30s"
 :notify [:pager]}
"""


def test_a_rule_and_the_channel_that_it_names_come_and_go_together(server, tmp_path):
    write(tmp_path, channels__pager=CHANNEL, rules__checkout=RULE)
    assert "+ rule checkout" in apply(server, tmp_path, HOOK_URL=URL)
    assert server.request("GET", "/v1/rules/checkout")[1]["text"] == RULE.strip()
    (head, *_) = server.request("GET", "/v1/rules/checkout/versions")[1]["versions"]
    assert head["author"] == getpass.getuser()
    assert "created" not in apply(server, tmp_path, HOOK_URL=URL)
    (tmp_path / "channels" / "pager.edn").unlink()
    told = apply(server, tmp_path, code=2)
    assert "channel pager: the channel 'pager' is notified by checkout [channel-in-use]" in told
    write(tmp_path, rules__checkout=RULE.replace(":n 10", ":m 10"))
    assert f"{tmp_path}/rules/checkout.edn:3:" in apply(server, tmp_path, "--no-prune", code=2)
    (tmp_path / "rules" / "checkout.edn").unlink()
    told = apply(server, tmp_path)
    assert "- channel pager" in told
    assert "- rule checkout" in told


BASE = "{:params {?service {:type :string :required true}} :query {:where [:= :service ?service]}}"
USER = "{:use :a-base, :query {:limit 5}}"


def test_a_rule_that_would_tell_nobody_is_warned_of(server, tmp_path):
    write(tmp_path, rules__quiet=RULE.replace(":pager", ":pagr"))
    told = apply(server, tmp_path, "--dry-run", "--no-prune")
    assert "warning: rule quiet: no channel 'pagr': nobody is told; klomp channels put pagr FILE, or " in told


def test_templates_that_use_each_other_are_checked_as_they_will_be(server, tmp_path):
    write(tmp_path, templates__a_base="{}")
    (tmp_path / "templates" / "a_base.edn").unlink()
    (tmp_path / "templates" / "a-base.edn").write_text(BASE)
    (tmp_path / "templates" / "a-a-user.edn").write_text(USER)
    assert "2 created" in apply(server, tmp_path)
    assert apply(server, tmp_path) == "2 as they are\n"
    # The base alone would break the one that uses it; both together are fine.
    (tmp_path / "templates" / "a-base.edn").unlink()
    assert "nothing is changed" in apply(server, tmp_path, code=2)
    (tmp_path / "templates" / "a-a-user.edn").unlink()
    assert "2 deleted" in apply(server, tmp_path)
    assert server.request("GET", "/v1/templates/a-base")[0] == 404


def test_a_directory_without_any_of_it_is_named(server, tmp_path):
    assert "has none of the folders streams, templates, rules, channels" in apply(server, tmp_path, code=2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "Invalid JSON"),
        ("{}", "files: Field required"),
        ('{"files": [{"kind": "pigeon", "name": "a", "text": "{}"}]}', "no kind 'pigeon'"),
        (
            '{"files": [{"kind": "channel", "name": "a", "text": ""}, {"kind": "channel", "name": "a", "text": ""}]}',
            "two files",
        ),
        ('{"files": [], "prune": "yes"}', "prune: "),
    ],
)
def test_requests_that_are_none(server, body, message):
    status, answer, _ = server.request("POST", "/v1/apply", body, content_type="application/json")
    assert (status, answer["errors"][0]["code"]) == (400, "bad-body")
    assert message in answer["errors"][0]["message"]


def test_variables_stand_in_strings_only_and_can_be_escaped():
    form = read('{:url "https://${A}/${B:-b}$${C}$", :group-by ["${A}"] :x 1}')
    assert references(form) == {"A", "B"}
    assert pretty(substituted(form, {"A": "a{}${B}"})) == (
        '{:url "https://a{}${B}/b${C}$"\n :group-by ["a{}${B}"]\n :x 1}'
    )


@given(st.text("${}:-Ab.", max_size=30))
def test_any_text_can_be_written_with_escapes(text):
    assert substituted(escaped(Form(text)), {"A": "x"}) == Form(text)


def test_the_command_line_of_channels(server, tmp_path):
    (tmp_path / "c.edn").write_text('{:type :webhook :url "http://127.0.0.1:1/" :allow-private true}')
    assert (
        klomp(server, "channels", "put", "cli", str(tmp_path / "c.edn")).stdout
        == "channel cli has version 1\n"
    )
    assert "cli" in klomp(server, "channels").stdout
    # The server may stand behind either word.
    for words in (
        ("channels", "--url", server.url, "show", "cli"),
        ("channels", "show", "cli", "--url", server.url),
        ("rules", "--url", server.url),
        ("rules", "--url", "http://127.0.0.1:1", "list", "--url", server.url),
        ("templates", "--url", server.url, "show", "errors-around"),
    ):
        assert klomp(server, *words, KLOMP_URL="http://127.0.0.1:1").returncode == 0, words
    assert '"allow-private": true' in klomp(server, "channels", "show", "cli").stdout
    done = klomp(server, "channels", "test", "cli")
    assert (done.returncode, done.stderr) == (2, "error: it did not arrive: 127.0.0.1: connection refused\n")
    assert klomp(server, "channels", "history", "--state", "dead").stdout == "0 notifications\n"
    assert klomp(server, "channels", "resend", "cli").stdout == "0 notifications will be sent again\n"
    assert getpass.getuser() in klomp(server, "channels", "versions", "cli").stdout
    assert klomp(server, "channels", "restore", "cli", "1").stdout == "restored cli, now version 1\n"
    (tmp_path / "c.edn").write_text("{:type :pigeon}")
    assert "^^^^^^^" in klomp(server, "channels", "put", "cli", str(tmp_path / "c.edn")).stderr
    assert klomp(server, "channels", "delete", "cli").stdout == "channel cli is gone\n"
    assert "no channel 'cli'" in klomp(server, "channels", "show", "cli").stderr
