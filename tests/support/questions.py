"""Records and queries for property tests: everything a sender may send, and every way to ask for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.support import patterns

EXAMPLES = int(os.environ.get("KLOMP_EXAMPLES", "0"))

MARK = "\ue000"
REPLACEMENT = "\ufffd"

PLAIN_NAMES = ["a", "b", "c", "level", "service", "http", "status", "message", "arr"]
ODD_NAMES = [
    "",
    ".",
    "a.",
    ".b",
    "a..b",
    "a.b",
    "a.b.c",
    "http.status",
    "message.x",
    "timestamp.x",
    "_stream.x",
    "_numbers",
    "x y",
    " a",
    'q"q',
    "a'b",
    "a\\b",
    "\\",
    "a\\.b",
    "co:lon",
    "br[0]",
    "par(en)",
    "cu{r}ly",
    "a*",
    "a?",
    "-a",
    "+a",
    "!a",
    "~a",
    "a/b",
    "a-b",
    "^2",
    "<a",
    ">=1",
    "@x",
    "#x",
    "%",
    "$ref",
    "1",
    "2024-01-01",
    "AND",
    "NOT",
    "TO",
    "IN",
    "a\nb",
    "a\tb",
    "\x00",
    "a\x00",
    "a\x01",
    "a\x01b",
    MARK,
    MARK + "no_message",
    "a" + REPLACEMENT,
    "\u200b",
    "\u00a0",
    "ünï",
    "u\u0308",
    "日本",
    "😀",
    "n" * 300,
]
DATE_LIKE = [
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "2024-01-01T00:00:00.000Z",
    "2024-01-01T01:00:00+01:00",
    "2024-01-01T00:00:00.123456789Z",
    "2024-01-01 00:00:00",
    "2024-01-01t00:00:00z",
    "2024-13-45",
    "2023-12-31T23:59:60Z",
    MARK + "2024-01-01",
    MARK,
]
STRINGS = [
    "",
    " ",
    "error",
    "Error",
    "ERROR timeout",
    "error-42 timeout",
    "x",
    "1",
    "1.0",
    "-1",
    "true",
    "null",
    "a.b",
    "a\nb",
    "a\x00b",
    "\x01",
    "a\\b",
    'say "hi"',
    "/api/v1/users?id=7&x=[y]",
    ".*",
    "^$",
    "(?i)a|b",
    "*",
    "#~&@<>",
    "ünïcödé",
    "u\u0308ber",
    "STRASSE straße",
    "ΣΊΣΥΦΟΣ σίσυφος",
    "İstanbul \u0131spanak",
    "\u212aelvin kelvin",
    "日本語 テキスト",
    "Привет мир",
    "שלום",
    "ไทย",
    "😀 smile",
    "\U0001d573\U0001d574",
    "\uffff",
    "a" * 100,
    "w" * 255,
    "w" * 256,
    "w" * 300 + " tail",
    "Ⱥ" * 100,
    "é" * 130,
    "deadbeef" * 8,
    "line one\nline two",
    "tab\tbed",
    "\r\n",
    "foo_bar-baz.qux",
    "foo bar baz",
    "foo foo bar",
    *patterns.ADDRESSES,
    "k",
    "K8s kK",
    *DATE_LIKE,
]
NUMBERS: list[int | float] = [
    0,
    -0.0,
    1,
    1.0,
    -1,
    2,
    2.5,
    -2.5,
    3,
    7,
    10,
    10.5,
    20,
    42,
    0.1,
    1e-9,
    5e-324,
    1e16,
    1e17,
    1e300,
    -1e300,
    1.7976931348623157e308,
    2**31,
    2**53 - 1,
    2**53,
    2**53 + 1,
    -(2**53) - 1,
    float(2**53),
    2**63 - 1,
    2**63,
    float(2**63),
    -(2**63),
    2**64 - 1,
    2**64,
    10**19,
    1e19,
    10**25,
]
WORDS = sorted({word for text in STRINGS for word in text.replace("\n", " ").split(" ") if word})
SEPARATORS = [" ", "  ", ", ", "-", "_", ".", ":", "\n", "\t", "…", "\u00a0", " (", ") ", "=", "'", "\u0301"]
STREAMS = ["main", "b"]
LAST_US = 1_767_225_600_000_000


def profile(examples: int) -> settings:
    """Settings for a test whose every example builds a store."""
    return settings(
        max_examples=EXAMPLES or examples,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )


names = st.sampled_from(PLAIN_NAMES) | st.sampled_from(PLAIN_NAMES + ODD_NAMES)
strings = (
    st.sampled_from(STRINGS)
    | st.sampled_from(patterns.ADDRESSES)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
numbers = (
    st.sampled_from(NUMBERS)
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-5, 25)
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.none() | st.booleans() | numbers | strings
simple = st.sampled_from([None, True, False, 0, 1, 1.0, 2.5, "error", "Error", "x", "1", "2024-01-01"])
values = st.recursive(
    simple | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def messages(draw: Any) -> str:
    words = draw(st.lists(st.sampled_from(WORDS + STRINGS) | strings, min_size=1, max_size=4))
    separator = draw(st.sampled_from(SEPARATORS))
    return str(separator.join(words))


times = st.sampled_from(
    [LAST_US + step for step in (-86_400_000_000, -60_000_000, -1, 0, 0, 0, 1, 30_000_000)]
)


@st.composite
def records(draw: Any) -> dict[str, Any]:
    record: dict[str, Any] = {"timestamp": _text_of(draw(times))}
    record.update(draw(st.dictionaries(names, values, max_size=5)))
    kind = draw(st.integers(0, 9))
    if kind < 7:
        record["message"] = draw(messages())
    elif kind == 7:
        record["message"] = draw(values)
    return record


def _text_of(us: int) -> str:
    from storage.times import format_time

    return format_time(us)


batches = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.lists(records(), min_size=1, max_size=8)), min_size=1, max_size=4
)
asked_values = st.booleans() | numbers | strings | messages() | simple.filter(lambda value: value is not None)
moments = st.sampled_from(["2025-12-31T23:59:59.999999Z", "2026-01-01T00:00:00Z", "2024-01-01T00:00:00Z"])
OPERATORS = [
    *["=", "=", "!=", "<", "<=", ">", ">=", "between", "between", "in", "in", "exists", "missing"],
    *["match", "match-any", "phrase", "phrase", "contains", "contains", "starts-with", "ends-with"],
    *patterns.OPERATORS,
]
TEXT_OPERATORS = {"match", "match-any", "contains", "starts-with", "ends-with", *patterns.OPERATORS}

Leaf = tuple[str, Any]


def leaves(value: Any, path: str = "") -> list[Leaf]:
    """The scalars of a record, each with its dotted name."""
    if isinstance(value, dict):
        below = path + "." if path else ""
        return [leaf for name, item in value.items() for leaf in leaves(item, below + name)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item, path)]
    return [] if value is None else [(path, value)]


@st.composite
def paths(draw: Any, known: list[Leaf]) -> str:
    """A field to ask about: one that is there, another name, or several with dots between."""
    kind = draw(st.integers(0, 15))
    if kind < 9 and known:
        path = str(draw(st.sampled_from(known))[0])
        return path.rpartition(".")[0] if kind == 0 else path
    if kind < 13:
        return str(draw(names))
    if kind < 15:
        return ".".join(draw(st.lists(names, min_size=2, max_size=3)))
    return str(draw(st.sampled_from(["_stream", "_number"])))


@st.composite
def conditions(draw: Any, known: list[Leaf], operators: Sequence[str] = OPERATORS) -> list[Any]:
    """A predicate of one field, as JSON."""
    operator = draw(st.sampled_from(operators))
    at_home = bool(known) and draw(st.integers(0, 3)) > 0
    if at_home:
        wanted = [leaf for leaf in known if isinstance(leaf[1], str)] if operator in TEXT_OPERATORS else known
        if operator == "cidr":
            wanted = [leaf for leaf in wanted if leaf[1] in patterns.ADDRESSES] or wanted
        field, value = draw(st.sampled_from(wanted or known))
    else:
        field, value = draw(paths(known)), draw(asked_values)
    if operator in ("exists", "missing"):
        return [operator, draw(paths(known))]
    if operator == "in":
        return [operator, field, [value, *draw(st.lists(asked_values, max_size=4))]]
    if operator in TEXT_OPERATORS:
        text = value if isinstance(value, str) else draw(messages() | strings)
        if draw(st.integers(0, 5)) == 0:
            field = "*"
        if operator in patterns.OPERATORS and (operator != "phrase" or draw(st.booleans())):
            return patterns.condition(draw, operator, field, text)
        if draw(st.booleans()):
            text = patterns.part(draw, text)
        if draw(st.integers(0, 9)) == 0:
            text = text.swapcase()
        if operator == "phrase" and draw(st.booleans()):
            text = text.rstrip("".join(SEPARATORS)) + "*"
        return [operator, field, text]
    if draw(st.integers(0, 15)) == 0:
        field = draw(st.just("timestamp") | st.just(field))
        return [operator, field, *[{"#inst": draw(moments)}] * (2 if operator == "between" else 1)]
    if operator != "between":
        return [operator, field, value]
    other = draw(st.none() | (strings if isinstance(value, str) else numbers))
    ends = [value, other]
    if other is not None and type(value) is not bool:
        ends.sort()
    elif draw(st.booleans()):
        ends.reverse()
    return [operator, field, *ends]


def predicates(known: list[Leaf]) -> st.SearchStrategy[list[Any]]:
    """Any predicate about records with these leaves, as JSON."""
    return st.recursive(
        conditions(known),
        lambda inner: (
            st.tuples(st.just("not"), inner).map(list)
            | st.lists(inner, max_size=3).map(lambda parts: ["and", *parts])
            | st.lists(inner, max_size=3).map(lambda parts: ["or", *parts])
        ),
        max_leaves=3,
    )


froms = st.sampled_from(["main", "b", ["main", "b"], "*"])
ranges = st.none() | st.sampled_from(
    [
        {"last": "1h"},
        {"since": "now"},
        {"until": "now"},
        {"since": "now-1m", "until": "2026-01-01T00:00:00.000001Z"},
        {"since": "now-1d/d", "until": "now-1s"},
    ]
)


@st.composite
def scenarios(draw: Any) -> tuple[Any, list[tuple[Any, Any, Any]]]:
    """Batches of records, and what is asked about them: streams, a time range and a predicate each."""
    stored = draw(batches)
    known = [leaf for _, batch in stored for record in batch for leaf in leaves(record)]
    known = [leaf for leaf in known if leaf[0] != "timestamp"]
    asked = draw(st.lists(st.tuples(froms, ranges, predicates(known)), min_size=1, max_size=25))
    return stored, asked


@st.composite
def text_scenarios(draw: Any) -> tuple[Any, list[list[Any]]]:
    """Batches of records, and many predicates on their texts."""
    stored = draw(batches)
    known = [leaf for _, batch in stored for record in batch for leaf in leaves(record)]
    known = [leaf for leaf in known if leaf[0] != "timestamp" and isinstance(leaf[1], str)]
    return stored, draw(st.lists(conditions(known, sorted(TEXT_OPERATORS)), min_size=20, max_size=40))


@st.composite
def keys(draw: Any, known: list[Leaf]) -> Any:
    """A group key, as JSON."""
    kind = draw(st.integers(0, 13))
    if kind < 6:
        return draw(paths(known))
    if kind == 6:
        return draw(st.sampled_from(["timestamp", "_stream", "_number", "message"]))
    numeric = [leaf for leaf in known if type(leaf[1]) in (int, float)]
    of_numbers = paths(draw(st.sampled_from([known, numeric])))
    name = [{"as": draw(st.sampled_from(["k", "timestamp", "a.b"]))}] if draw(st.integers(0, 3)) == 0 else []
    if kind < 9:
        width = draw(st.sampled_from(["1m", "1h", "250ms", "1d", "1w", "13s"]))
        return ["bucket", "timestamp", width, *options(draw, offset="7s")]
    if kind < 11:
        width = draw(st.sampled_from([1, 10, 0.5, 2.5, 1000]))
        return ["bucket", draw(of_numbers), width, *options(draw, offset=draw(st.sampled_from([3, 0.5])))]
    if kind == 11:
        bounds = draw(st.sets(st.sampled_from([-1000, -2.5, 0, 0.5, 1, 2, 10, 42, 2**53]), min_size=1))
        return ["ranges", draw(of_numbers), sorted(bounds), *name]
    if kind == 12:
        return ["top", draw(paths(known)), draw(st.integers(1, 4)), *name]
    return ["field", draw(paths(known)), *name]


def options(draw: Any, **other: Any) -> list[Any]:
    """The map at the end of a bucket, or nothing."""
    every = {**other, "as": "k", "fill": draw(st.booleans())}
    chosen = draw(st.sets(st.sampled_from(sorted(every))))
    return [{name: every[name] for name in sorted(chosen)}] if chosen else []


COUNTING = ["count", "rate"]
SKETCHING = ["percentile", "median"]
ROUNDING = ["sum", "avg", "stddev", *SKETCHING]
"""The aggregates for which the index and the oracle may differ by a little."""
EXACT = [*COUNTING, "count-distinct", "min", "max", "first", "last", "top", "values"]


@st.composite
def aggregates(draw: Any, known: list[Leaf]) -> list[Any]:
    """An aggregate, as JSON."""
    kind = draw(st.sampled_from([*EXACT, *ROUNDING]))
    call: list[Any] = [kind]
    if kind not in COUNTING:
        numeric = [leaf for leaf in known if type(leaf[1]) in (int, float)]
        call.append(draw(paths(draw(st.sampled_from([known, numeric])))))
        if kind in ("count-distinct", "min", "max", "first", "last") and draw(st.integers(0, 9)) == 0:
            call[1] = "timestamp"
        if kind in ("first", "last") and draw(st.integers(0, 3)) == 0:
            call[1] = "message"
    if kind == "percentile":
        call.append(draw(st.sampled_from([0, 1, 25, 50, 95, 99.9, 100])))
    if kind == "top":
        call.append(draw(st.integers(1, 4)))
    if draw(st.integers(0, 3)) == 0:
        call.append(draw(conditions(known)))
    return call


@st.composite
def formulas(draw: Any, names: list[str]) -> list[Any]:
    """Arithmetic over some of the names, as JSON."""
    operands = st.sampled_from(names) | st.sampled_from([0, 1, 2.5, -3, 2**63, 1e300])
    parts = st.recursive(
        operands, lambda inner: st.tuples(st.sampled_from("+-*/"), inner, inner).map(list), max_leaves=4
    )
    return [draw(st.sampled_from("+-*/")), *draw(st.lists(parts, min_size=2, max_size=3))]


@st.composite
def having(draw: Any, names: list[str]) -> list[Any]:
    """A predicate over columns, as JSON."""
    column = st.sampled_from(names)
    numbers = st.sampled_from([0, 1, 2, 0.5, -1, 1000])
    leaf = (
        st.tuples(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), column, numbers).map(list)
        | st.tuples(st.sampled_from(["exists", "missing"]), column).map(list)
        | st.tuples(st.just("in"), column, st.lists(asked_values, max_size=3)).map(list)
        | st.tuples(st.sampled_from(["=", "contains", "match"]), column, strings).map(list)
        | st.tuples(st.sampled_from(["<", ">="]), column, st.just({"#inst": "2026-01-01T00:00:00Z"})).map(
            list
        )
    )
    return list(draw(leaf | st.tuples(st.just("not"), leaf) | st.tuples(st.just("or"), leaf, leaf)))


@st.composite
def groupings(draw: Any, known: list[Leaf]) -> dict[str, Any]:
    """A query for groups, as JSON."""
    query: dict[str, Any] = {"from": draw(froms), "time": draw(ranges), "total": draw(st.booleans())}
    if draw(st.booleans()):
        query["where"] = draw(predicates(known))
    query["group-by"] = draw(st.lists(keys(known), max_size=3))
    calls = draw(st.lists(aggregates(known), min_size=1, max_size=3))
    if query["time"] is None and not any(isinstance(key, list) for key in query["group-by"]):
        calls = [["count", *call[1:]] if call[0] == "rate" else call for call in calls]
    query["aggregate"] = {f"{call[0]}{place}": call for place, call in enumerate(calls)}
    exact = [name for name, call in query["aggregate"].items() if call[0] in EXACT]
    of_numbers = [name for name in exact if name[:-1] not in ("top", "values")]
    if of_numbers and draw(st.booleans()):
        query["aggregate"]["calc"] = draw(formulas(of_numbers))
        exact.append("calc")
    columns = [*exact, *(key for key in query["group-by"] if isinstance(key, str))]
    if columns and draw(st.integers(0, 2)) == 0:
        query["having"] = draw(having(columns))
    orders = [name for name in columns if not name.startswith("top")]
    if orders and draw(st.booleans()):
        steps = draw(st.lists(st.sampled_from(orders), min_size=1, max_size=2, unique=True))
        query["order-by"] = [[step, draw(st.sampled_from(["asc", "desc"]))] for step in steps]
    if draw(st.integers(0, 3)) == 0:
        query["limit"] = draw(st.integers(0, 5))
    if draw(st.integers(0, 5)) == 0:
        query["exact"] = True
    return query


@st.composite
def group_scenarios(draw: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Batches of records, and queries for groups about them."""
    stored = draw(batches)
    known = [leaf for _, batch in stored for record in batch for leaf in leaves(record)]
    known = [leaf for leaf in known if leaf[0] != "timestamp"]
    return stored, draw(st.lists(groupings(known), min_size=1, max_size=15))


