"""Aggregates and group keys in their golden files: forms, `---`, how they are printed, and what they give.

They are asked of the records below. One that is wrong shows its mistake. Run with KLOMP_RECORD=1 to write the files
again; then read the difference.
"""

import json
import os
from pathlib import Path

import pytest
from strategies import NOW_US, analyse

from dsl.aggregates import AGGREGATES
from dsl.errors import QueryError
from dsl.evaluate import evaluate
from dsl.keys import KEYS
from dsl.parse import parse
from dsl.printer import to_edn, to_json
from dsl.record import Record

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SEPARATOR = "\n---\n"
BETWEEN = "\n\n\n"
MINUTE_US = 60_000_000

FOUND = [
    {"service": "a", "level": "info", "latency_ms": 1, "bytes": 10, "http": {"status": 200, "path": "/"}},
    {
        "service": "a",
        "level": "error",
        "latency_ms": 2.5,
        "http": {"status": 500, "path": "/x"},
        "user": {"id": 7},
    },
    {
        "service": "b",
        "level": "info",
        "latency_ms": [40, 900],
        "bytes": 30,
        "message": "second",
        "user": {"id": "u"},
    },
    {"service": ["a", "c"], "latency_ms": "n/a", "bytes": -5, "message": "third", "user": {"id": 7}},
    {"latency_ms": 1000, "bytes": 2**53, "http": {"status": 500, "path": "/"}, "user": {"id": True}},
]
RECORDS = [Record(NOW_US - (9 - 2 * n) * MINUTE_US, "main", n, fields) for n, fields in enumerate(FOUND)]

AGGREGATE = '{:time {:last "10m"} :aggregate {:x %s}}'
KEY = '{:time {:last "10m"} :group-by [%s]}'


def said(query: str) -> str:
    """The query as it is printed, in EDN and in JSON, and its rows; or what is wrong with it."""
    try:
        read = parse(query)
    except QueryError as error:
        return error.render(query)
    edn, as_json = to_edn(read), json.dumps(to_json(read), ensure_ascii=False)
    assert parse(edn) == read
    assert parse(as_json, "json") == read
    rows = evaluate(read, RECORDS, NOW_US, analyse).rows
    return "\n".join([f"edn   {edn}", f"json  {as_json}", *(f"row   {json.dumps(row)}" for row in rows)])


def compared(path: Path, query: str, example: str, begins: tuple[str, ...]) -> None:
    text = path.read_text(encoding="utf-8")
    cases = [case.split(SEPARATOR)[0].strip("\n") for case in text.split(BETWEEN)]
    assert example in cases
    assert all(case.startswith(begins) for case in cases)
    found = BETWEEN.join(f"{case}{SEPARATOR}{said(query % case)}" for case in cases) + "\n"
    if os.environ.get("KLOMP_RECORD"):
        path.write_text(found, encoding="utf-8")
    assert found == text


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_aggregate_is_read_printed_and_worked_out_as_in_its_golden_file(name: str) -> None:
    path = GOLDEN / "aggregates" / f"{name}.txt"
    compared(path, AGGREGATE, AGGREGATES[name].example, (f"[:{name}",))


@pytest.mark.parametrize("name", KEYS)
def test_a_group_key_is_read_printed_and_grouped_by_as_in_its_golden_file(name: str) -> None:
    path = GOLDEN / "keys" / f"{name}.txt"
    compared(path, KEY, KEYS[name].example, (f"[:{name}", *((":", '"') if name == "field" else ())))


@pytest.mark.parametrize(("folder", "registry"), [("aggregates", AGGREGATES), ("keys", KEYS)])
def test_there_is_no_golden_file_of_what_is_not(folder: str, registry: dict[str, object]) -> None:
    assert {path.stem for path in (GOLDEN / folder).glob("*.txt")} == set(registry)
