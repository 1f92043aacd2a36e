"""The document of an alert rule, from its form to a checked `Rule`: `{:name :errors :query {…} :when [:> :n 10] …}`.

Every key is checked, and every mistake of the text is found at once, each with its place: those of the query and of the
condition among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsl import predicates
from dsl.aggregates import AGGREGATES
from dsl.analysis import WRONG, Analysis, WrongType, described, items_of, name_of
from dsl.analyze import analyze
from dsl.ast import Named, Query
from dsl.errors import QueryError, quoted
from dsl.forms import Form, Keyword, MapForm
from dsl.keys.bucket import TimeBucket
from dsl.limits import DEFAULT, Limits
from dsl.operators.and_ import And
from dsl.record import TIMESTAMP
from dsl.table import times_of
from dsl.time import UNITS_US, Relative, format_duration
from server.alerts.template import BadTemplate, names_in
from server.alerts.when import When, always, read_when

ALERT_NAME = "alertname"  # the label that has the rule's name, as Prometheus calls it
ABSENT_LABEL = "absent"  # the label that sets the alert of a silent group apart from the group's own
SAMPLES_MAX = 20  # records that travel with a notification: who wants more asks a query
LABELS_MAX = 32  # of a rule: each is part of every alert
TEXT_CHARACTERS_MAX = 4096  # of an annotation: it is read on a phone
NOTIFY_MAX = 16  # channels of a rule

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
NAME_HINT = "a name is 1 to 100 letters, digits, _ . and -, and begins with a letter, a digit or _"

S, M, H, D = UNITS_US["s"], UNITS_US["m"], UNITS_US["h"], UNITS_US["d"]


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration that a rule sets.

    Attributes:
        default_us: Where it is left out; None is none at all.
        least_us: The shortest.
        most_us: The longest.
        meaning: What it is, for people.
    """

    default_us: int | None
    least_us: int
    most_us: int
    meaning: str


DURATIONS: dict[str, Duration] = {
    "every": Duration(
        30 * S, S, D, "how often it is evaluated, at whole multiples of it since 1970, shifted"
    ),
    "for": Duration(0, 0, 7 * D, "how long an alert is pending before it fires"),
    "keep-firing-for": Duration(0, 0, 7 * D, "how long an alert fires on when its condition holds no more"),
    "delay": Duration(10 * S, 0, D, "how far its window lies back, so that late records are in it"),
    "repeat": Duration(None, M, 7 * D, "how often a channel is told again of an alert that still fires"),
    "when-absent": Duration(None, S, 7 * D, "how long a known group may be silent before that is an alert"),
    "group-wait": Duration(0, 0, H, "how long a first notification waits for others to go with it"),
}
"""The durations of a rule: by key the default, the bounds and the meaning."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that is checked.

    Attributes:
        query: For groups; each is an alert of its own when `when` holds for it.
        when: The condition.
        labels: That every alert has beside the keys of its group and the rule's name.
        annotations: Texts with names in them.
        samples: How many records travel with a notification.
        notify: The channels that are told.
        doc: What it is for, for people.
    """

    name: str
    query: Query
    when: When
    every_us: int
    for_us: int
    keep_firing_for_us: int
    delay_us: int
    repeat_us: int | None
    when_absent_us: int | None
    group_wait_us: int
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    samples: int = 3
    notify: tuple[str, ...] = ()
    doc: str = ""

    @property
    def columns(self) -> list[str]:
        """The names that its groups have."""
        return columns_of(self.query)


def read_rule(form: Form, name: str | None = None, limits: Limits = DEFAULT) -> Rule:
    """The rule that a form is.

    Args:
        form: As read.
        name: What it is called; without it the document must say so.
        limits: What its query may cost.

    Raises:
        QueryError: everything that is wrong with it.
    """
    analysis = Analysis(limits, None, predicates.build)
    rule = _rule(analysis, form, name)
    if analysis.mistakes or rule is WRONG:
        raise QueryError(analysis.mistakes)
    return rule


def name_in(form: Form) -> str | None:
    """What a rule's document says that it is called; None where it says nothing, or no name."""
    pairs = form.value.pairs if isinstance(form.value, MapForm) else ()
    return next((name_of(item) for key, item in pairs if name_of(key) == "name"), None)


