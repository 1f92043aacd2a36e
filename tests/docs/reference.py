"""Makes docs/reference.md of the registries: every entry with what it says of itself, an example, and its answer.

`python -m tests.docs.reference` prints it; `KLOMP_RECORD=1 pytest tests/docs/test_reference.py` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from dsl.aggregates import AGGREGATES
from dsl.arithmetic import SIGNATURES
from dsl.errors import QueryError
from dsl.keys import KEYS
from dsl.limits import Limits
from dsl.operators import OPERATORS
from dsl.param_types import TYPES
from dsl.parse import parse
from dsl.predicates import CLOGS
from dsl.printer import to_json
from dsl.schema import query_schema
from dsl.time import UNITS_US, format_instant, parse_instant, parse_moment
from tests.docs.blocks import ROOT, code, table
from tests.docs.shop import ask, open_shop
from tests.support.stores import BuiltStore

PAGE = ROOT / "docs" / "reference.md"
LANGUAGE = ROOT / "docs" / "language.md"
GOLDEN = ROOT / "tests" / "golden" / "errors"
LIMITED = (ROOT / "tests" / "golden" / "limits", ROOT / "tests" / "golden" / "running")
"""Mistakes that only show where a limit is set low, or where a query runs."""

HEAD = """\
# Reference of the query language

Everything that can stand in a query, each with an example. [language.md](language.md) is the same as a tour, to be
read from the beginning; [cookbook.md](cookbook.md) has whole questions. This page is made from the code, and tests
hold it to that.

The examples are asked of the shop in the cookbook, its {records} records, and its *now*, 2026-01-01T00:00:00Z.
"""

# One value for each key of a query; and what else must be there for it.
KEY_EXAMPLES = {
    "from": ":nginx",
    "time": '{:last "1h"}',
    "where": '[:= :level "error"]',
    "select": "[:timestamp :service :http.status]",
    "group-by": "[:service]",
    "aggregate": "{:n [:count]}",
    "having": "[:> :n 10]",
    "order-by": "[[:timestamp :desc]]",
    "limit": "20",
    "after": '"WzEs…"',
    "total": "true",
    "timeout": '"30s"',
    "on-timeout": ":partial",
    "exact": "true",
}

NOW = "2026-03-04T10:17:42.5Z"  # a Wednesday
MOMENTS = [
    "now",
    "now-15m",
    "now-1h30m",
    "now/h",
    "now/d",
    "now-1d/d",
    "now/w",
    "now/d+6h",
    "now-250ms",
    "2026-03-04T10:00:00Z",
    "2026-03-04T10:00:00+01:00",
    "2026-03-04 10:00:00.123456",
    "2026-03-04",
    "2026",
]
RANGES = [
    '{:last "90m"}',
    '{:since "now-1d/d" :until "now/d"}',
    '{:since "2026-03-01"}',
    '{:until #inst "2026-03-01T12:00:00Z"}',
    '{:around "2026-03-04T10:00:00Z" :within "5m"}',
]
UNIT_NAMES = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}

# What a parameter's place is called.
PLACES = {
    "value": "a value",
    "text": "a text to look for",
    "streams": "streams",
    "moment": "a time",
    "duration": "a duration",
    "number": "a number, such as a width",
    "count": "a number of rows",
    "flag": "true or false",
}


def page(shop: BuiltStore) -> str:
    """The whole page."""
    parts = [
        HEAD.format(records=len(shop.records)),
        _keys_of_a_query(),
        _predicates(shop),
        _times(),
        _group_keys(shop),
        _aggregates(shop),
        _parameters(),
        _limits(),
        _mistakes(),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _table(columns: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = [_row(columns), "|" + "---|" * len(columns), *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(text: str) -> str:
    return f"`{text}`"


def _keys_of_a_query() -> str:
    described = query_schema()["properties"]
    rows = [
        (_code(f":{name} {KEY_EXAMPLES[name]}"), schema["description"], _code(name), _with(name))
        for name, schema in described.items()
    ]
    return f"""\
## The keys of a query

A query is a map. Each key may be left out; `{{}}` is a query.

{_table(("key and an example", "is", "in JSON", "in a query for"), rows)}
"""


def _with(name: str) -> str:
    """Whether a key goes with records, with groups, or with both."""
    one = f":{name} {KEY_EXAMPLES[name]}"
    of_groups = {"group-by", "aggregate"}
    order = one if name != "order-by" else ":order-by [[:n :desc]]"
    rows = name not in of_groups and _reads(f"{{{one}}}")
    others = " ".join(
        f":{other} {KEY_EXAMPLES[other]}" for other in ("group-by", "aggregate") if other != name
    )
    groups = _reads(f"{{{others} {order}}}")
    return " and ".join(["records"] * rows + ["groups"] * groups)


def _reads(text: str) -> bool:
    try:
        parse(text)
    except QueryError as error:
        return {mistake.code for mistake in error.mistakes} <= {"bad-cursor"}
    return True


def _predicates(shop: BuiltStore) -> str:
    rows = []
    as_json = []
    for operator in OPERATORS.values():
        query = f"{{:from :* :where {operator.example} :limit 0 :total true}}"
        holds = shop.query(query, syntax="edn").total
        rows.append((_code(operator.signature), operator.summary, _code(operator.example), str(holds)))
        as_json.append(json.dumps(to_json(parse(f"{{:where {operator.example}}}"))["where"]))
    clogs = _table(
        ("there", "here"), ((_code(f":{name}"), _code(f":{ours}")) for name, ours in CLOGS.items())
    )
    return f"""\
## Predicates

What may stand after `:where`, after `:having`, and at the end of an aggregate. The last column says for how many of
the records the example holds.

{_table(("form", "is true when", "example", "holds for"), rows)}

