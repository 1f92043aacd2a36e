"""`:having [:> :ratio 0.01]`: a predicate over the rows of groups, by the names of their keys and aggregates.

It is the predicate language over another kind of record: a row. Its times are RFC 3339 texts there, which compare
with times as points in time; a list holds when one of its elements does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from dsl.nodes import Node, Predicate
from dsl.operators import BY_NODE
from dsl.operators.base import Evaluator
from dsl.record import EVERY, Record


def fields_of(predicate: Node) -> Iterator[tuple[str, Predicate]]:
    """Every field that a predicate asks about, with the part that asks."""
    for name, value in predicate.__dict__.items():
        if name == "field" and isinstance(predicate, Predicate):
            yield value, predicate
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Predicate):
                yield from fields_of(part)


def column_of(field: str, names: Iterable[str], with_parts: AbstractSet[str]) -> str | None:
    """The column that a field names, or has a part of: `service.other` is of `service`; None where there is none."""
    known = set(names)
    if field in known:
        return field
    return next((name for name in with_parts & known if field.startswith(name + ".")), None)


def kept(
    predicate: Predicate,
    columns: Mapping[str, Sequence[Any]],
    with_parts: AbstractSet[str],
    analyse: Callable[[str], list[str]],
    now_us: int,
) -> list[bool]:
    """For each row whether the predicate holds.

    Args:
        predicate: Over the columns.
        columns: The values of the rows by name, as rows show them.
        with_parts: The names of those that are maps, or lists of maps.
        analyse: The words of a text as the index has them.
        now_us: The one `now` of the query.
    """
    # Under names of our own: a column may be called `timestamp`, or have a dot in its name.
    used = {
        column: f"c{place}"
        for place, column in enumerate(columns)
        if any(column_of(field, columns, with_parts) == column for field, _ in fields_of(predicate))
    }
    if any(field == EVERY for field, _ in fields_of(predicate)):
        used = {column: f"c{place}" for place, column in enumerate(columns)}
    holds = Evaluator(analyse, now_us, BY_NODE).matcher(_renamed(predicate, used))
    short = list(used.values())
    rows = zip(*(columns[column] for column in used), strict=True)
    count = len(next(iter(columns.values()), ()))
    if not used:
        return [holds(Record(0, "", 0, {}))] * count
    return [holds(Record(0, "", 0, dict(zip(short, row, strict=True)))) for row in rows]


def _renamed(predicate: Predicate, used: Mapping[str, str]) -> Predicate:
    update: dict[str, Any] = {}
    for name, value in predicate.__dict__.items():
        if name == "field" and value != EVERY:
            column = value if value in used else next(one for one in used if value.startswith(one + "."))
            update[name] = used[column] + value[len(column) :]
        elif isinstance(value, Predicate):
            update[name] = _renamed(value, used)
        elif isinstance(value, tuple) and any(isinstance(part, Predicate) for part in value):
            update[name] = tuple(_renamed(part, used) for part in value)
    return predicate.model_copy(update=update)
