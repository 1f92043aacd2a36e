"""The full text of every mistake a text can hold, and a place in docs/edn.md for each code.

Run with KLOMP_RECORD=1 to write the golden files again; then read the difference.
"""

import os
import re
from pathlib import Path

import pytest

from dsl.errors import QueryError
from dsl.reader import MISTAKES_MAX, ReadLimits, read, read_json
from grammar.load import GRAMMARS
from grammar.mistakes import EDN_WORDS, JSON_WORDS, Wrong

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden")
READERS = {"edn": read, "json": read_json}
WORDS = {"edn": EDN_WORDS, "json": JSON_WORDS}
SMALL = ReadLimits(text_characters_max=300, depth_max=8)

STRUCTURE = {
    "edn": [
        "",
        "1 2",
        "[1 2}",
        "{:where [:and [:= :a 1]\n :limit 10}",
        "[1 2]]",
        "[1 [2 {:a 3}",
        "[1 [2",
        "{:a 1 :b}",
        "{:a 1 :b 2 :a 3}",
        "#{1 [2] (2)}",
        '[:= :a "b]',
        r'"a\qb\ud800"',
        '"a\ud800b"',
        r"\itstoolong",
        r"[\ ]",
        r"\ud800",
        "[1 #_]",
        "[#inst]",
        '#inst "yesterday"',
        '#inst "2026-02-30"',
        "#inst 5",
        '#uuid "f-7-1"',
        "#uuid 1",
        "1e999",
        "1e9999M",
        "[[[[[[[[[1]]]]]]]]]",
        "x" * 301,
        "1x " * 40,
        "[0xFF 22/7 {:a ::b :c}\n 'x]",
    ],
    "json": [
        "",
        "1 2",
        '{"a": 1, "a": 2}',
        '{"a": 1,}',
        "[1, 2,]",
        "[1 2]",
        "[1, 2}",
        '["a", {"b": 1',
        '{"a" 1}',
        '{"a"}',
        "{a: 1}",
        "{1: 2}",
        '["a]',
        '{"a',
        '{"a": 1]}',
        "]",
        ",",
        r'"a\qb\ud800"',
        '"a\nb\ud800"',
        "1e999",
        "[[[[[[[[[1]]]]]]]]]",
        "'a'",
    ],
}


def answer(name: str, text: str) -> str:
    with pytest.raises(QueryError) as caught:
        READERS[name](text, limits=SMALL)
    blocks = caught.value.render(text).split("\n\n")
    if len(blocks) > MISTAKES_MAX:
        blocks[1:-1] = [f"({len(blocks) - 2} more)"]
    return "\n\n".join(blocks)


def recorded(name: str) -> dict[str, str]:
    path = GOLDEN / f"{name}.txt"
    texts = [*(wrong.example for wrong in WORDS[name]), *STRUCTURE[name]]
    if os.environ.get("KLOMP_RECORD"):
        blocks = [f"{text!a}\n---\n{answer(name, text)}\n" for text in texts]
        GOLDEN.mkdir(exist_ok=True)
        path.write_text("\n".join(f"=== {block}" for block in blocks), encoding="utf-8")
    found = re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return dict(block.rstrip("\n").split("\n---\n", 1) for block in found)


@pytest.mark.parametrize("name", GRAMMARS)
def test_the_text_of_every_mistake(name: str) -> None:
    texts = [*(wrong.example for wrong in WORDS[name]), *STRUCTURE[name]]
    assert {f"{text!a}": answer(name, text) for text in texts} == recorded(name)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [(name, wrong) for name in GRAMMARS for wrong in WORDS[name]],
    ids=lambda part: str(part)[:40],
)
def test_an_example_is_named_by_its_own_row(name: str, wrong: Wrong) -> None:
    with pytest.raises(QueryError) as caught:
        READERS[name](wrong.example)
    first = caught.value.mistakes[0]
    word = wrong.example[first.start : first.end]
    assert (first.code, first.message, first.hint) == (
        wrong.code,
        wrong.message.format(word=word),
        wrong.hint,
    )


def test_every_code_is_shown_and_documented() -> None:
    source = "".join(
        (ROOT / "dsl" / name).read_text(encoding="utf-8") for name in ("reader.py", "literals.py")
    )
    codes = set(re.findall(r'Mistake\(\s*"([a-z-]+)"', source))
    codes |= set(re.findall(r'"(duplicate-[a-z]+)"', source))
    codes |= {wrong.code for words in WORDS.values() for wrong in words}
    shown = "\n".join("\n".join(recorded(name).values()) for name in GRAMMARS)
    page = (ROOT / "docs" / "edn.md").read_text(encoding="utf-8")
    assert len(codes) > 20
    assert {code for code in codes if f"error[{code}]" not in shown} == set()
    assert {code for code in codes if f"| `{code}` |" not in page} == set()
