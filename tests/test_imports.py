"""Which package may import which: server -> dsl -> grammar, server -> storage, and nothing the other way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "grammar": set(),
    "dsl": {"grammar"},
    "storage": set(),
    "server": {"dsl", "storage"},
    "bench": {"server", "storage"},
}
OURS = set(MAY_IMPORT)


def imported(path):
    """The top-level packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_run_one_way(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imported(path)
        if name in OURS - {package} - MAY_IMPORT[package]
    }
    assert not wrong


def test_the_guard_sees_what_it_guards_against(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("def f():\n    from dsl.ast import Query\n    import server.app\n")
    assert set(imported(path)) == {"dsl", "server"}
