"""From the form of a query to its tree: every key checked, every mistake of the text found at once.

{:from :nginx, :time {:last "1h"}, :where [:= :level "error"], :limit 10}
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from dsl import predicates
from dsl.analysis import WRONG, Analysis, WrongType, described, items_of, name_of, tagged
from dsl.analyze_groups import COUNT_ONLY, Given, aggregate, check_groups, check_rows, group_by, having
from dsl.ast import DEFAULT_LIMIT, EVERY_STREAM, NEWEST_FIRST, Order, Query
from dsl.cursor import BadCursor, decode
from dsl.errors import QueryError, quoted
from dsl.forms import Form, MapForm, SetForm, Symbol, VectorForm
from dsl.limits import DEFAULT, Limits
from dsl.nodes import Predicate, is_open
from dsl.record import EVERY
from dsl.time import Instant, Moment, Relative, Time

STREAM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""What a stream may be called: its folder is named so."""

_STREAM_HINT = "a name is 1 to 100 letters, digits, _ . and -, and begins with a letter, a digit or _"
_DIRECTIONS = ("asc", "desc")
_ON_TIMEOUT: dict[str, Literal["fail", "partial"]] = {"fail": "fail", "partial": "partial"}
_TOLERANCE_US = (
    10 * 365 * 86_400_000_000
)  # an assumed now, only to compare two times that are both relative to it

# What others call the keys of a query; only ever a hint.
_MEANT = {
    "stream": "from",
    "streams": "from",
    "index": "from",
    "indices": "from",
    "table": "from",
    "logs": "from",
    "source": "from",
    "filter": "where",
    "query": "where",
    "range": "time",
    "since": "time",
    "until": "time",
    "last": "time",
    "between": "time",
    "start": "time",
    "end": "time",
    "columns": "select",
    "fields": "select",
    "project": "select",
    "sort": "order-by",
    "order": "order-by",
    "sort-by": "order-by",
    "size": "limit",
    "take": "limit",
    "top": "limit",
    "cursor": "after",
    "offset": "after",
    "count": "total",
    "group": "group-by",
    "by": "group-by",
    "aggregates": "aggregate",
    "aggs": "aggregate",
    "agg": "aggregate",
    "stats": "aggregate",
    "_source": "select",
    "orderby": "order-by",
    "groupby": "group-by",
    "rows": "limit",
    "page-size": "limit",
    "deadline": "timeout",
    "time-limit": "timeout",
    "partial": "on-timeout",
    "filter-groups": "having",
    "precise": "exact",
}


# The same of the keys of `:time`.
_MEANT_TIME = {
    **dict.fromkeys(("from", "start", "begin", "gte", "after", "between"), "since"),
    **dict.fromkeys(("to", "end", "stop", "lt", "before"), "until"),
    **dict.fromkeys(("duration", "past", "range", "window", "ago"), "last"),
}


def analyze(
    form: Form, *, limits: Limits = DEFAULT, now_us: int | None = None, unbound: bool = False
) -> Query:
    """The query that a form is.

    Args:
        form: as read.
        limits: what it may cost.
        now_us: when now is; with it, a range of time that only then is empty is found too.
        unbound: whether parameters may stand in it. Such a tree can be printed and bound, not run.

    Raises:
        QueryError: everything that is wrong with it.
    """
    analysis = Analysis(limits, now_us, predicates.build, unbound=unbound)
    query = _query(analysis, form)
    if analysis.mistakes or query is WRONG:
        raise QueryError(analysis.mistakes)
    return query.at(form.start, form.end)