def query_in(form: Form) -> Form:
    """The query of a rule that is right."""
    assert isinstance(form.value, MapForm)
    return next(item for key, item in form.value.pairs if name_of(key) == "query")


def columns_of(query: Query) -> list[str]:
    """The names that the groups of a query have."""
    return [*(key.name for key in query.group_by), *(one.name for one in query.aggregate or ())]


def keys_of(
    analysis: Analysis,
    value: MapForm,
    known: Mapping[str, Any],
    meant: Mapping[str, str],
) -> dict[str, Form]:
    """The values of a map by the names of their keys; keys that are not known noted."""
    given: dict[str, Form] = {}
    for key, item in value.pairs:
        name = name_of(key)
        if name is None or name not in known:
            shown = described(key) if name is None else f":{quoted(name)}"
            near = analysis.near(name or "", known, ":")
            if name is not None and name in meant:
                near = f"did you mean :{meant[name]}?"
            hint = near or "the keys are " + " ".join(f":{one}" for one in known)
            analysis.wrong("unknown-key", f"no key {shown}", key, hint)
        elif name in given:
            analysis.wrong("duplicate-key", f"the key :{name} stands twice", key, "leave one of them out")
        else:
            given[name] = item
    return given


_KEYS: dict[str, str] = {
    "name": "",
    "doc": "",
    "query": "",
    "when": "",
    **dict.fromkeys(DURATIONS, ""),
    "labels": "",
    "annotations": "",
    "samples": "",
    "notify": "",
}

_MEANT = {
    "expr": "query",
    "condition": "when",
    "if": "when",
    "threshold": "when",
    "interval": "every",
    "evaluation-interval": "every",
    "pending": "for",
    "duration": "for",
    "keep_firing_for": "keep-firing-for",
    "offset": "delay",
    "query-offset": "delay",
    "channels": "notify",
    "receivers": "notify",
    "description": "doc",
    "absent": "when-absent",
    "no-data": "when-absent",
    "group_wait": "group-wait",
    "repeat-interval": "repeat",
    "alert": "name",
}


def _rule(analysis: Analysis, form: Form, name: str | None) -> Rule | WrongType:
    if not isinstance(form.value, MapForm):
        hint = "write {:name :errors :query {…} :when [:> :n 10]}"
        return analysis.wrong("not-a-map", f"a rule is a map, not {described(form)}", form, hint)
    given = keys_of(analysis, form.value, _KEYS, _MEANT)
    called = _name(analysis, form, given.get("name"), name)
    query = _query(analysis, form, given.get("query"))
    durations = {one: _duration(analysis, one, given.get(one)) for one in DURATIONS}
    texts = {one: _texts(analysis, one, given.get(one)) for one in ("labels", "annotations")}
    samples = _whole(analysis, given["samples"], SAMPLES_MAX) if "samples" in given else 3
    notify = _names(analysis, given["notify"]) if "notify" in given else ()
    doc = _text(analysis, given["doc"], ":doc") if "doc" in given else ""
    when = WRONG if query is WRONG else _when(analysis, form, given, query)
    if query is not WRONG and query.having is not None and durations["when-absent"] is not None:
        hint = "put the condition into :when: a group that :having hides would count as silent"
        analysis.wrong("key-not-here", ":having in a query with :when-absent", given["query"], hint)
    if query is not WRONG and called is not WRONG:
        _check_labels(analysis, given.get("labels"), texts["labels"], query)
        _check_names(analysis, given.get("annotations"), texts, query)
    made: dict[str, Any] = {
        "name": called,
        "query": query,
        "when": when,
        **texts,
        "samples": samples,
        "notify": notify,
        "doc": doc,
        **{f"{one.replace('-', '_')}_us": us for one, us in durations.items()},
    }
    if analysis.mistakes or any(value is WRONG for value in made.values()):
        return WRONG
    made["query"] = _with_count(made["query"])
    return Rule(**made)


def _name(analysis: Analysis, form: Form, given: Form | None, name: str | None) -> str | WrongType:
    if given is None:
        if name is not None:
            return name
        return analysis.wrong("missing-key", "a rule without :name", form, "write :name :checkout-errors")
    called = name_of(given)
    if called is None or not NAME.fullmatch(called):
        return analysis.wrong("bad-name", f"no rule can be called {described(given)}", given, NAME_HINT)
    if name is not None and called != name:
        message = f"the rule is called {quoted(called)}, and saved as {quoted(name)}"
        return analysis.wrong("bad-name", message, given, f"write :name :{name}, or leave it out")
    return called


