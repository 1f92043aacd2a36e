"""What stands around a cursor in a text that is perhaps not finished: open brackets, the word, what belongs there.

{:from :app :where [:and [:= :lev|          a field, of the stream app

No bracket needs to be closed and no string to end: tokens are found from the left, and each opening bracket is given a
meaning by what opened before it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from dsl.analyze import QUERY_KEYS
from dsl.histogram import KEYS as HISTOGRAM_KEYS
from dsl.parse import Syntax

Kind: TypeAlias = Literal[
    "query",
    "query-key",
    "stream",
    "time",
    "time-key",
    "duration",
    "moment",
    "predicate",
    "predicates",
    "operator",
    "map-operator",
    "field",
    "value",
    "option",
    "fields",
    "groups",
    "group",
    "key-kind",
    "key-option",
    "aggregates",
    "aggregate",
    "aggregate-name",
    "measured",
    "orders",
    "order",
    "order-name",
    "direction",
    "number",
    "boolean",
    "on-timeout",
    "anything",
]
"""What may stand at a place. Of some only what is in their brackets is of interest."""

_EDN = re.compile(
    r"""(?P<blank>(?:[\s,]+|;[^\n]*)+)|(?P<open>\#?\{|[\[(])|(?P<close>[\])}])
    |(?P<string>"(?:\\.|[^"\\])*"?)|(?P<word>\\.[^\s,;"()\[\]{}\\]*|[^\s,;"()\[\]{}\\]+|.)""",
    re.DOTALL | re.VERBOSE,
)
_JSON = re.compile(
    r"""(?P<blank>[\s,:]+)|(?P<open>[\[{])|(?P<close>[\]}])
    |(?P<string>"(?:\\.|[^"\\])*"?)|(?P<word>[^\s,:"\[\]{}]+|.)""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(slots=True)
class Item:
    """A word, a string or a bracket with what is in it.

    Attributes:
        name: What a word or a string says, without colon and quotes; None of a bracket.
        opened: The bracket, `[`, `{`, `(` or `#{`; empty of a word.
        inner: What is in it.
    """

    name: str | None
    start: int
    end: int
    opened: str = ""
    inner: "list[Item]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Expected:
    """What may stand at a place.

    Attributes:
        kind: See `Kind`.
        name: Of the field, the operator or the key that it belongs to.
        by: The operator of a value; the aggregate or the key of an option.
        there: Names that stand beside it already.
        groups: Whether fields are the columns of groups, as in `:having`.
    """

    kind: Kind
    name: str | None = None
    by: str | None = None
    there: frozenset[str] = frozenset()
    groups: bool = False


@dataclass(frozen=True, slots=True)
class Spot:
    """A cursor.

    Attributes:
        expected: What may stand there.
        prefix: What of it stands before the cursor, without colon or quote.
        start: Where that begins.
        end: Where the word ends that it is the beginning of.
        root: The outermost form of the whole text, as far as it can be told.
        symbols: The parameters that stand anywhere, with their question marks.
    """

    expected: Expected
    prefix: str
    start: int
    end: int
    root: Item | None
    symbols: tuple[str, ...] = ()


def spot_at(text: str, cursor: int, syntax: Syntax = "edn") -> Spot:
    """What is around a cursor, whatever the text is; a cursor outside of it is moved to its nearer end."""
    cursor = min(max(cursor, 0), len(text))
    stack: list[Item] = []
    start = end = cursor
    prefix = ""
    for kind, item in _tokens(text, syntax):
        if item.start >= cursor:
            break
        if kind == "blank":
            if _is_comment(text, item, cursor):
                return Spot(_ANYTHING, "", cursor, cursor, None)
            continue
        if _holds(kind, item, cursor, text):
            start, end = item.start, item.end
            prefix = _plain(text[item.start : cursor])
            break
        if kind == "open":
            stack.append(item)
        elif kind == "close":
            if stack:
                done = stack.pop()
                if stack:
                    stack[-1].inner.append(done)
        elif kind in {"string", "word"} and stack:
            stack[-1].inner.append(item)
    expected = Expected("query")
    for item in stack:
        expected = _inside(item, expected)
    symbols = tuple(dict.fromkeys(re.findall(r"(?<![^\s,\[({])\?[A-Za-z_][\w-]*", text)))
    return Spot(expected, prefix, start, end, _root(text, syntax), symbols)


def _tokens(text: str, syntax: Syntax) -> Iterator[tuple[str, Item]]:
    for match in (_EDN if syntax == "edn" else _JSON).finditer(text):
        kind = match.lastgroup or ""
        if kind == "open":
            yield kind, Item(None, *match.span(), match.group())
        else:
            yield kind, Item(_plain(match.group()), *match.span())


def _holds(kind: str, item: Item, cursor: int, text: str) -> bool:
    """Whether a cursor is in a word, at its end, or in a string."""
    if kind == "word":
        return cursor <= item.end
    closed = item.end - item.start > 1 and text[item.end - 1] == '"'
    return kind == "string" and (cursor < item.end or not closed)


def _is_comment(text: str, item: Item, cursor: int) -> bool:
    """Whether a cursor is in a comment: nothing belongs there."""
    line = text.rfind("\n", item.start, cursor)
    return cursor <= item.end and ";" in text[max(line, item.start) : cursor]


def _plain(text: str) -> str:
    return text.removeprefix(":").removeprefix('"').removesuffix('"')


def _root(text: str, syntax: Syntax) -> Item | None:
    """The first form of a text; what is never closed ends where the text ends."""
    stack: list[Item] = []
    first: Item | None = None
    for kind, item in _tokens(text, syntax):
        if kind == "close":
            if stack:
                stack.pop()
            if not stack:
                break
            continue
        if kind == "blank":
            continue
        if stack:
            stack[-1].inner.append(item)
        else:
            first = first or item
        if kind == "open":
            stack.append(item)
        elif not stack:
            break
    return first


def query_at(text: str, cursor: int, syntax: Syntax = "edn") -> str | None:
    """The text with blanks in place of what is before the query of its document, or after; None elsewhere in it.

    Args:
        text: Of a template or a rule, whose key `query` has the query.
        cursor: In characters.
        syntax: How the text is written.
    """
    root = _root(text, syntax)
    inner = root.inner if root is not None else []
    for place in range(0, len(inner) - 1, 2):
        start = inner[place + 1].start
        end = inner[place + 2].start if place + 2 < len(inner) else len(text)
        if inner[place].name == "query" and start < cursor <= end:
            return " " * start + text[start:end] + " " * (len(text) - end)
    return None


def pairs(item: Item) -> Iterator[tuple[str | None, Item]]:
    """The names of a map's keys, with their values."""
    inner = item.inner
    for place in range(0, len(inner) - 1, 2):
        yield inner[place].name, inner[place + 1]


_VALUES: Final[dict[str, Expected]] = {
    "from": Expected("stream"),
    "time": Expected("time"),
    "where": Expected("predicate"),
    "having": Expected("predicate", groups=True),
    "select": Expected("fields"),
    "group-by": Expected("groups"),
    "aggregate": Expected("aggregates"),
    "order-by": Expected("orders"),
    "limit": Expected("number"),
    "total": Expected("boolean"),
    "exact": Expected("boolean"),
    "timeout": Expected("duration"),
    "on-timeout": Expected("on-timeout"),
    "bucket": Expected("duration"),
    "by": Expected("field"),
    "top": Expected("number"),
    "last": Expected("duration"),
    "within": Expected("duration"),
    "since": Expected("moment"),
    "until": Expected("moment"),
    "around": Expected("moment"),
}
"""What the values of keys are; `after` is a cursor, which nobody writes."""

assert set(_VALUES) >= {*QUERY_KEYS, *HISTOGRAM_KEYS} - {"after"}

_LOGIC: Final = frozenset({"and", "or", "not"})
_LISTS: Final[dict[str, Kind]] = {
    "groups": "group",
    "orders": "order",
    "fields": "field",
    "predicates": "predicate",
}
_ANYTHING: Final = Expected("anything")


def _inside(item: Item, outer: Expected) -> Expected:
    """What is expected next in a bracket that stands where `outer` was."""
    place, kind = len(item.inner), outer.kind
    if item.opened == "{":
        return _inside_map(item, outer, place)
    if kind in _LISTS:
        return Expected(_LISTS[kind], groups=outer.groups)
    if kind in {"stream", "value"}:
        return replace(outer, there=_names(item))
    head = item.inner[0].name if item.inner else None
    if kind in {"query", "predicate", "measured"}:
        return _inside_predicate(item, replace(outer, kind="predicate"), head, place)
    if kind == "aggregate":
        return Expected("aggregate-name") if not place else Expected("measured", by=head)
    if kind == "group":
        return _inside_key(item, head, place)
    if kind == "order":
        return Expected("direction") if place else Expected("order-name")
    return _ANYTHING


def _inside_predicate(item: Item, outer: Expected, head: str | None, place: int) -> Expected:
    if not place:
        return Expected("operator", groups=outer.groups)
    if head in _LOGIC:
        return outer
    if place == 1:
        return Expected("field", by=head, groups=outer.groups)
    return Expected("value", item.inner[1].name, head, groups=outer.groups)


def _inside_key(item: Item, head: str | None, place: int) -> Expected:
    if not place:
        return Expected("key-kind")
    if place == 1:
        return Expected("field", by=head)
    if head == "bucket" and place == 2 and item.inner[1].name == "timestamp":
        return Expected("duration", by=head)
    return Expected("number", by=head)


def _inside_map(item: Item, outer: Expected, place: int) -> Expected:
    kind, there = outer.kind, _names(item, keys=True)
    key = item.inner[-1].name if place % 2 else None
    if kind == "query":
        return Expected("query-key", there=there) if key is None else _VALUES.get(key, _ANYTHING)
    if kind == "time":
        return Expected("time-key", there=there) if key is None else _VALUES.get(key, _ANYTHING)
    if kind in {"predicate", "measured"}:
        return _inside_fields(item, outer, key, there)
    if kind == "aggregates":
        return _ANYTHING if key is None else Expected("aggregate")
    if kind in {"value", "number"} and key is None:
        return Expected("key-option" if kind == "number" else "option", by=outer.by, there=there)
    if kind == "number" and key == "offset":
        return Expected("duration" if outer.by == "bucket" else "number", by=outer.by)
    if kind == "number" and key == "fill":
        return Expected("boolean")
    return _ANYTHING


def _inside_fields(item: Item, outer: Expected, key: str | None, there: frozenset[str]) -> Expected:
    """In a map that is a predicate: `{:level "error"}`, `{:and […]}`, `{:field :level :operator :eq :value 5}`."""
    if key is None:
        return Expected("field", by="{", there=there, groups=outer.groups)
    if key in {"and", "or"}:
        return Expected("predicates", groups=outer.groups)
    if key == "not":
        return Expected("predicate", groups=outer.groups)
    if key == "operator" and "field" in there:
        return Expected("map-operator")
    if (key == "field" and there & {"operator", "value"}) or there == {"field"}:
        return Expected("field", groups=outer.groups)
    if key == "value" and "field" in there:
        named = next((value.name for name, value in pairs(item) if name == "field"), None)
        return Expected("value", named, "=", groups=outer.groups)
    return Expected("value", key, "=", groups=outer.groups)


def _names(item: Item, *, keys: bool = False) -> frozenset[str]:
    inner = item.inner[::2] if keys else item.inner
    return frozenset(one.name for one in inner if one.name is not None)
