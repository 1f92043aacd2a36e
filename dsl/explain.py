"""How a query is understood: its conditions as a tree with what the index is asked of each, and what was rewritten.

{:level :error} is [:= :level "error"]: a value of the field equals this one; the index answers
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from dsl.analysis import name_of
from dsl.ast import NEWEST_FIRST, Query
from dsl.errors import Mistake, QueryError
from dsl.forms import Form, Keyword, MapForm, SetForm, VectorForm, print_form
from dsl.nodes import Predicate
from dsl.operators import BY_NODE
from dsl.operators.base import Compiler, IndexQueries, Pair
from dsl.operators.pairs import is_exact
from dsl.parse import Syntax
from dsl.predicates import write
from dsl.printer import form_to_json, to_form

FORM_CHARACTERS_MAX = 200  # of a condition that is shown: a line or two; the whole stands in the query
REWRITES_MAX = 50  # shown: who writes more in short forms knows them


@dataclass(frozen=True, slots=True)
class Step:
    """One condition of a query.

    Attributes:
        node: the condition.
        text: it as canonical EDN, cut.
        summary: when it is true, in its operator's words.
        pair: what the index is asked.
        parts: the conditions that it joins.
    """

    node: Predicate
    text: str
    summary: str
    pair: Pair
    parts: tuple["Step", ...]

    @property
    def exact(self) -> bool:
        """Whether the index alone answers it."""
        return is_exact(self.pair)

    def walk(self) -> Iterator["Step"]:
        """It and all below it."""
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Something that can be written shorter or in several ways, and how it stands in the tree."""

    written: str
    canonical: str
    because: str


def steps_of(predicate: Predicate, index: IndexQueries, now_us: int) -> Step:
    """The tree of a condition; each part of it is compiled once."""
    return _step(predicate, _Remembering(index, now_us, BY_NODE, {}))


def _step(node: Predicate, compiler: Compiler) -> Step:
    operator = BY_NODE[type(node)]
    return Step(
        node=node,
        text=cut(print_form(write(node))),
        summary=operator.summary,
        pair=compiler.pair(node),
        parts=tuple(_step(part, compiler) for part in parts_of(node)),
    )


@dataclass(frozen=True, slots=True)
class _Remembering(Compiler):
    """A compiler that compiles no condition twice: the parts of a part are shown too."""

    known: dict[int, Pair]

    def pair(self, predicate: Predicate) -> Pair:
        found = self.known.get(id(predicate))
        if found is None:
            found = self.known[id(predicate)] = self.operators[type(predicate)].compile(predicate, self)
        return found


def parts_of(node: Predicate) -> Iterator[Predicate]:
    """The conditions that a condition joins."""
    for value in node.__dict__.values():
        if isinstance(value, Predicate):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Predicate))


def cut(text: str) -> str:
    """A text that fits a line or two."""
    return text if len(text) <= FORM_CHARACTERS_MAX else text[: FORM_CHARACTERS_MAX - 1] + "…"


def take_flag(form: Form, name: str) -> tuple[Form, bool]:
    """The form of a query without a key of its own that is true or false, and what it says; False without it.

    Raises:
        QueryError: it is neither (`bad-value`).
    """
    if not isinstance(form.value, MapForm):
        return form, False
    rest = []
    said = False
    for key, value in form.value.pairs:
        if name_of(key) != name:
            rest.append((key, value))
        elif not isinstance(value.value, bool):
            message = f":{name} is neither true nor false"
            raise QueryError([Mistake("bad-value", message, value.start, value.end, "write true or false")])
        else:
            said = value.value
    return Form(MapForm(tuple(rest)), form.start, form.end), said


def defaults_of(query: Query, form: Form) -> dict[str, str]:
    """What a query does not say and has all the same, as canonical EDN."""
    given = _named(form)
    usual = {"from": ":main", "time": "any", "order-by": "[[:timestamp :desc]]", "limit": "100"}
    if query.grouped:
        usual |= {"order-by": "by the keys, rising", "limit": "none"}
        usual |= {"aggregate": "{:count [:count]}"}
    assert query.grouped or "order-by" in given or query.order_by == NEWEST_FIRST
    return {name: value for name, value in usual.items() if name not in given}


def rewrites_of(query: Query, form: Form, syntax: Syntax) -> list[Rewrite]:
    """What of a query stands in the tree otherwise than it was written."""
    show: Callable[[Form], str] = print_form if syntax == "edn" else _json
    canonical = _named(to_form(query))
    found: list[Rewrite] = []
    for name, written in _named(form).items():
        if name in canonical:
            found += _differences(written, canonical[name], show)
    return found[:REWRITES_MAX]


def _differences(written: Form, canonical: Form, show: Callable[[Form], str]) -> Iterator[Rewrite]:
    """The smallest parts in which two forms differ."""
    if show(written) == show(canonical):
        return
    one, other = written.value, canonical.value
    if isinstance(one, VectorForm) and isinstance(other, VectorForm) and len(one.items) == len(other.items):
        if (
            not one.items
            or show(one.items[0]) == show(other.items[0])
            or isinstance(one.items[0].value, VectorForm)
        ):
            for mine, theirs in zip(one.items, other.items, strict=True):
                yield from _differences(mine, theirs, show)
            return
    elif isinstance(one, MapForm) and isinstance(other, MapForm):
        ours, others = _named(written), _named(canonical)
        if list(ours) == list(others):
            for name, form in ours.items():
                yield from _differences(form, others[name], show)
            return
    yield Rewrite(cut(show(written)), cut(show(canonical)), _reason(one, other))


def _reason(written: Any, canonical: Any) -> str:
    if isinstance(written, MapForm) and isinstance(canonical, VectorForm):
        names = {name_of(key) for key, _ in written.pairs}
        if names in ({"field", "operator", "value"}, {"and"}, {"or"}, {"not"}):
            return "the map form of Clogs"
        return "in a map each field equals its value, or one of its values"
    if isinstance(written, Keyword) and isinstance(canonical, str):
        return "a keyword as a value is its name"
    if isinstance(written, SetForm | VectorForm) and isinstance(canonical, SetForm):
        return "the values of a set in order, each once"
    return "written the usual way"


def _named(form: Form) -> dict[str, Form]:
    if not isinstance(form.value, MapForm):
        return {}
    return {name: item for key, item in form.value.pairs if (name := name_of(key)) is not None}


def _json(form: Form) -> str:
    return orjson.dumps(form_to_json(form)).decode()