def _query(analysis: Analysis, form: Form, given: Form | None) -> Query | WrongType:
    """The query, as one for groups."""
    if given is None:
        hint = 'write :query {:time {:last "5m"} :where [:= :level "error"]}'
        return analysis.wrong("missing-key", "a rule without :query", form, hint)
    try:
        query = analyze(given, limits=analysis.limits)
    except QueryError as error:
        for mistake in error.mistakes:
            place = Form(None, mistake.start, mistake.end)
            analysis.wrong(mistake.code, mistake.message, place, mistake.hint)
        return WRONG
    pairs = given.value.pairs if isinstance(given.value, MapForm) else ()
    places = {name_of(key): key for key, _ in pairs}
    before = len(analysis.mistakes)
    for key, hint in _NOT_IN_RULES.items():
        if key in places:
            analysis.wrong("key-not-here", f":{key} in the query of a rule", places[key], hint)
    _check_window(analysis, given, query)
    for one in query.group_by:
        if isinstance(one, TimeBucket) or one.name == TIMESTAMP:
            hint = "leave it out: the rule is evaluated again and again anyway"
            analysis.wrong("bad-rule", "groups of time are no alerts", Form(None, *one.span), hint)
        elif one.name in (ALERT_NAME, ABSENT_LABEL):
            place = Form(None, *one.span)
            analysis.wrong(
                "bad-rule",
                f"{one.name} is a label that every alert may have",
                place,
                "group by another field",
            )
    for named in query.aggregate or ():
        if named.name == TIMESTAMP:
            place = Form(None, *named.span)
            analysis.wrong("bad-rule", "timestamp is the name of a time", place, "rename the aggregate")
    return WRONG if len(analysis.mistakes) > before else query


_NOT_IN_RULES = {
    "limit": "leave it out: each group is an alert, and none is cut off",
    "after": "leave it out: a rule has no pages",
    "total": "leave it out: a rule has no pages",
    "on-timeout": "leave it out: what is missing from an answer would end alerts",
    "select": "leave it out: the samples of a notification are whole records",
}


def _check_window(analysis: Analysis, given: Form, query: Query) -> None:
    if query.time is None:
        hint = 'write :time {:last "5m"} into the query'
        analysis.wrong("bad-rule", "a rule without a window would read all there is", given, hint)
        return
    ends = (query.time.since, query.time.until)
    if query.time.last_us is None and not any(isinstance(end, Relative) for end in ends):
        hint = 'write {:last "5m"}, or {:since "now-1h" :until "now"}'
        analysis.wrong("bad-rule", "the window never moves", given, hint)


def _when(analysis: Analysis, form: Form, given: Mapping[str, Form], query: Query) -> When | WrongType:
    counted = _with_count(query)
    last_us = None if query.time is None else query.time.last_us
    if "when" in given:
        return read_when(analysis, given["when"], columns_of(counted), last_us, times_of(counted))
    if not query.grouped:
        return When(always(COUNT))
    if not query.group_by:
        hint = "write :when [:> :n 10] with one of the query's columns"
        return analysis.wrong("missing-key", "a rule without :when", form, hint)
    return When(And())  # a group is there because it has records


COUNT = "count"  # the column of a query that asks for records: how many there are


def _with_count(query: Query) -> Query:
    """A query for records as one that counts them, in one group."""
    if query.grouped:
        return query
    named = (Named(name=COUNT, call=AGGREGATES["count"].node()),)
    return Query(
        from_=query.from_, time=query.time, where=query.where, aggregate=named, order_by=(), limit=None
    )


def _duration(analysis: Analysis, name: str, form: Form | None) -> int | WrongType | None:
    kind = DURATIONS[name]
    if form is None:
        return kind.default_us
    if form.value is None and kind.default_us is None:
        return None
    us = analysis.duration(form, least_us=0)
    if us is WRONG:
        return WRONG
    if not kind.least_us <= us <= kind.most_us:
        bounds = f"{format_duration(kind.least_us)} to {format_duration(kind.most_us)}"
        message = f":{name} is {format_duration(us)}, which is not within {bounds}"
        return analysis.wrong("bad-duration", message, form, f"it is {kind.meaning}")
    return us


