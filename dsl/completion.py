"""What may stand at a cursor, as an editor offers it: keys, operators with their signatures, fields, values, times.

{:from :app :where [:betw|   ->   :between   [:between field low high]   the value lies in [low, high]; nil opens an end
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from dsl.aggregates import AGGREGATES
from dsl.analysis import field_form
from dsl.forms import Form, Keyword, print_form
from dsl.histogram import KEYS as HISTOGRAM_KEYS
from dsl.keys import KEYS
from dsl.operators import OPERATORS
from dsl.parse import Syntax
from dsl.predicates import CLOGS
from dsl.scan import Expected, Item, Kind, Spot, pairs, spot_at
from dsl.time import UNITS_US

SHOWN_MAX = 100  # candidates of one answer: nobody reads on, but types another letter


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may stand at a cursor.

    Attributes:
        insert: The text to put there.
        name: What it is called, to be compared with what was typed.
        kind: `key`, `operator`, `aggregate`, `group-key`, `field`, `value`, `stream`, `time`, `duration`, `parameter`.
        detail: A signature, the kinds of a field, how many records have a value.
        summary: A sentence about it.
    """

    insert: str
    name: str
    kind: str
    detail: str = ""
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What may stand at a cursor.

    Attributes:
        start: Where what it replaces begins, in characters.
        end: Where that ends.
        expected: What belongs there.
        candidates: The nearest first.
    """

    start: int
    end: int
    expected: str
    candidates: tuple[Candidate, ...]


class Source(Protocol):
    """What the store knows. Of streams that are not there it says nothing."""

    def streams(self) -> Iterable[str]:
        """All streams."""
        ...

    def fields(self, streams: Sequence[str]) -> Iterable[tuple[str, str]]:
        """The fields of streams, each with what it is; `*` is all streams."""
        ...

    def values(self, streams: Sequence[str], field: str) -> Iterable[tuple[Any, int]]:
        """The most frequent values of a field, each with how many records have it."""
        ...


def complete(text: str, cursor: int, source: Source, syntax: Syntax = "edn") -> Completion:
    """What may stand at a cursor, whatever the text is.

    Args:
        text: Perhaps of a query, perhaps not finished.
        cursor: In characters; outside of the text it is moved to its nearer end.
        source: What the store knows.
        syntax: How the text is written.
    """
    spot = spot_at(text, cursor, syntax)
    offered = _Offered(spot, source, syntax)
    made = _BY_KIND.get(spot.expected.kind)
    found = list(made(offered)) if made is not None else []
    if spot.expected.kind in _OPEN_TO_PARAMETERS:
        found += [Candidate(offered.symbol(name), name, "parameter") for name in spot.symbols]
    return Completion(
        spot.start, spot.end, spot.expected.kind, tuple(_nearest(found, spot.prefix))[:SHOWN_MAX]
    )


def _nearest(found: Iterable[Candidate], prefix: str) -> Iterator[Candidate]:
    """Those that begin with what was typed, then those that have it inside; each text once."""
    typed = prefix.lower()
    begin: dict[str, Candidate] = {}
    inside: dict[str, Candidate] = {}
    for one in found:
        name = one.name.lower()
        if name.startswith(typed):
            begin.setdefault(one.insert, one)
        elif typed in name:
            inside.setdefault(one.insert, one)
    yield from begin.values()
    yield from inside.values()


@dataclass(frozen=True, slots=True)
class _Offered:
    """A spot, and how its candidates are made."""

    spot: Spot
    source: Source
    syntax: Syntax

    @property
    def expected(self) -> Expected:
        """What belongs there."""
        return self.spot.expected

    def text(self, value: Any) -> str:
        """A value as it is written."""
        return print_form(Form(value)) if self.syntax == "edn" else _json(value)

    def named(self, name: str) -> str:
        """A name of the language as it is written."""
        return print_form(Form(Keyword(name))) if self.syntax == "edn" else _json(name)

    def field(self, name: str) -> str:
        """A field as it is written."""
        return print_form(field_form(name)) if self.syntax == "edn" else _json(name)

    def symbol(self, name: str) -> str:
        """A parameter as it is written."""
        return name if self.syntax == "edn" else f'{{"param": {_json(name[1:])}}}'

    def streams(self) -> Sequence[str]:
        """The streams that the text is about, as far as it says."""
        root = self.spot.root
        said = None if root is None else next((item for name, item in pairs(root) if name == "from"), None)
        if said is None:
            return ("main",)
        items = said.inner if said.opened else [said]
        return [item.name for item in items if item.name]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _keys(offered: _Offered) -> Iterator[Candidate]:
    for name, (signature, summary) in QUERY_KEYS_TOLD.items():
        if name not in offered.expected.there:
            yield Candidate(offered.named(name), name, "key", signature, summary)


def _time_keys(offered: _Offered) -> Iterator[Candidate]:
    for name, (signature, summary) in TIME_KEYS_TOLD.items():
        if name not in offered.expected.there:
            yield Candidate(offered.named(name), name, "key", signature, summary)


def _streams(offered: _Offered) -> Iterator[Candidate]:
    for name in offered.source.streams():
        if name not in offered.expected.there:
            yield Candidate(offered.named(name), name, "stream")
    if not offered.expected.there:
        yield Candidate(
            offered.named("*"), "*", "stream", "", "every stream whose name does not begin with _"
        )


def _operators(offered: _Offered) -> Iterator[Candidate]:
    for one in OPERATORS.values():
        yield Candidate(offered.named(one.name), one.name, "operator", one.signature, one.summary)


def _map_operators(offered: _Offered) -> Iterator[Candidate]:
    for name, ours in CLOGS.items():
        one = OPERATORS[ours]
        yield Candidate(offered.named(name), name, "operator", one.signature, one.summary)


def _aggregates(offered: _Offered) -> Iterator[Candidate]:
    for one in AGGREGATES.values():
        yield Candidate(offered.named(one.name), one.name, "aggregate", one.signature, one.summary)


def _key_kinds(offered: _Offered) -> Iterator[Candidate]:
    for one in KEYS.values():
        if one.signature.startswith("["):
            yield Candidate(offered.named(one.name), one.name, "group-key", one.signature, one.summary)


def _fields(offered: _Offered) -> Iterator[Candidate]:
    expected = offered.expected
    if expected.groups:
        yield from _columns(offered)
        return
    for name, what in offered.source.fields(offered.streams()):
        if name not in expected.there:
            yield Candidate(offered.field(name), name, "field", what)
    if expected.by in _EVERY_FIELD:
        yield Candidate(offered.named("*"), "*", "field", "string", "every text of a record")
    if expected.by == "{":
        for name in ("and", "or", "not"):
            one = OPERATORS[name]
            yield Candidate(offered.named(name), name, "operator", one.signature, one.summary)


def _columns(offered: _Offered) -> Iterator[Candidate]:
    """The columns of groups, as far as the text names them."""
    root = offered.spot.root
    for name, item in () if root is None else pairs(root):
        if name == "group-by":
            for key in item.inner:
                column = key.name if not key.opened else _second(key)
                if column:
                    yield Candidate(offered.field(column), column, "field", "what groups are made by")
        elif name == "aggregate":
            for column, _ in pairs(item):
                if column:
                    yield Candidate(offered.field(column), column, "field", "an aggregate")


def _second(key: Item) -> str | None:
    return key.inner[1].name if len(key.inner) > 1 else None


def _order_names(offered: _Offered) -> Iterator[Candidate]:
    grouped = [] if offered.spot.root is None else [name for name, _ in pairs(offered.spot.root)]
    if "group-by" in grouped or "aggregate" in grouped:
        yield from _columns(offered)
    else:
        yield from _fields(offered)


def _values(offered: _Offered) -> Iterator[Candidate]:
    expected = offered.expected
    field = expected.name
    if field == "timestamp":
        yield from _moments(offered)
        return
    if field is None or expected.groups or expected.by in _FREE_TEXT:
        return
    for value, records in offered.source.values(offered.streams(), field):
        if (type(value) is str or expected.by not in _TEXT_ONLY) and offered.text(
            value
        ) not in expected.there:
            name = value if isinstance(value, str) else offered.text(value)
            if name not in expected.there:
                yield Candidate(offered.text(value), name, "value", f"{records} records")


def _moments(offered: _Offered) -> Iterator[Candidate]:
    for text, summary in MOMENTS.items():
        yield Candidate(offered.text(text), text, "time", "", summary)
    if offered.syntax == "edn":
        yield Candidate('#inst "2026-01-02T03:04:05Z"', "#inst", "time", "", "an instant, RFC 3339")
    typed = offered.spot.prefix
    if typed.startswith("now-") and typed[4:].isdecimal():
        for unit in reversed(UNITS_US):
            yield Candidate(offered.text(f"{typed}{unit}"), f"{typed}{unit}", "time", "", _UNITS[unit])


def _durations(offered: _Offered) -> Iterator[Candidate]:
    typed = offered.spot.prefix
    if typed.isdecimal() and typed.isascii():
        for unit in reversed(UNITS_US):
            yield Candidate(offered.text(f"{typed}{unit}"), f"{typed}{unit}", "duration", "", _UNITS[unit])
    for text in DURATIONS:
        yield Candidate(offered.text(text), text, "duration")


def _options(offered: _Offered) -> Iterator[Candidate]:
    for name, summary in OPTIONS.get(offered.expected.by or "", {}).items():
        if name not in offered.expected.there:
            yield Candidate(offered.named(name), name, "key", "", summary)


def _whole(offered: _Offered) -> Iterator[Candidate]:
    if offered.syntax == "edn":
        yield Candidate('{:where [:= :level "error"]}', "{", "key", "", "a query is a map")
    else:
        yield Candidate('{"where": ["=", "level", "error"]}', "{", "key", "", "a query is an object")


def _words(kind: str, *names: str) -> Callable[[_Offered], Iterator[Candidate]]:
    def offer(offered: _Offered) -> Iterator[Candidate]:
        for name in names:
            insert = name if kind == "value" else offered.named(name)
            yield Candidate(insert, name, kind)

    return offer


def _brackets(edn: str, json: str, summary: str) -> Callable[[_Offered], Iterator[Candidate]]:
    def offer(offered: _Offered) -> Iterator[Candidate]:
        text = edn if offered.syntax == "edn" else json
        yield Candidate(text, text, "form", "", summary)

    return offer


def _groups(offered: _Offered) -> Iterator[Candidate]:
    yield from _fields(offered)
    yield from _brackets('[:bucket :timestamp "5m"]', '["bucket", "timestamp", "5m"]', "by time")(offered)


QUERY_KEYS_TOLD: Final[dict[str, tuple[str, str]]] = {
    "from": (":app, [:app :web] or :*", "the streams to look in; :main when left out"),
    "time": ('{:last "1h"}', "from when to when"),
    "where": ('[:= :level "error"]', "what holds for the records"),
    "select": ("[:timestamp :message]", "the fields that rows show; all when left out"),
    "order-by": ("[[:timestamp :desc]]", "the order of the rows; newest first when left out"),
    "limit": ("100", "how many rows at most; 100 when left out"),
    "after": ('"WzEs…"', "the cursor of the page before"),
    "total": ("true", "whether all that match are counted too"),
    "group-by": ('[:service [:bucket :timestamp "5m"]]', "what groups are made by"),
    "aggregate": ("{:n [:count]}", "what is worked out for each group"),
    "having": ("[:> :n 10]", "what holds for the groups that are shown"),
    "exact": ("true", "whether nothing may be an estimate"),
    "timeout": ('"30s"', "how long it may take"),
    "on-timeout": (":partial", "an error, or what was found, when time is up"),
}
"""The keys of a query: how each is written, and what it is."""

TIME_KEYS_TOLD: Final[dict[str, tuple[str, str]]] = {
    "last": ('"1h"', "so long before now"),
    "since": ('"now-1d/d"', "from when"),
    "until": ('"now"', "until when, not included"),
    "around": ('"2026-01-02T10:00:00Z"', "before and after an instant"),
    "within": ('"5m"', "how long before and after it"),
}
"""The keys of a range of time."""

MOMENTS: Final[dict[str, str]] = {
    "now": "this moment",
    "now-15m": "so long ago",
    "now-1h": "an hour ago",
    "now-1d": "a day ago",
    "now/d": "the beginning of today, UTC",
    "now-1d/d": "the beginning of yesterday, UTC",
    "now-7d/d": "the beginning of the day a week ago",
    "now/w": "the beginning of Monday",
}
"""Forms of times, and what they are."""

DURATIONS: Final = ("5m", "15m", "1h", "6h", "1d", "7d", "30s", "4w")
OPTIONS: Final[dict[str, dict[str, str]]] = {
    "fuzzy": {"distance": "how many edits a word may differ by"},
    "phrase": {"slop": "how far words may stand from their places"},
    "bucket": {
        "offset": "how far buckets are shifted",
        "fill": "whether gaps are filled",
        "as": "its name in rows",
    },
    "ranges": {"as": "its name in rows"},
    "top": {"as": "its name in rows"},
}
"""The options of operators and group keys."""

_UNITS: Final = {
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
}
_TEXT_ONLY: Final = frozenset({"contains", "starts-with", "ends-with", "glob", "regex", "cidr"})
_FREE_TEXT: Final = frozenset({"match", "match-any", "phrase", "fuzzy"})  # their words are no values
_EVERY_FIELD: Final = _TEXT_ONLY | _FREE_TEXT
_OPEN_TO_PARAMETERS: Final[frozenset[Kind]] = frozenset(
    {"value", "duration", "moment", "number", "boolean", "stream"}
)

_BY_KIND: Final[dict[Kind, Callable[[_Offered], Iterator[Candidate]]]] = {
    "query": _whole,
    "query-key": _keys,
    "stream": _streams,
    "time": _brackets('{:last "1h"}', '{"last": "1h"}', "so long before now"),
    "time-key": _time_keys,
    "duration": _durations,
    "moment": _moments,
    "predicate": _brackets('[:= :level "error"]', '["=", "level", "error"]', "an operator and its arguments"),
    "predicates": _brackets('[[:= :level "error"]]', '[["=", "level", "error"]]', "several predicates"),
    "operator": _operators,
    "map-operator": _map_operators,
    "field": _fields,
    "value": _values,
    "option": _options,
    "fields": _brackets("[:timestamp :message]", '["timestamp", "message"]', "the fields that rows show"),
    "groups": _brackets("[:service]", '["service"]', "what groups are made by"),
    "group": _groups,
    "key-kind": _key_kinds,
    "key-option": _options,
    "aggregates": _brackets("{:n [:count]}", '{"n": ["count"]}', "names and aggregates"),
    "aggregate": _brackets("[:count]", '["count"]', "an aggregate"),
    "aggregate-name": _aggregates,
    "measured": _fields,
    "orders": _brackets("[[:timestamp :desc]]", '[["timestamp", "desc"]]', "fields and directions"),
    "order": _order_names,
    "order-name": _order_names,
    "direction": _words("key", "asc", "desc"),
    "boolean": _words("value", "true", "false"),
    "on-timeout": _words("key", "fail", "partial"),
}
"""What is offered, by what is expected. Of numbers, and where anything may stand, nothing is."""

assert set(HISTOGRAM_KEYS).isdisjoint(QUERY_KEYS_TOLD)