The examples in JSON, in the same order:

```
{chr(10).join(as_json)}
```

`{{:level "error" :service #{{"a" "b"}}}}` is short for: each of these fields equals its value, or one of its values.
The operators of the map form of Clogs, `{{:field :level :operator :eq :value "error"}}`:

{clogs}
"""


def _times() -> str:
    now_us = parse_instant(NOW)
    assert now_us is not None
    moments = [
        (_code(json.dumps(text)), format_instant(parse_moment(text).resolve(now_us))) for text in MOMENTS
    ]
    ranges = []
    for text in RANGES:
        time = parse(f"{{:time {text}}}").time
        assert time is not None
        ranges.append((_code(text), *(_instant(us) for us in time.resolve(now_us))))
    units = [(_code(unit), UNIT_NAMES[unit], f"{us:,}".replace(",", " ")) for unit, us in UNITS_US.items()]
    return f"""\
## Times

A time is a text, or an `#inst`; this is what each means when *now* is {NOW}, a Wednesday.

{_table(("time", "is"), moments)}

A range, what `:time` takes, holds its first instant but not its last:

{_table(("range", "from", "until"), ranges)}

A duration is whole numbers with units, the parts of which are added up, as in `1h30m`:

{_table(("unit", "is", "microseconds"), units)}
"""


def _instant(us: int | None) -> str:
    return "" if us is None else format_instant(us)


def _group_keys(shop: BuiltStore) -> str:
    parts = []
    for kind in KEYS.values():
        stream = ":*" if ":service" in kind.example else ":edge"
        query = f'{{:from {stream} :time {{:last "1h"}} :group-by [{kind.example}] :limit 5}}'
        parts.append(
            f"""\
**{_code(kind.signature)}**: {kind.summary}.

```clojure
{query}
```

```answer
{ask(shop, query)}```
"""
        )
    return (
        "## Group keys\n\nWhat may stand in `:group-by`, and the first five groups of each.\n\n"
    ) + "\n".join(parts)


def _aggregates(shop: BuiltStore) -> str:
    rows = []
    for kind in AGGREGATES.values():
        query = f'{{:from :edge :time {{:last "1h"}} :aggregate {{:x {kind.example}}}}}'
        answer = shop.query(query, syntax="edn")
        value = _shown(answer.plain_rows()[0]["x"])
        about = "about " if answer.approximate else ""
        rows.append((_code(kind.signature), kind.summary, _code(kind.example), f"{about}{_code(value)}"))
    signs = {
        "+": "added",
        "-": "the first less the others",
        "*": "multiplied",
        "/": "the first by the others",
    }
    sums = [(_code(SIGNATURES[sign]), signs[sign], _code(f"[:{sign} :a 2]")) for sign in SIGNATURES]
    return f"""\
## Aggregates

What may stand in `:aggregate`. Each takes a predicate as its last argument, and is then about the records for which
that holds. The last column is its value for the requests of the last hour, `{{:from :edge :time {{:last "1h"}}}}`.

{_table(("form", "is", "example", "there"), rows)}

Arithmetic works with numbers, and with other aggregates by their names; nil where something is missing:

{_table(("form", "is", "example"), sums)}
"""


def _shown(value: Any) -> str:
    """A value; of a fraction the digits that are the same in whichever order it was added up."""
    return f"{value:.7g}" if isinstance(value, float) else json.dumps(value)


def _parameters() -> str:
    order = list(PLACES)
    rows = [
        (
            _code(f":{kind.name}"),
            kind.summary,
            ", ".join(PLACES[place] for place in sorted(kind.places, key=order.index)),
            kind.hint,
        )
        for kind in TYPES.values()
    ]
    return f"""\
## Parameters

A symbol that begins with `?` stands where a value does, in queries saved as
[templates](templates.md#declare-parameters), which say of what type each is. `[:set :string]` are several values of a
type; `[:enum "a" "b"]` is one of those.

{_table(("type", "is", "may stand for", "how to"), rows)}
"""


def _limits() -> str:
    rows = []
    for limit in fields(Limits):
        default = limit.default
        assert isinstance(default, int)
        shown = f"{default:,}".replace(",", " ")
        rows.append((f"{shown} {limit.metadata['unit']}", limit.metadata["reason"]))
    return f"""\
## Limits

What is more is refused by name, before anything runs where that can be told then.

{_table(("at most", "because"), rows)}
"""


def _mistakes() -> str:
    known = documented_codes()
    parts = [
        f"**`{path.stem}`**\n\n```\n{_first_mistake(path)}\n```\n"
        for path in golden_files()
        if path.stem in known
    ]
    return (
        "## Mistakes\n\nAn example of each. What the codes mean is in [language.md](language.md#mistakes); those of a"
        "\ntext that cannot be read at all are in [edn.md](edn.md#mistakes).\n\n" + "\n".join(parts)
    )


def golden_files() -> list[Path]:
    """The golden files of mistakes, by their codes."""
    return sorted(
        (path for folder in (GOLDEN, *LIMITED) for path in folder.glob("*.txt")), key=lambda path: path.stem
    )


def documented_codes() -> set[str]:
    """The codes that language.md explains."""
    return {name for row in table(LANGUAGE, "code", "what is wrong") for name in code(row["code"])}


def _first_mistake(path: Path) -> str:
    """What is shown of the first mistake of a golden file that has its code."""
    for case in path.read_text(encoding="utf-8").split("\n\n\n"):
        shown = case.split("\n---\n")[-1].strip("\n")
        for one in shown.split("\n\n"):
            if one.startswith(f"error[{path.stem}]"):
                return one
    raise AssertionError(path)


def main() -> None:
    with open_shop() as shop:
        print(page(shop), end="")


if __name__ == "__main__":
    main()