@st.composite
def orders(draw: Any, known: list[Leaf]) -> list[Any] | None:
    """An order of rows, as JSON."""
    if draw(st.booleans()):
        return draw(st.sampled_from([None, [["timestamp", "asc"]], [["timestamp", "desc"]]]))
    steps = draw(st.lists(paths(known) | st.just("timestamp"), min_size=1, max_size=3, unique=True))
    return [[step, draw(st.sampled_from(["asc", "desc"]))] for step in steps]


@st.composite
def page_scenarios(draw: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Batches of records, and queries to be read page by page."""
    stored = draw(batches)
    known = [leaf for _, batch in stored for record in batch for leaf in leaves(record)]
    known = [leaf for leaf in known if leaf[0] != "timestamp"]
    queries = []
    for _ in range(draw(st.integers(1, 10))):
        query: dict[str, Any] = {"from": draw(froms), "time": draw(ranges), "limit": draw(st.integers(1, 7))}
        query["where"] = draw(st.none() | predicates(known))
        query["order-by"] = draw(orders(known))
        query["select"] = draw(st.none() | st.lists(paths(known), min_size=1, max_size=3))
        queries.append(query)
    return stored, queries


ranked = st.sampled_from([0, 1, 1, 2, 3, 5, 5.0, -1, -2.5, 0.5, 10, 1000, 1e6, [3, 7], [1, -4], [2.5]])
unranked = st.sampled_from([True, False, "x", "10", None, [], [1, "x"], 2**53 + 1, 1e300, {"m": 5}])


@st.composite
def ranked_scenarios(draw: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Many records with a number under one name, seldom something else, and orders by it."""
    values = draw(st.lists(ranked, min_size=30, max_size=90))
    for odd in draw(st.just([]) | st.lists(unranked, max_size=3)):
        values.insert(draw(st.integers(0, len(values))), odd)
    rows = [{"n": value, "even": place % 2 == 0} for place, value in enumerate(values)]
    half = len(rows) // 2
    queries = [
        {
            "from": ["main", "b"],
            "limit": draw(st.integers(1, 4)),
            "order-by": [
                ["n", draw(st.sampled_from(["asc", "desc"]))],
                *draw(st.sampled_from([[], ["even"]])),
            ],
            "where": draw(st.sampled_from([None, ["=", "even", True], [">=", "n", 1], ["missing", "x"]])),
        }
        for _ in range(draw(st.integers(1, 4)))
    ]
    return [("main", rows[:half]), ("b", rows[half:])], queries
