"""The small shop that pages ask about: its records, a store of them at midnight, and an answer as a page shows it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console

from dsl.errors import QueryError
from dsl.parse import parse
from dsl.printer import to_edn
from server.answer import Answer
from server.cli.answers import warnings_of
from server.cli.table import print_table
from tests.docs.blocks import ROOT
from tests.support.stores import BuiltStore, built_store

RECORDS = ROOT / "docs" / "cookbook"
OFF = 0.0201  # a quotient of two values within 1 %
ROUNDED = 1e-9  # sums of fractions, in whichever order
WIDTH = 4096  # of the console: no line is ever broken


def records(stream: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (RECORDS / f"{stream}.ndjson").read_bytes().splitlines()]


@contextmanager
def open_shop() -> Iterator[BuiltStore]:
    """A store of all records, each stream in two segments; now is 2026-01-01T00:00:00Z."""
    batches = []
    for path in sorted(RECORDS.glob("*.ndjson")):
        found = records(path.stem)
        half = len(found) // 2
        batches += [(path.stem, found[:half]), (path.stem, found[half:])]
    with built_store(batches, segment_bytes_max=4096) as store:
        yield store


def shown(answer: Answer) -> str:
    """An answer as `klomp query --width 0` prints it to a terminal, without how long it took."""
    out = io.StringIO()
    rows = answer.plain_rows()
    print_table(Console(file=out, width=WIDTH, color_system=None), rows, answer.columns)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    if not rows and answer.total is None:
        lines.append("no rows")
    if answer.total is not None:
        lines.append(f"{answer.total} total")
    lines += [f"warning: {warning}" for warning in warnings_of(answer)]
    return "\n".join(lines) + "\n"


def ask(store: BuiltStore, text: str) -> str:
    """What a page shows below a query: its answer, or its mistakes."""
    try:
        return shown(store.query(text, syntax="edn"))
    except QueryError as error:
        return error.render(text) + "\n"


def same_as_the_oracle(store: BuiltStore, text: str) -> bool:
    """Whether the plain evaluator gives the same rows; nearly where the answer says approximate."""
    answer, oracle = store.query(text, syntax="edn"), store.oracle(text, syntax="edn")
    assert parse(to_edn(parse(text))) == parse(text)
    found = answer.plain_rows()
    wanted = [orjson.loads(orjson.dumps(row)) for row in oracle.rows]
    if len(found) != len(wanted) or answer.total != oracle.total:
        return False
    off = dict.fromkeys(answer.approximate, OFF)
    return all(
        set(row) == set(want) and all(_near(row[name], want[name], off.get(name, ROUNDED)) for name in row)
        for row, want in zip(found, wanted, strict=True)
    )


def _near(value: Any, wanted: Any, off: float) -> bool:
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return abs(value - wanted) <= off * max(abs(value), abs(wanted))
    return bool(value == wanted)