def _query(analysis: Analysis, form: Form) -> Query | WrongType:
    if not isinstance(form.value, MapForm):
        hint = 'write {:from :main :where [:= :level "error"]}'
        if isinstance(form.value, VectorForm):
            hint = "write {:where …} around it"
        return analysis.wrong("not-a-map", f"a query is a map, not {described(form)}", form, hint)
    given = _keys(analysis, form.value, _READERS, "key", _MEANT)
    if "after" in given:
        analysis.now_us = None  # a later page keeps the now of the first, for which the times were right
    read = {name: _READERS[name](analysis, item) for name, (_, item) in given.items() if name != "having"}
    if "having" in given:  # last: what its values are depends on the columns
        read["having"] = having(analysis, given["having"][1], read)
    grouped = "group-by" in given or "aggregate" in given
    if "limit" in given:
        most, noun = (analysis.limits.groups_max, "groups") if grouped else (analysis.limits.rows_max, "rows")
        _bounded(analysis, given["limit"][1], most, noun)
    if grouped:
        check_groups(analysis, given, read)
    else:
        check_rows(analysis, given)
    if any(value is WRONG for value in read.values()) or analysis.mistakes:
        return WRONG
    query = _grouped(read) if grouped else _rows(read)
    if query.after is not None:
        try:
            decode(query.after, query)
        except BadCursor as error:
            return analysis.wrong(error.code, error.message, given["after"][1], error.hint)
    return query


def _rows(read: Mapping[str, Any]) -> Query:
    return Query(
        from_=read.get("from", ("main",)),
        time=read.get("time"),
        where=read.get("where"),
        select=read.get("select"),
        order_by=read.get("order-by", NEWEST_FIRST),
        limit=read.get("limit", DEFAULT_LIMIT),
        after=read.get("after"),
        total=read.get("total", False),
        timeout_us=read.get("timeout"),
        on_timeout=read.get("on-timeout", "fail"),
    )


def _grouped(read: Mapping[str, Any]) -> Query:
    return Query(
        from_=read.get("from", ("main",)),
        time=read.get("time"),
        where=read.get("where"),
        order_by=read.get("order-by", ()),
        limit=read.get("limit"),
        total=read.get("total", False),
        group_by=read.get("group-by", ()),
        aggregate=read.get("aggregate", COUNT_ONLY),
        timeout_us=read.get("timeout"),
        on_timeout=read.get("on-timeout", "fail"),
        having=read.get("having"),
        exact=read.get("exact", False),
    )


def _keys(
    analysis: Analysis,
    value: MapForm,
    known: Iterable[str],
    noun: str,
    meant: Mapping[str, str] | None = None,
) -> Given:
    """The pairs of a map by name; the names that are not known noted."""
    given: Given = {}
    for key, item in value.pairs:
        name = key.value.name if isinstance(key.value, Symbol) else name_of(key)
        if name is None or name not in known:
            shown = described(key) if name is None else f":{quoted(name)}"
            near = None if name is None else analysis.near(name, known, ":")
            if meant is not None and name is not None and name in meant:
                near = f"did you mean :{meant[name]}?"
            hint = near or f"the {noun}s are " + " ".join(f":{one}" for one in known)
            analysis.wrong(f"unknown-{noun}", f"no {noun} {shown}", key, hint)
        elif isinstance(key.value, Symbol):
            analysis.wrong(
                f"unknown-{noun}", f"the {noun} {quoted(name)} lacks its colon", key, f"write :{name}"
            )
        elif name in given:
            analysis.wrong("duplicate-key", f"the key :{name} stands twice", key, "leave one of them out")
        else:
            given[name] = (key, item)
    return given


def _from(analysis: Analysis, form: Form) -> tuple[str, ...] | Literal["*"] | WrongType:
    if (param := analysis.param(form, "streams")) is not None:
        return param
    items = items_of(form)
    if items is None:
        items = (form,)
    elif not items:
        return analysis.wrong("bad-stream-name", "no stream", form, "name one, or write :* for all")
    names = [name_of(item) for item in items]
    if names == [EVERY_STREAM]:
        return EVERY_STREAM
    right = True
    for item, name in zip(items, names, strict=True):
        if name is None or not STREAM_NAME.fullmatch(name):
            hint = "write :* alone: it is every stream" if name == EVERY_STREAM else _STREAM_HINT
            if "*" in (name or described(item)) and name != EVERY_STREAM:
                hint = "write :* for every stream, or the names in a vector, as in [:app :web]"
            analysis.wrong("bad-stream-name", f"{described(item)} is no name of a stream", item, hint)
            right = False
    return tuple(sorted({str(name) for name in names})) if right else WRONG


