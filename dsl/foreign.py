"""What other languages write, `SELECT * FROM app`, `{app="x"} |= "error"`, and how it is said here.

It only makes hints: who comes from another language is told which one was recognised, and what to write instead.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from dsl.analysis import described, items_of, name_of
from dsl.errors import Mistake
from dsl.forms import Form, MapForm

HINTED_CHARACTERS_MAX = 120  # of a hint made of the caller's own forms: longer ones teach nothing


@dataclass(frozen=True, slots=True)
class _Language:
    """How a text in another language begins, and what is said of it."""

    syntax: Literal["edn", "json"]
    start: re.Pattern[str]
    code: str
    message: str
    hint: str


_LANGUAGES = (
    _Language(
        "edn",
        re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:(?=[\s"\[{0-9-])', re.DOTALL),
        "bad-token",
        "this is JSON, and was sent as EDN",
        'send it with Content-Type: application/json, or write EDN: {:where [:= :level "error"]}',
    ),
    _Language(
        "json",
        re.compile(r"\s*[{\[]\s*:[A-Za-z=<>!]"),
        "bad-token",
        "this is EDN, and was sent as JSON",
        'send it with Content-Type: application/edn, or write JSON: {"where": ["=", "level", "error"]}',
    ),
    _Language(
        "edn",
        re.compile(r"\s*(?:select|insert|delete|update|with|show|explain)\s+[^\s\[{(]", re.IGNORECASE),
        "not-a-map",
        "a query is a map, not SQL",
        'write {:from :app :where [:= :level "error"] :limit 10}',
    ),
    _Language(
        "edn",
        re.compile(r'\s*\{\s*[A-Za-z_]\w*\s*(?:=~|!~|!=|=)\s*"|\s*[a-z_]+\s*(?:by\s*)?\(\s*\S'),
        "not-a-map",
        "a query is a map, not LogQL",
        'write {:where [:and [:= :app "x"] [:contains :message "error"]]}; docs/coming-from/logql.md has more',
    ),
    _Language(
        "edn",
        re.compile(r"\s*[^\s{\[(#;\"][^{\[\"]*\|"),
        "not-a-map",
        "a query is a map, not a pipe",
        'write {:where [:match :message "error"] :group-by [:service]}; docs/coming-from/logsql.md has more',
    ),
)

_WORDS = re.compile(r"\s*[A-Za-z_@][^{}\[\]()]*\Z")
_SEARCHED = 'to look for words write {:where [:match :message "connection refused"]}'
_FIELD_AND_VALUE = re.compile(r"\w\s*[:=<>]\s*\S")
_COMPARING = 'write {:where [:and [:= :level "error"] [:match :message "timeout"]]}'


def foreign(text: str, syntax: str) -> Mistake | None:
    """What a text is that is written in another language; None where none is recognised."""
    for language in _LANGUAGES:
        if language.syntax == syntax and (match := language.start.match(text)):
            start = len(text) - len(text.lstrip())
            return Mistake(language.code, language.message, start, max(match.end(), start), language.hint)
    return None


def bare_words(text: str) -> Mistake | None:
    """What a text is that cannot be read and begins with words, `connection refused`; None of others."""
    if not _WORDS.match(text):
        return None
    start = len(text) - len(text.lstrip())
    hint = _COMPARING if _FIELD_AND_VALUE.search(text) else _SEARCHED
    end = next((place for place in range(start, len(text)) if text[place] in "\r\n"), len(text))
    return Mistake("not-a-map", "a query is a map, not words", start, end, hint)


_COMPARED = {name: name for name in (">", ">=", "<", "<=", "=", "!=", "contains")}
_COMPARED |= {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "ne": "!=", "from": ">=", "to": "<="}
_COMPARED |= {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<=", "$in": "in", "in": "in"}
_JOINED = {"bool", "query", "must", "should", "filter", "must_not", "$and", "$or", "$not"}
_ONE_ARGUMENT = {"exists", "missing"}
_SEARCHED_EVERYWHERE = {"query-string", "simple-query-string", "multi-match"}
_JOIN_HINT = "write [:and …] for must and filter, [:or …] for should, [:not …] for must_not"


def as_vectors(key: Form, item: Form, operators: Mapping[str, str]) -> str | None:
    """How a map from an operator or a field to a map is written here: `{:match {:message "x"}}`.

    Args:
        key: `:match`, or a field.
        item: the map after it.
        operators: our operators by all names that are known for them.
    """
    name = (name_of(key) or "").lower().replace("_", "-")
    if name == "match-all":
        return "leave out :where, or write [:and]: it is every record"
    if not isinstance(item.value, MapForm) or not item.value.pairs:
        return _JOIN_HINT if name.replace("-", "_") in _JOINED else None
    if name.replace("-", "_") in _JOINED:
        return _JOIN_HINT
    found = list(_compared(key, item)) or list(_applied(name, operators.get(name), item))
    if not found:
        return None
    hint = f"write {found[0] if len(found) == 1 else '[:and ' + ' '.join(found) + ']'}"
    return hint if len(hint) <= HINTED_CHARACTERS_MAX else None


def _compared(field: Form, item: Form) -> Iterator[str]:
    """`{:latency_ms {:gte 10 :lt 20}}`: each comparison, where all are some."""
    assert isinstance(item.value, MapForm)
    if all(name_of(sign) in _COMPARED for sign, _ in item.value.pairs):
        for sign, value in item.value.pairs:
            yield f"[:{_COMPARED[name_of(sign) or '']} {described(field)} {_shown(value)}]"


def _applied(name: str, operator: str | None, item: Form) -> Iterator[str]:
    """`{:match {:message "x"}}`: the operator before each field and its value."""
    assert isinstance(item.value, MapForm)
    given = {name_of(field): value for field, value in item.value.pairs}
    if name in _SEARCHED_EVERYWHERE:
        yield f"[:match :* {_shown(given['query'])}]" if "query" in given else "[:match :* …]"
    elif operator in _ONE_ARGUMENT:
        yield f"[:{operator} {_shown(given['field'])}]" if "field" in given else f"[:{operator} …]"
    else:
        for field, value in item.value.pairs:
            if isinstance(value.value, MapForm):
                yield from _compared(field, value)
            elif operator is not None and name_of(field) is not None:
                yield f"[:{operator} {described(field)} {_shown(value)}]"


def _shown(value: Form) -> str:
    """A value in a hint."""
    return "[…]" if items_of(value) is not None else described(value)