def _texts(analysis: Analysis, name: str, form: Form | None) -> dict[str, str] | WrongType:
    """A map of names to texts."""
    if form is None:
        return {}
    hint = f'write :{name} {{:{"severity" if name == "labels" else "summary"} "…"}}'
    if not isinstance(form.value, MapForm):
        return analysis.wrong("bad-value", f"{described(form)} is no map of texts", form, hint)
    if len(form.value.pairs) > LABELS_MAX:
        message = f"{len(form.value.pairs)} {name}, more than {LABELS_MAX}"
        return analysis.wrong("bad-value", message, form, "leave some out")
    found: dict[str, str | WrongType] = {}
    for key, item in form.value.pairs:
        called = name_of(key)
        if not called:
            analysis.wrong("bad-value", f"{described(key)} is no name", key, hint)
        elif called in found:
            analysis.wrong("duplicate-key", f"the key :{quoted(called)} stands twice", key, "leave one out")
        else:
            found[called] = _text(analysis, item, f":{quoted(called)}")
    return found if all(one is not WRONG for one in found.values()) else WRONG  # type: ignore[return-value]


def _text(analysis: Analysis, form: Form, what: str) -> str | WrongType:
    value = form.value
    if isinstance(value, Keyword):
        return value.name
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        return analysis.wrong(
            "bad-value", f"{what} is {described(form)}, no text", form, "write it in quotes"
        )
    if len(value) > TEXT_CHARACTERS_MAX:
        message = f"{what} has {len(value)} characters, more than {TEXT_CHARACTERS_MAX}"
        return analysis.wrong("bad-value", message, form, "write less, or a link")
    return value


def _whole(analysis: Analysis, form: Form, most: int) -> int | WrongType:
    value = form.value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        return analysis.wrong("bad-value", f":samples is {described(form)}", form, f"write 0 to {most}")
    return value


def _names(analysis: Analysis, form: Form) -> tuple[str, ...] | WrongType:
    items = items_of(form)
    items = (form,) if items is None else items
    names = [name_of(item) for item in items]
    for item, name in zip(items, names, strict=True):
        if name is None or not NAME.fullmatch(name):
            analysis.wrong("bad-name", f"no channel can be called {described(item)}", item, NAME_HINT)
            return WRONG
    if len(names) > NOTIFY_MAX:
        message = f"{len(names)} channels, more than {NOTIFY_MAX}"
        return analysis.wrong("bad-value", message, form, "leave some out")
    return tuple(dict.fromkeys(str(name) for name in names))


def _check_labels(
    analysis: Analysis, form: Form | None, labels: dict[str, str] | WrongType, query: Query
) -> None:
    """Labels that the rule gives must not be those of the groups."""
    if labels is WRONG or form is None or not isinstance(form.value, MapForm):
        return
    own = {key.name: "a key of the groups" for key in query.group_by}
    own |= {ALERT_NAME: "the rule's name", ABSENT_LABEL: "what a silent group has"}
    for key, _ in form.value.pairs:
        name = name_of(key)
        if name in own:
            analysis.wrong("duplicate-key", f"the label {name} is {own[name]}", key, "rename it")


def _check_names(
    analysis: Analysis, form: Form | None, texts: Mapping[str, dict[str, str] | WrongType], query: Query
) -> None:
    """The names in the texts are columns or labels."""
    if form is None or not isinstance(form.value, MapForm) or WRONG in texts.values():
        return
    labels = texts["labels"]
    assert labels is not WRONG
    known = [*columns_of(_with_count(query)), *labels, ALERT_NAME]
    for key, item in form.value.pairs:
        name = name_of(key)
        texts_of = texts["annotations"]
        assert texts_of is not WRONG
        if name not in texts_of:
            continue
        try:
            names = names_in(texts_of[name])
        except BadTemplate as error:
            hint = "write {{ and }} for braces, {service} for a name"
            analysis.wrong("bad-template", str(error), item, hint)
            continue
        for one in names:
            if one not in known:
                hint = analysis.near(one, known) or "the names are " + ", ".join(
                    quoted(each) for each in known
                )
                analysis.wrong("unknown-name", f"no column or label {{{quoted(one)}}}", item, hint)