def _time(analysis: Analysis, form: Form) -> Time | WrongType:
    if not isinstance(form.value, MapForm) or tagged(form) is not None:
        hint = 'write {:last "1h"}, or {:since "now-1d" :until "now"}'
        return analysis.wrong("bad-time", f"{described(form)} is no range of time", form, hint)
    given = _keys(analysis, form.value, ("last", "since", "until", "around", "within"), "key", _MEANT_TIME)
    last, within = (
        analysis.duration(given[name][1]) if name in given else None for name in ("last", "within")
    )
    since, until, around = (
        analysis.moment(given[name][1]) if name in given else None for name in ("since", "until", "around")
    )
    for alone in (("last",), ("around", "within")):
        other = next((key for name, (key, _) in given.items() if name not in alone), None)
        if alone[0] in given and other is not None:
            hint = "write either :last, or :since and :until, or :around and :within"
            return analysis.wrong(
                "key-not-here", f"{described(other)} stands beside :{alone[0]}", other, hint
            )
    if last is WRONG or since is WRONG or until is WRONG or around is WRONG or within is WRONG:
        return WRONG
    if len(given) < len(form.value.pairs):
        return WRONG
    if not given:
        return analysis.wrong("bad-time", "no range of time", form, 'write {:last "1h"}, or leave out :time')
    if ("around" in given) is not ("within" in given):
        lone, other_name = ("around", "within") if "around" in given else ("within", "around")
        hint = 'write {:around "2026-01-02T10:00:00Z" :within "5m"}'
        return analysis.wrong("bad-time", f":{lone} without :{other_name}", form, hint)
    known = not is_open(since) and not is_open(until)
    if since is not None and until is not None and known and not _rises(since, until, analysis.now_us):
        hint = "the range begins at :since and ends before :until"
        return analysis.wrong("bad-time", ":since is not before :until", form, hint)
    return Time(last_us=last, since=since, until=until, around=around, within_us=within)


def _rises(since: Moment, until: Moment, now_us: int | None) -> bool:
    """Whether one time is before another, or may be."""
    if now_us is None:
        if isinstance(since, Instant) is not isinstance(until, Instant):
            return True
        if _rounds(since) or _rounds(until):
            return True
        now_us = _TOLERANCE_US
    return since.resolve(now_us) < until.resolve(now_us)


def _rounds(moment: Moment) -> bool:
    return isinstance(moment, Relative) and any(isinstance(step, str) for step in moment.steps)


def _where(analysis: Analysis, form: Form) -> Predicate | WrongType:
    return analysis.predicate(form)


def _select(analysis: Analysis, form: Form) -> tuple[str, ...] | WrongType:
    items = items_of(form)
    if items is None or not items:
        fields = described(form) if name_of(form) not in {None, EVERY} else ":timestamp :message"
        hint = f"write [{fields}], or leave out :select for the whole record"
        return analysis.wrong("bad-select", f"{described(form)} is no vector of fields", form, hint)
    every = next((item for item in items if name_of(item) == EVERY), None)
    if every is not None:
        hint = "leave out :select: a row is then the whole record"
        return analysis.wrong("bad-select", ":* is no field", every, hint)
    names = [analysis.field(item, "bad-select") for item in items]
    right = [name for name in names if name is not WRONG]
    return tuple(dict.fromkeys(right)) if len(right) == len(names) else WRONG


def _order_by(analysis: Analysis, form: Form) -> tuple[Order, ...] | WrongType:
    items = items_of(form)
    if items is None or not items or isinstance(form.value, SetForm):
        hint = f"write [[{described(form)} :desc]]" if name_of(form) else "write [[:timestamp :desc]]"
        return analysis.wrong("bad-order", f"{described(form)} is no order", form, hint)
    if len(items) > analysis.limits.order_steps_max:
        message = f"an order of {len(items)} steps, more than {analysis.limits.order_steps_max}"
        return analysis.wrong("bad-order", message, form, "leave out the last ones: they seldom decide")
    if _is_step(items):
        hint = "write it in a vector of its own: [[:timestamp :desc]]"
        return analysis.wrong("bad-order", "an order is a vector of steps", form, hint)
    steps = [_step(analysis, item) for item in items]
    right = [step for step in steps if step is not WRONG]
    if len(right) < len(steps):
        return WRONG
    seen: set[str] = set()
    for step, item in zip(right, items, strict=True):
        if step.name in seen:
            return analysis.wrong(
                "bad-order", f"{described(_name_form(item))} stands twice", item, "leave out the second"
            )
        seen.add(step.name)
    return tuple(right)


