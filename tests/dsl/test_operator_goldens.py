"""Each operator in `tests/golden/operators`: predicates, `---`, how each is printed, and what it asks an index.

One that is wrong shows its mistake. Run with KLOMP_RECORD=1 to write the files again; then read the difference.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from strategies import NOW_US, analyse
from test_compile import Asked

from dsl.binding import BadValue, bind
from dsl.compile import compile_predicate
from dsl.errors import QueryError
from dsl.forms import Form
from dsl.operators import OPERATORS
from dsl.parse import parse
from dsl.patterns.pieces import Piece
from dsl.predicates import write
from dsl.printer import form_to_json, print_form, to_edn

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "operators"
SEPARATOR = "\n---\n"
BETWEEN = "\n\n\n"


class Index(Asked):
    def analyse(self, text: str) -> list[str]:
        return analyse(text)


def shown(value: Any) -> str:
    if isinstance(value, Piece):
        return f"{'^' * value.left}{value.text!r}{'i' * value.fold}{'$' * value.right}"
    if isinstance(value, tuple | list):
        return f"[{' '.join(map(shown, value))}]"
    return repr(value)


def said(text: str) -> str:
    """The predicate as it is printed, in EDN and in JSON, and what it asks; or what is wrong with it."""
    query = f"{{:where {text}}}"
    try:
        where = parse(query).where
    except QueryError as error:
        return error.render(query)
    assert where is not None
    printed = write(where)
    as_json = form_to_json(printed)
    assert parse(f"{{:where {print_form(printed)}}}").where == where
    assert parse(json.dumps({"where": as_json}), "json").where == where
    index = Index()
    compile_predicate(where, index, NOW_US)
    asked = [" ".join([name, *map(shown, arguments)]) for name, *arguments in index.calls]
    lines = [f"edn   {print_form(printed)}", f"json  {json.dumps(as_json, ensure_ascii=False)}"]
    return "\n".join([*lines, *(f"asks  {call}" for call in asked)])


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_read_printed_and_compiled_as_in_its_golden_file(name: str) -> None:
    path = GOLDEN / f"{_file_name(name)}.txt"
    text = path.read_text(encoding="utf-8")
    cases = [case.split(SEPARATOR)[0].strip("\n") for case in text.split(BETWEEN)]
    assert OPERATORS[name].example in cases
    assert all(case.startswith(f"[:{name}") for case in cases)
    found = BETWEEN.join(f"{case}{SEPARATOR}{said(case)}" for case in cases) + "\n"
    if os.environ.get("KLOMP_RECORD"):
        path.write_text(found, encoding="utf-8")
    assert found == text


def test_there_is_no_golden_file_of_an_operator_that_is_not() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(map(_file_name, OPERATORS))


def _file_name(name: str) -> str:
    """The operator's name, and for signs that of the file it is in."""
    return OPERATORS[name].compile.__module__.rpartition(".")[2] if not name[0].isalpha() else name


@pytest.mark.parametrize(
    ("text", "wrong", "code"),
    [
        ("[:fuzzy :m ?w {:distance ?n}]", "--", "no-words"),
        ("[:phrase :m ?w {:slop ?n}]", "--", "no-words"),
        ("[:regex :m ?w]", "(", "bad-pattern"),
        ("[:glob :m ?w]", "[a", "bad-pattern"),
        ("[:cidr :m ?w]", "10.0.0.1/8", "bad-value"),
    ],
)
def test_patterns_and_options_may_be_parameters(text: str, wrong: str, code: str) -> None:
    query = f"{{:where {text}}}"
    tree = parse(query, unbound=True)
    assert to_edn(tree) == query
    bound = bind(tree, {"w": Form("10.0.0.1"), "n": Form(2)})
    assert to_edn(bound) == query.replace("?w", '"10.0.0.1"').replace("?n", "2")
    with pytest.raises(BadValue) as caught:
        bind(tree, {"w": Form(wrong), "n": Form(2)})
    assert [mistake.code for mistake in caught.value.wrong["w"]] == [code]
