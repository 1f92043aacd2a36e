"""Which package may import which: server -> dsl -> grammar, server -> storage, and nothing the other way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "grammar": set(),
    "dsl": {"grammar"},
    "storage": set(),
    "server": {"dsl", "storage"},
    "bench": {"dsl", "server", "storage"},
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


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("server.supervisor", {"falcon", "granian", "lark", "apscheduler", "urllib3"}),
        ("server.processes.indexer", {"falcon", "granian", "lark", "apscheduler", "urllib3"}),
        ("server.processes.scheduler", {"granian", "uvloop"}),
        ("server.processes.http", {"apscheduler", "apprise", "click"}),
    ],
)
def test_a_process_has_only_what_it_needs_in_memory(module, unwanted):
    """What one process needs and another does not is some twenty megabytes."""
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    names = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert module.partition(".")[0] in names
    assert not names & unwanted
