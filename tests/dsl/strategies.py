"""Random records and random queries, checked trees and wild texts."""

import re
from typing import Any

from hypothesis import strategies as st

from dsl.aggregates.avg import Avg
from dsl.aggregates.count import Count
from dsl.aggregates.count_distinct import CountDistinct
from dsl.aggregates.first import First
from dsl.aggregates.last import Last
from dsl.aggregates.max import Max
from dsl.aggregates.median import Median
from dsl.aggregates.min import Min
from dsl.aggregates.percentile import Percentile
from dsl.aggregates.stddev import Stddev
from dsl.aggregates.sum import Sum
from dsl.aggregates.top import Top
from dsl.aggregates.values import Values
from dsl.arithmetic import Arithmetic, ValueOf
from dsl.ast import Named, Order, Query
from dsl.keys.bucket import NumberBucket, TimeBucket
from dsl.keys.field import FieldKey
from dsl.keys.ranges import RangesKey
from dsl.keys.top import TopKey
from dsl.operators.and_ import And
from dsl.operators.at_least import AtLeast
from dsl.operators.at_most import AtMost
from dsl.operators.between import Between
from dsl.operators.cidr import Cidr
from dsl.operators.contains import Contains
from dsl.operators.ends_with import EndsWith
from dsl.operators.equal import Equal
from dsl.operators.exists import Exists
from dsl.operators.fuzzy import Fuzzy
from dsl.operators.glob import Glob
from dsl.operators.in_ import In, canonical
from dsl.operators.less import Less
from dsl.operators.match import Match
from dsl.operators.match_any import MatchAny
from dsl.operators.missing import Missing
from dsl.operators.more import More
from dsl.operators.not_ import Not
from dsl.operators.not_equal import NotEqual
from dsl.operators.or_ import Or
from dsl.operators.phrase import Phrase
from dsl.operators.regex import Regex
from dsl.operators.starts_with import StartsWith
from dsl.record import Record
from dsl.time import TIME_US_MAX, TIME_US_MIN, UNITS_US, Instant, Relative, Time

NOW_US = 1_767_323_045_678_901  # 2026-01-02T03:04:05.678901Z

WORDS = ("error", "timeout", "Über", "a1", "connection", "reset", "5xx", "日本")
NAMES = (
    "level",
    "message",
    "http.status",
    "http",
    "a",
    "a.b",
    "a.b.c",
    "odd name",
    "",
    "x/y",
    "7",
    "#t",
    ".",
)


def analyse(text: str) -> list[str]:
    """Words as the index makes them, near enough."""
    return re.findall(r"[^\W_]+", text.lower())


fields = st.one_of(
    st.sampled_from(NAMES), st.text(max_size=6).filter(lambda name: name not in {"*", "timestamp"})
)
texts = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    st.text(max_size=8),
)
word_texts = texts.filter(lambda text: any(map(str.isalnum, text)))
integers = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**64 - 1))
floats = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0**53, -1e300]), st.floats(allow_nan=False, allow_infinity=False)
)
scalars = st.one_of(st.booleans(), integers, floats, texts)
instants = st.integers(TIME_US_MIN, TIME_US_MAX).map(lambda us: Instant(instant_us=us))
durations = st.integers(1, 10**9).map(lambda ms: ms * 1000)


@st.composite
def relatives(draw: st.DrawFn) -> Relative:
    steps: list[Any] = []
    for step in draw(
        st.lists(st.one_of(durations, durations.map(lambda us: -us), st.sampled_from([*UNITS_US])))
    ):
        if isinstance(step, str) or not steps or isinstance(steps[-1], str):
            steps.append(step)
    return Relative(steps=tuple(steps))


moments = st.one_of(instants, relatives())
values = st.one_of(scalars, instants)
ordered = st.one_of(integers, floats, texts, instants)


@st.composite
def comparisons(draw: st.DrawFn) -> Any:
    node = draw(st.sampled_from([Equal, NotEqual, Less, AtMost, More, AtLeast]))
    if draw(st.integers(0, 5)) == 0:
        return node(field="timestamp", value=draw(moments))
    return node(field=draw(fields), value=draw(values if node in {Equal, NotEqual} else ordered))


