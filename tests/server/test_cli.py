import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from server.cli import COMMANDS, main
from server.cli.common import counted, grouped, sized, visible
from server.cli.durations import Duration


def test_help_teaches_and_names_every_command():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, lazy in COMMANDS.items():
        assert name in result.stdout
        assert lazy.summary in result.stdout
    assert """klomp query '[:= :level "error"]'""" in result.stdout
    assert "docs/" in result.stdout


def test_help_imports_no_command():
    code = (
        "import sys, click.testing; from server.cli import main\n"
        "click.testing.CliRunner().invoke(main, ['--help'])\n"
        "heavy = {'rich', 'urllib3', 'tantivy', 'falcon', 'pydantic', 'lark', 'orjson'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_its_name(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert COMMANDS[name].load().name == name


DOCUMENT = Path(__file__).parents[2] / "docs" / "command-line.md"
EXAMPLES = [
    line.partition("klomp ")[2]
    for block in re.findall(
        r"^```\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    for line in block.splitlines()
    if re.match(r"(\$ )?(\S.* \| )?klomp ", line)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_option_in_the_documentation_exists(example):
    name, *arguments = shlex.split(example)
    command = COMMANDS[name].load()
    while isinstance(command, click.Group) and arguments and arguments[0] in command.commands:
        command = command.commands[arguments.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


@pytest.mark.parametrize("name", ["ingest", "query", "streams", "demo"])
def test_every_option_is_documented(name):
    text = DOCUMENT.read_text(encoding="utf-8")
    for parameter in COMMANDS[name].load().params:
        for option in parameter.opts:
            assert not option.startswith("--") or option in text


def test_the_version_is_told():
    result = CliRunner().invoke(main, ["--version"])
    assert result.stdout.startswith("klomp 0.")


def test_an_unknown_command_is_a_mistake():
    result = CliRunner().invoke(main, ["ingets"])
    assert result.exit_code == 2
    assert "ingets" in result.stderr


def test_numbers_for_people():
    assert [grouped(n) for n in (0, 999, 1000, 1_234_567.8)] == ["0", "999", "1 000", "1 234 568"]
    assert [counted(n, "row") for n in (0, 1, 2000)] == ["0 rows", "1 row", "2 000 rows"]
    assert [sized(n) for n in (0, 1023, 1024, 5 << 20, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3.0 TiB",
    ]


def test_text_of_others_is_harmless():
    assert visible("a\tb\r\nc\x1b[0m\x00\x7f\x9b") == "a b␍⏎c␛[0m␀\ufffd\ufffd"
    assert visible("é木👞“”") == "é木👞“”"


@pytest.mark.parametrize(("text", "want"), [("90s", 90), ("1h30m", 5400), ("250ms", 0.25), ("0s", 0)])
def test_durations_are_those_of_the_language(text, want):
    assert Duration().convert(text, None, None) == want
