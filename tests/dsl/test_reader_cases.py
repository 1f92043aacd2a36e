"""Every verdict on the public EDN cases: what is read, what is refused, and where we differ on purpose."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dsl.errors import QueryError
from dsl.forms import Char, Form, Keyword, ListForm, MapForm, SetForm, Symbol, Tagged, VectorForm, print_form
from dsl.reader import DEFAULT, ReadLimits, read_all

ROOT = Path(__file__).resolve().parents[2]
CASES_FILE = ROOT / ".." / "shared" / "edn" / "cases.json"

# Some cases are about size: nested thousands deep, or longer than a query may be.
LARGE = ReadLimits(text_characters_max=10_000_000, depth_max=10_000)

# Rule -> the cases that it decides otherwise than they expect. Each rule and case stands in docs/edn.md.
DIFFERENCES = {
    "A byte order mark at the beginning of a text is skipped": ("edn-1821",),
}
DIFFERENT = {case_id for case_ids in DIFFERENCES.values() for case_id in case_ids}


def cases() -> Iterator[Any]:
    if not CASES_FILE.exists():
        yield pytest.param(None, marks=pytest.mark.skip(reason="../shared/edn/cases.json is not here"))
        return
    for case in json.loads(CASES_FILE.read_text(encoding="utf-8")):
        yield pytest.param(case, id=case["id"])


@pytest.mark.parametrize("case", list(cases()))
def test_case(case: dict[str, Any]) -> None:
    assert agrees(case) is (case["id"] not in DIFFERENT)


def agrees(case: dict[str, Any]) -> bool:
    try:
        forms = read_all(case["input"], limits=LARGE)
    except QueryError as error:
        return case["expect"] == "error" and error.render(case["input"]) != ""
    if case["expect"] == "error":
        return False
    if len(case["input"]) < 1000:
        assert read_all(" ".join(print_form(form) for form in forms), limits=LARGE) == forms
    if "value" not in case and "values" not in case:
        return case.get("forms", len(forms)) == len(forms)
    want = [case["value"]] if "value" in case else case["values"]
    return [meaning(value) for value in want] == [form_meaning(form) for form in forms]


def test_core_has_no_difference() -> None:
    if not CASES_FILE.exists():
        pytest.skip("../shared/edn/cases.json is not here")
    core = {c["id"] for c in json.loads(CASES_FILE.read_text(encoding="utf-8")) if c["class"] == "core"}
    assert not core & DIFFERENT


@pytest.mark.parametrize("rule", DIFFERENCES)
def test_every_difference_is_documented(rule: str) -> None:
    page = (ROOT / "docs" / "edn.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if rule in line)
    assert all(case_id in line for case_id in DIFFERENCES[rule])


def test_cases_within_the_limits_need_no_others() -> None:
    assert DEFAULT.depth_max == 64
    assert read_all("#_#_ 1 2 [3]") == read_all("[3]")


def form_meaning(form: Form) -> object:
    """What a form is, to be compared with a case's notation: sets and maps without order."""
    match form.value:
        case Keyword(name):
            return ("kw", name)
        case Symbol(name):
            return ("sym", name)
        case Char(value):
            return ("char", value)
        case ListForm(items):
            return ("list", tuple(map(form_meaning, items)))
        case VectorForm(items):
            return ("vector", tuple(map(form_meaning, items)))
        case SetForm(items):
            return ("set", frozenset(map(form_meaning, items)))
        case MapForm(pairs):
            return ("map", frozenset((form_meaning(key), form_meaning(item)) for key, item in pairs))
        case Tagged("inst", inner):
            return ("inst", inner.value)
        case Tagged("uuid", inner):
            return ("uuid", str(inner.value).lower())
        case Tagged(tag, inner):
            return ("tag", tag, form_meaning(inner))
        case value:
            return (type(value), value)


def meaning(note: Any) -> object:
    """What a case's notation means: `{"kw": "a"}`, `{"map": [[k, v]]}`, `{"N": "1"}`; arrays are vectors."""
    if isinstance(note, list):
        return ("vector", tuple(map(meaning, note)))
    if not isinstance(note, dict):
        return (type(note), note)
    if "tag" in note:
        value = note["value"]
        return (note["tag"], value) if note["tag"] == "inst" else ("tag", note["tag"], meaning(value))
    [(kind, value)] = note.items()
    match kind:
        case "N" | "int":
            return (int, int(value))
        case "M":
            return (Decimal, Decimal(value))
        case "list":
            return ("list", tuple(map(meaning, value)))
        case "set":
            return ("set", frozenset(map(meaning, value)))
        case "map":
            return ("map", frozenset((meaning(key), meaning(item)) for key, item in value))
        case _:
            return (kind, value)