@st.composite
def betweens(draw: st.DrawFn) -> Between:
    ends = draw(
        st.one_of(
            st.lists(st.one_of(integers, floats), min_size=2, max_size=2).map(sorted),
            st.lists(texts, min_size=2, max_size=2).map(sorted),
            st.lists(st.integers(TIME_US_MIN, TIME_US_MAX), min_size=2, max_size=2)
            .map(sorted)
            .map(lambda pair: [Instant(instant_us=us) for us in pair]),
        )
    )
    opened = draw(st.sampled_from([None, 0, 1]))
    if opened is not None:
        ends[opened] = None
    return Between(field=draw(fields), low=ends[0], high=ends[1])


@st.composite
def ins(draw: st.DrawFn) -> In:
    return In(field=draw(fields), values=canonical(draw(st.lists(values, max_size=4))))


def phrase_text(text: str, prefix: bool) -> str:
    text = text.rstrip("*")
    return text + "*" if prefix and text[-1:].isalnum() else text


text_fields = st.one_of(fields, st.just("*"))
phrases = st.builds(
    lambda field, text, prefix, slop: Phrase(field=field, text=phrase_text(text, prefix), slop=slop),
    text_fields,
    word_texts,
    st.booleans(),
    st.sampled_from([0, 0, 1, 2, 100]),
).filter(lambda node: not node.text.endswith("*") or node.text[-2].isalnum())

globs = st.lists(
    st.sampled_from(["*", "**", "?", "[a-z]", "[!0-9]", "[]x]", "\\*", "/", "é", *WORDS]), max_size=5
).map("".join)
regexes = st.lists(
    st.sampled_from(
        [".*", "^", "$", "(a|b)+", "[a-z]{2,3}?", "(?i:get)", r"\d", r"\bx", "é?", r"\.", "(?s).", *WORDS]
    ),
    max_size=5,
).map("".join)
blocks = st.one_of(
    st.sampled_from(["10.0.0.0/8", "10.0.0.7", "0.0.0.0/0", "::/0", "2001:db8::/32", "fe80::/10", "::1"]),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str),
)

leaves = st.one_of(
    comparisons(),
    betweens(),
    ins(),
    phrases,
    st.builds(Exists, field=fields),
    st.builds(Missing, field=fields),
    st.builds(Match, field=text_fields, text=word_texts),
    st.builds(MatchAny, field=text_fields, text=word_texts),
    st.builds(Fuzzy, field=text_fields, text=word_texts, distance=st.sampled_from([1, 2])),
    st.builds(Contains, field=text_fields, text=texts),
    st.builds(StartsWith, field=text_fields, text=texts),
    st.builds(EndsWith, field=text_fields, text=texts),
    st.builds(Glob, field=text_fields, text=globs),
    st.builds(Regex, field=text_fields, text=regexes),
    st.builds(Cidr, field=text_fields, text=blocks),
)

predicates = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, parts=st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, parts=st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, part=inner),
    ),
    max_leaves=6,
)


def ends_rise(time: Time) -> bool:
    if time.since is None or time.until is None:
        return time.since is not None or time.until is not None
    return time.since.resolve(0) < time.until.resolve(0)


times = st.one_of(
    durations.map(lambda us: Time(last_us=us)),
    st.builds(Time, since=st.none() | instants, until=st.none() | instants).filter(ends_rise),
    st.builds(Time, since=relatives()),
    st.builds(Time, around=instants | relatives(), within_us=durations),
)
streams = st.one_of(
    st.just("*"),
    st.lists(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True), min_size=1, max_size=3).map(
        lambda names: tuple(sorted(set(names)))
    ),
)
orders = st.lists(
    st.builds(Order, name=fields, direction=st.sampled_from(["asc", "desc"])), min_size=1, max_size=3
)
unique_orders = orders.map(lambda steps: tuple({step.name: step for step in steps}.values()))

rows = st.builds(
    Query,
    from_=streams,
    time=st.none() | times,
    where=st.none() | predicates,
    select=st.none() | st.lists(fields, min_size=1, max_size=3, unique=True).map(tuple),
    order_by=st.one_of(st.just((Order(name="timestamp", direction="desc"),)), unique_orders),
    limit=st.integers(0, 10_000),
    total=st.booleans(),
    timeout_us=st.none() | st.integers(20_000, 60_000).map(lambda ms: ms * 1000),
    on_timeout=st.sampled_from(["fail", "partial"]),
)

