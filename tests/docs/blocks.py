"""The documentation as tests see it: pages, their fenced blocks, tables, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + list((ROOT / "docs").rglob("*.md"))
)

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the words behind the fence, its text, and where it begins."""

    path: Path
    line: int
    words: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(path: Path, language: str) -> Iterator[Block]:
    """The fenced blocks of a page in one language."""
    page = path.read_text(encoding="utf-8")
    for found in FENCE.finditer(page):
        words = tuple(found["info"].split())
        if words[:1] == (language,):
            line = page.count("\n", 0, found.start()) + 1
            indent = len(found["indent"])
            text = "".join(
                row[indent:] if row.strip() else row for row in found["text"].splitlines(keepends=True)
            )
            yield Block(path, line, words, text)


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def links(path: Path) -> Iterator[str]:
    """The targets of a page's links that lead to files of ours."""
    for found in _LINK.finditer(prose(path)):
        if "://" not in found["target"]:
            yield found["target"]


def anchors(path: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {_NOT_IN_ANCHOR.sub("", heading.lower()).replace(" ", "-") for heading in headings}


def tables(path: Path) -> Iterator[list[dict[str, str]]]:
    """The tables of a page: a dict for each row, by the names of the columns."""
    rows: list[list[str]] = []
    for line in [*prose(path).splitlines(), ""]:
        if line.startswith("|"):
            cells = line.strip().strip("|").replace("\\|", "\0").split("|")
            rows.append([cell.strip().replace("\0", "|") for cell in cells])
        elif rows:
            names, _, *body = rows
            yield [dict(zip(names, row, strict=True)) for row in body]
            rows = []


def table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of all tables of a page that have exactly these columns."""
    found = [rows for rows in tables(path) if rows and tuple(rows[0]) == columns]
    assert found, f"{path.name} has no table of {columns}"
    return [row for rows in found for row in rows]


def code(cell: str) -> list[str]:
    """What a cell has between backticks."""
    return re.findall(r"`([^`]+)`", cell)
