"""The question of a histogram: how many records over time, perhaps a count for each value of a field.

{:from :app, :where [:>= :http.status 500], :time {:last "6h"}, :by :service, :top 5, :bucket "5m"}

It is a query with three keys more. Of the query itself only `:from`, `:time`, `:where`, `:timeout` and `:on-timeout`
matter, so that any query can be sent as it is, with what it selects, groups and orders by.
"""

from dataclasses import dataclass
from typing import Any, Final

from dsl.aggregates.count import Count
from dsl.aggregates.top import how_many
from dsl.analysis import WRONG, Analysis, WrongType, name_of
from dsl.analyze import QUERY_KEYS, analyze
from dsl.ast import Named, Query
from dsl.errors import Mistake, QueryError
from dsl.forms import Form, MapForm
from dsl.keys.bucket import TimeBucket
from dsl.keys.top import TopKey
from dsl.limits import DEFAULT, Limits
from dsl.predicates import build
from dsl.record import TIMESTAMP
from dsl.time import UNITS_US, Instant, Time

COUNT: Final = "n"
"""What the rows call the number of records."""

TOP_DEFAULT: Final = 5  # values that are counted apart: more colours nobody tells from each other
BUCKETS_MAX: Final = 120  # of a chosen width: a bar each on a wide terminal, a few pixels each on a screen
KEYS: Final = ("bucket", "by", "top")

_MS, _S, _M, _H, _D, _W = (UNITS_US[unit] for unit in ("ms", "s", "m", "h", "d", "w"))
WIDTHS_US: Final = (
    *(count * _MS for count in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(count * _S for count in (1, 2, 5, 10, 15, 30)),
    *(count * _M for count in (1, 2, 5, 10, 15, 30)),
    *(count * _H for count in (1, 2, 3, 6, 12)),
    *(count * _D for count in (1, 2)),
    *(count * _W for count in (1, 2, 4, 13, 26, 52, 104, 260, 520)),
)
"""Widths that people read off an axis. Weeks begin on Monday; of a year there is none, as years differ."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram as it was asked for.

    Attributes:
        query: Which records.
        bucket_us: How wide a bucket is; None is to be chosen.
        by: A field whose values are counted apart.
        top: How many of them, the most frequent; the rest is other.
    """

    query: Query
    bucket_us: int | None = None
    by: str | None = None
    top: int = TOP_DEFAULT

    def over(self, since_us: int, until_us: int, width_us: int) -> Query:
        """The query for groups that answers it, over [since, until) in buckets of a width."""
        keys: list[Any] = [TimeBucket(width_us=width_us, fill=True)]
        if self.by is not None:
            keys.append(TopKey(field=self.by, most=self.top).at(*self.query.span))
        query = self.query
        made = Query(
            from_=query.from_,
            time=Time(since=Instant(instant_us=since_us), until=Instant(instant_us=until_us)),
            where=query.where,
            group_by=tuple(keys),
            aggregate=(Named(name=COUNT, call=Count()),),
            order_by=(),
            limit=None,
            timeout_us=query.timeout_us,
            on_timeout=query.on_timeout,
        )
        return made.at(*query.span)


def width_for(since_us: int, until_us: int) -> int:
    """The least width that people read off an axis which needs no more than so many buckets."""
    for width_us in WIDTHS_US:
        if _buckets(since_us, until_us, width_us) <= BUCKETS_MAX:
            return width_us
    return WIDTHS_US[-1]


def _buckets(since_us: int, until_us: int, width_us: int) -> int:
    key = TimeBucket(width_us=width_us)
    return (key.start(until_us - 1) - key.start(since_us)) // width_us + 1


def read_histogram(form: Form, *, limits: Limits = DEFAULT, now_us: int | None = None) -> Histogram:
    """The histogram that a form asks for.

    Raises:
        QueryError: everything that is wrong with it.
    """
    if not isinstance(form.value, MapForm):
        return Histogram(analyze(form, limits=limits, now_us=now_us))  # which says that it is no map
    analysis = Analysis(limits, now_us, build)
    own: dict[str, Form] = {}
    rest: list[tuple[Form, Form]] = []
    for key, item in form.value.pairs:
        name = name_of(key)
        if name in KEYS:
            own[name] = item
        elif name is not None and name not in QUERY_KEYS and (near := analysis.near(name, KEYS, ":")):
            analysis.wrong("unknown-key", f"no key :{name}", key, near)
        else:
            rest.append((key, item))
    bucket_us = analysis.duration(own["bucket"]) if "bucket" in own else None
    by = _by(analysis, own)
    top = how_many(analysis, own["top"], "bad-group") if "top" in own else TOP_DEFAULT
    if "top" in own and "by" not in own:
        analysis.wrong("key-not-here", ":top without :by", own["top"], "say of which field: :by :level")
    mistakes: list[Mistake] = list(analysis.mistakes)
    query = None
    try:
        query = analyze(Form(MapForm(tuple(rest)), form.start, form.end), limits=limits, now_us=now_us)
    except QueryError as error:
        mistakes += error.mistakes
    if mistakes or query is None or bucket_us is WRONG or by is WRONG or top is WRONG:
        raise QueryError(mistakes)
    return Histogram(query, bucket_us, by, top)


def _by(analysis: Analysis, own: dict[str, Form]) -> str | WrongType | None:
    """The field whose values are counted apart."""
    if "by" not in own or own["by"].value is None:
        return None
    field = analysis.field(own["by"], "bad-group")
    if field == TIMESTAMP:
        return analysis.wrong(
            "bad-group", "the time is what all are counted by", own["by"], "name another field"
        )
    return field