numeric = st.sampled_from([Sum, Avg, Min, Max, CountDistinct, Stddev, Median, First, Last, Values])
calls = st.one_of(
    st.builds(Count, where=st.none() | predicates),
    st.builds(
        lambda node, field, where: node(field=field, where=where), numeric, fields, st.none() | predicates
    ),
    st.builds(
        Percentile,
        field=fields,
        percent=st.one_of(st.integers(0, 100), st.floats(0, 100)),
        where=st.none() | predicates,
    ),
    st.builds(Top, field=fields, most=st.integers(1, 1000), where=st.none() | predicates),
)
aliases = st.none() | fields
fills = st.none() | st.booleans()
bounds = st.lists(st.integers(-9, 9) | st.floats(-1e300, 1e300), min_size=1, max_size=4, unique=True).map(
    sorted
)


def formulas(names: list[str]) -> st.SearchStrategy[Arithmetic]:
    operands = st.sampled_from(names).map(lambda name: ValueOf(name=name)) | integers | floats

    def joined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Arithmetic]:
        parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.builds(Arithmetic, op=st.sampled_from("+-*/"), parts=parts)

    return joined(st.recursive(operands, joined, max_leaves=4))


keys = st.one_of(
    st.builds(FieldKey, field=fields, alias=aliases),
    st.builds(TimeBucket, width_us=durations, alias=aliases, fill=fills),
    st.builds(RangesKey, field=fields, bounds=bounds.map(tuple), alias=aliases),
    st.builds(TopKey, field=fields, most=st.integers(1, 1000), alias=aliases),
    st.builds(
        NumberBucket,
        field=fields,
        width=st.integers(1, 100) | st.floats(0.5, 100),
        offset=st.integers(0, 9),
        alias=aliases,
        fill=fills,
    ),
)


@st.composite
def grouped(draw: st.DrawFn) -> Query:
    chosen = {key.name: key for key in draw(st.lists(keys, max_size=3))}
    names = draw(
        st.lists(fields.filter(lambda name: name not in chosen), min_size=1, max_size=3, unique=True)
    )
    measured = {name: draw(calls) for name in names}
    of_maps = {name for name, call in measured.items() if isinstance(call, Top)}
    numbers = [name for name, call in measured.items() if type(call) in {Count, Sum, Avg, Stddev, Percentile}]
    formula = draw(st.none() | formulas(numbers)) if numbers and "worked out" not in chosen else None
    steps = draw(st.lists(st.sampled_from([*chosen, *names]), unique=True, max_size=2))
    steps = [step for step in steps if step not in of_maps]
    asked = draw(st.none() | st.sampled_from([name for name in names if name != "timestamp"] or [None]))
    return Query(
        from_=draw(streams),
        time=draw(st.none() | times),
        where=draw(st.none() | predicates),
        group_by=tuple(chosen.values()),
        aggregate=(
            *(() if formula is None or "worked out" in names else [Named(name="worked out", call=formula)]),
            *(Named(name=name, call=call) for name, call in measured.items()),
        ),
        having=None if asked is None else Not(part=Exists(field=asked)),
        exact=draw(st.booleans()),
        order_by=tuple(Order(name=name, direction=draw(st.sampled_from(["asc", "desc"]))) for name in steps),
        limit=draw(st.none() | st.integers(0, 65_000)),
        total=draw(st.booleans()),
    )


queries = st.one_of(rows, grouped())

json_values = st.recursive(
    st.one_of(st.none(), scalars, st.sampled_from(["2026-01-02T03:04:05Z", "1999-12-31T23:59:60Z"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(fields, inner, max_size=3)),
    max_leaves=6,
)
records = st.builds(
    Record,
    timestamp_us=st.integers(NOW_US - 10**10, NOW_US + 10**10),
    stream=st.sampled_from(["main", "nginx", "_own"]),
    number=st.integers(0, 2**40),
    fields=st.dictionaries(fields.filter(lambda name: not name.startswith("_")), json_values, max_size=5),
)