def _is_step(items: Sequence[Form]) -> bool:
    return len(items) == 2 and name_of(items[1]) in _DIRECTIONS and name_of(items[0]) is not None


def _name_form(item: Form) -> Form:
    return item.value.items[0] if isinstance(item.value, VectorForm) else item


def _step(analysis: Analysis, form: Form) -> Order | WrongType:
    """`[:latency_ms :desc]`, or a field alone, which rises."""
    if not isinstance(form.value, VectorForm):
        name = analysis.field(form, "bad-order")
        return WRONG if name is WRONG else Order(name=name).at(form.start, form.end)
    items = form.value.items
    if not 1 <= len(items) <= 2:
        return analysis.wrong(
            "bad-order", "a step of an order is a field and a direction", form, "write [:timestamp :desc]"
        )
    name = analysis.field(items[0], "bad-order")
    direction = name_of(items[1]) if len(items) == 2 else "asc"
    if direction not in _DIRECTIONS:
        shown = described(items[1])
        return analysis.wrong("bad-order", f"{shown} is no direction", items[1], "write :asc or :desc")
    if name is WRONG:
        return WRONG
    return Order(name=name, direction="asc" if direction == "asc" else "desc").at(form.start, form.end)


def _limit(analysis: Analysis, form: Form) -> int | WrongType:
    """A number of rows; the bound is checked where it is known what is counted."""
    if (param := analysis.param(form, "count")) is not None:
        return param
    value = form.value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return analysis.wrong(
            "bad-limit", f"{described(form)} is no number of rows", form, "write a whole number, 0 or more"
        )
    return value


def _after(analysis: Analysis, form: Form) -> str | WrongType:
    if isinstance(form.value, str):
        return form.value
    hint = "give back the cursor of the page before, as it came"
    return analysis.wrong("bad-cursor", f"{described(form)} is no cursor", form, hint)


def _total(analysis: Analysis, form: Form) -> bool | WrongType:
    return analysis.flag(form)


def _timeout(analysis: Analysis, form: Form) -> int | WrongType:
    us = analysis.duration(form)
    most_s = analysis.limits.timeout_s_max
    if us is not WRONG and not is_open(us) and us > most_s * 1_000_000:
        hint = "write a shorter one; the server's query_timeout_max_s says how long one may be"
        return analysis.wrong("timeout-too-long", f"a :timeout of more than {most_s} s", form, hint)
    return us


def _on_timeout(analysis: Analysis, form: Form) -> Literal["fail", "partial"] | WrongType:
    known = _ON_TIMEOUT.get(name_of(form) or "")
    if known is None:
        hint = "write :fail for an error, or :partial for what was found by then"
        return analysis.wrong("bad-value", f"{described(form)} is nothing to do when time is up", form, hint)
    return known


def _bounded(analysis: Analysis, form: Form, most: int, noun: str) -> None:
    if isinstance(form.value, int) and form.value > most:
        hint = f"write {most} or less"
        if noun == "rows":
            hint += "; the answer's cursor gives the next page, with :after"
        analysis.wrong("bad-limit", f"{form.value} {noun}, more than {most}", form, hint)


_READERS: dict[str, Callable[[Analysis, Form], Any]] = {
    "from": _from,
    "time": _time,
    "where": _where,
    "select": _select,
    "group-by": group_by,
    "aggregate": aggregate,
    "order-by": _order_by,
    "limit": _limit,
    "after": _after,
    "total": _total,
    "timeout": _timeout,
    "on-timeout": _on_timeout,
    "having": _where,
    "exact": _total,
}
"""The keys of a query, and how the value of each is read."""

QUERY_KEYS = tuple(_READERS)
"""The keys that a query may have."""
