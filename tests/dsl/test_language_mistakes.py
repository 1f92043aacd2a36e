"""The full text of every mistake of the language, in `tests/golden/errors`: a query, `---`, what is said of it.

Run with KLOMP_RECORD=1 to write the golden files again; then read the difference.
"""

import os
import re
from pathlib import Path

import pytest

from dsl.analysis import MISTAKES_MAX
from dsl.errors import QueryError
from dsl.limits import Limits
from dsl.parse import parse

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "errors"
FILES = sorted(GOLDEN.glob("*.txt"))
LANGUAGE = Path(__file__).resolve().parents[2] / "docs" / "language.md"
SEPARATOR = "\n---\n"
BETWEEN = "\n\n\n"


def inputs(text: str) -> list[str]:
    return [case.split(SEPARATOR)[0].strip("\n") for case in text.split(BETWEEN)]


def said(text: str) -> str:
    with pytest.raises(QueryError) as caught:
        parse(text)
    return caught.value.render()


def mistake_codes(text: str, **limits: int) -> list[str]:
    with pytest.raises(QueryError) as caught:
        parse(text, limits=Limits(**limits))
    return [mistake.code for mistake in caught.value.mistakes]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_mistake_is_said_as_in_its_golden_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = BETWEEN.join(f"{case}{SEPARATOR}{said(case)}" for case in inputs(text)) + "\n"
    if os.environ.get("KLOMP_RECORD"):
        path.write_text(found, encoding="utf-8")
    assert found == text


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem != "several"], ids=lambda path: path.stem
)
def test_a_golden_file_is_named_after_the_only_code_in_it(path: Path) -> None:
    codes = set(re.findall(r"^error\[(.*?)\]", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert codes == {path.stem}


def test_every_code_in_the_sources_has_a_golden_file_and_stands_in_the_docs() -> None:
    sources = Path(__file__).resolve().parents[2] / "dsl"
    elsewhere = {
        "reader.py",
        "literals.py",
        "errors.py",
        "forms.py",
        "template.py",
        "template_values.py",
        "param_spec.py",
    }  # with tests of their own
    code = re.compile(r'(?:wrong|Mistake|BadTime|BadCursor)\(\s*"([a-z]+(?:-[a-z]+)+)"')
    codes = {
        found
        for path in sources.rglob("*.py")
        if path.name not in elsewhere
        for found in code.findall(path.read_text(encoding="utf-8"))
    }
    assert len(codes) > 15
    while_running = {"too-many-groups", "answer-too-large"}  # found out by asking, not by reading
    assert codes - while_running <= {path.stem for path in FILES} | set(LIMITED)
    documented = LANGUAGE.read_text(encoding="utf-8")
    assert [one for one in sorted(codes) if f"`{one}`" not in documented] == []


# What passes a limit, each with the limit so low that its text can be shown; in `tests/golden/limits`.
LIMITED = {
    "too-many-nodes": ("{:where [:and [:exists :a] [:exists :b] [:exists :c]]}", {"nodes_max": 3}),
    "too-many-values": ("{:where [:in :a [1 2 3 4]]}", {"values_max": 3}),
    "too-deep": ("{:where [:not [:not [:exists :a]]]}", {"depth_max": 3}),
    "text-too-long": ("{:where [:exists :a]}", {"text_characters_max": 10}),
    "too-many-mistakes": ("{:where [:and\n" + "[:frob]\n" * (MISTAKES_MAX + 1) + "]}", {}),
}


@pytest.mark.parametrize("code", LIMITED)
def test_every_limit_is_said_as_in_its_golden_file(code: str) -> None:
    text, limits = LIMITED[code]
    with pytest.raises(QueryError) as caught:
        parse(text, limits=Limits(**limits))
    assert code in {mistake.code for mistake in caught.value.mistakes}
    found = caught.value.render() + "\n"
    path = GOLDEN.parent / "limits" / f"{code}.txt"
    if os.environ.get("KLOMP_RECORD"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_predicates_are_bounded() -> None:
    parts = " ".join(["[:exists :a]"] * 9)
    parse(f"{{:where [:and {parts}]}}", limits=Limits(nodes_max=10))
    assert mistake_codes(f"{{:where [:and {parts} [:exists :b]]}}", nodes_max=10) == ["too-many-nodes"]


def test_regular_expressions_are_bounded() -> None:
    parse('{:where [:regex :a "b{9}"]}', limits=Limits(regex_program_max=20))
    assert mistake_codes('{:where [:regex :a "b{30}"]}', regex_program_max=20) == ["regex-too-large"]
    assert mistake_codes('{:where [:glob :a "[b-z][b-z]*[b-z]"]}', regex_program_max=5) == ["regex-too-large"]


def test_predicates_in_a_plain_map_count_too() -> None:
    fields = " ".join(f":f{n} {n}" for n in range(10))
    assert mistake_codes(f"{{:where {{{fields}}}}}", nodes_max=10) == ["too-many-nodes"]


def test_values_are_bounded() -> None:
    parse("{:where [:in :a [1 2 3]]}", limits=Limits(values_max=3))
    assert mistake_codes("{:where [:in :a [1 2 3 4]]}", values_max=3) == ["too-many-values"]


def test_text_and_depth_are_bounded() -> None:
    assert mistake_codes("{:where [:exists :a]}", text_characters_max=10) == ["text-too-long"]
    assert mistake_codes("{:where [:not [:not [:exists :a]]]}", depth_max=3) == ["too-deep"]


def test_the_names_of_fields_are_bounded() -> None:
    assert mistake_codes("{:where [:exists :abcdef]}", field_characters_max=5) == ["bad-field"]


def test_mistakes_are_bounded() -> None:
    found = mistake_codes("{:where [:and " + "[:frob] " * 1000 + "]}")
    assert len(found) == MISTAKES_MAX + 1
    assert found[-1] == "too-many-mistakes"


def test_rows_and_groups_are_bounded() -> None:
    assert mistake_codes("{:group-by [:a :b]}", group_keys_max=1) == ["bad-group"]
    assert mistake_codes("{:aggregate {:a [:count] :b [:count]}}", aggregates_max=1) == ["bad-aggregate"]
    assert mistake_codes("{:limit 11}", rows_max=10) == ["bad-limit"]
    assert mistake_codes("{:limit 11 :group-by [:a]}", groups_max=10) == ["bad-limit"]


def test_mistakes_know_their_place_in_the_text() -> None:
    text = "{:from :nginx\n :where [:betwen :a 1 2]}"
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert caught.value.to_json() == [
        {
            "code": "unknown-operator",
            "message": "no operator :betwen",
            "line": 2,
            "column": 10,
            "hint": "did you mean :between?",
        }
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"where": ["betwen", "a", 1, 2]}',
        '{"form": "nginx"}',
        '{"where": {"field": "a", "operator": "frob", "value": 1}}',
        '{"time": {"since": {"#inst": "yesterday"}}}',
        '{"where": ["=", "timestamp", {"#inst": "now"}]}',
        '{"where": ["=", "a", {"#log/re": "x"}]}',
        '{"order-by": ["timestamp", "desc"]}',
    ],
)
def test_json_is_checked_like_edn(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text, "json")


def test_a_range_of_time_is_checked_with_the_now_of_the_caller() -> None:
    text = '{:time {:since "now-1h" :until #inst "2026-01-01"}}'
    parse(text)
    parse(text, now_us=1_700_000_000_000_000)
    with pytest.raises(QueryError):
        parse(text, now_us=1_900_000_000_000_000)
