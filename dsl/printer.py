"""A query as text again: canonical EDN on one line, the JSON of the same tree, and a hash of what it asks.

What is a default is left out. Reading it gives the same tree: `parse(to_edn(query)) == query`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from dsl import arithmetic
from dsl.aggregates import BY_NODE as AGGREGATE_KINDS
from dsl.aggregates.base import Aggregate
from dsl.analysis import duration_form, field_form, param_form, param_name
from dsl.arithmetic import Arithmetic
from dsl.ast import DEFAULT_LIMIT, DEFAULT_STREAM, EVERY_STREAM, NEWEST_FIRST, Order, Query
from dsl.forms import Char, Form, Keyword, ListForm, MapForm, SetForm, Symbol, Tagged, VectorForm, print_form
from dsl.keys import BY_NODE as KEY_KINDS
from dsl.nodes import is_open
from dsl.predicates import write
from dsl.time import Instant, Moment, Time

HASH_BYTES = 16  # so short that it fits a cursor, so long that no two queries will ever share it


def to_edn(query: Query) -> str:
    """A query as canonical EDN."""
    return print_form(to_form(query))


def to_json(query: Query) -> Any:
    """A query as plain data, to be written as JSON."""
    return form_to_json(to_form(query))


def query_hash(query: Query) -> str:
    """32 hex digits that two queries share when they ask the same, whichever page, however it was written."""
    page = {"after": None, "limit": DEFAULT_LIMIT, "total": False, "timeout_us": None, "on_timeout": "fail"}
    asked = query.model_copy(update=page)
    return hashlib.blake2b(to_edn(asked).encode(), digest_size=HASH_BYTES).hexdigest()


def to_form(query: Query) -> Form:
    """A query as a form; where a parameter stands in the tree, its node stands for the symbol."""
    pairs: list[tuple[str, Form]] = []
    if query.from_ != (DEFAULT_STREAM,):
        pairs.append(("from", _streams(query.from_)))
    if query.time is not None:
        pairs.append(("time", _time(query.time)))
    if query.where is not None:
        pairs.append(("where", write(query.where)))
    if query.select is not None:
        pairs.append(("select", _vector(map(field_form, query.select))))
    if query.group_by:
        pairs.append(("group-by", _vector(KEY_KINDS[type(key)].write(key) for key in query.group_by)))
    if query.aggregate is not None:
        named = tuple((field_form(one.name), aggregate_form(one.call)) for one in query.aggregate)
        pairs.append(("aggregate", Form(MapForm(named))))
    if query.having is not None:
        pairs.append(("having", write(query.having)))
    if query.order_by != (() if query.grouped else NEWEST_FIRST):
        pairs.append(("order-by", _vector(map(_order, query.order_by))))
    if query.limit != (None if query.grouped else DEFAULT_LIMIT):
        pairs.append(("limit", Form(query.limit)))
    if query.after is not None:
        pairs.append(("after", Form(query.after)))
    if query.total:
        pairs.append(("total", Form(query.total)))
    if query.timeout_us is not None:
        pairs.append(("timeout", duration_form(query.timeout_us)))
    if query.on_timeout != "fail":
        pairs.append(("on-timeout", Form(Keyword(query.on_timeout))))
    if query.exact:
        pairs.append(("exact", Form(query.exact)))
    return _map(pairs)


def aggregate_form(call: Aggregate | Arithmetic) -> Form:
    """An aggregate, or arithmetic over others, as a form."""
    if isinstance(call, Arithmetic):
        return arithmetic.write(call)
    kind = AGGREGATE_KINDS[type(call)]
    where = [] if call.where is None else [write(call.where)]
    return _vector([Form(Keyword(kind.name)), *kind.write(call), *where])


def form_to_json(form: Form) -> Any:
    """A form as the same tree in JSON: names and keywords as strings, sets as arrays, tags as {"#tag": …}."""
    value = form.value
    name = param_name(form)
    if name is not None:
        return {"param": name}
    if isinstance(value, Keyword | Symbol):
        return value.name
    if isinstance(value, Char):
        return value.value
    if isinstance(value, VectorForm | ListForm | SetForm):
        return [form_to_json(item) for item in value.items]
    if isinstance(value, MapForm):
        return {param_name(key) or form_to_json(key): form_to_json(item) for key, item in value.pairs}
    if isinstance(value, Tagged):
        return {f"#{value.tag}": form_to_json(value.form)}
    return float(value) if isinstance(value, Decimal) else value


def _streams(names: Sequence[str]) -> Form:
    if is_open(names):
        return param_form(names)
    if names == EVERY_STREAM or len(names) == 1:
        return field_form(names[0]) if names != EVERY_STREAM else Form(Keyword(EVERY_STREAM))
    return _vector(map(field_form, names))


def _time(time: Time) -> Form:
    if time.last_us is not None:
        return _map([("last", duration_form(time.last_us))])
    ends = (("since", time.since), ("until", time.until), ("around", time.around))
    pairs = [(name, _moment(end)) for name, end in ends if end is not None]
    if time.within_us is not None:
        pairs.append(("within", duration_form(time.within_us)))
    return _map(pairs)


def _moment(moment: Moment) -> Form:
    if is_open(moment):
        return param_form(moment)
    text = Form(moment.text())
    return Form(Tagged("inst", text)) if isinstance(moment, Instant) else text


def _order(order: Order) -> Form:
    return _vector([field_form(order.name), Form(Keyword(order.direction))])


def _vector(items: Iterable[Form]) -> Form:
    return Form(VectorForm(tuple(items)))


def _map(pairs: Iterable[tuple[str, Form]]) -> Form:
    return Form(MapForm(tuple((Form(Keyword(name)), item) for name, item in pairs)))
