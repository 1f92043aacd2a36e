"""What a rule says that is allowed, and probably not meant: `{"code": "window-gap", "message": …, "hint": …}` each."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dsl.aggregates.avg import Avg
from dsl.aggregates.count import Count
from dsl.aggregates.count_distinct import CountDistinct
from dsl.aggregates.max import Max
from dsl.aggregates.median import Median
from dsl.aggregates.min import Min
from dsl.aggregates.percentile import Percentile
from dsl.aggregates.rate import Rate
from dsl.aggregates.stddev import Stddev
from dsl.aggregates.sum import Sum
from dsl.analysis import field_text
from dsl.arithmetic import Arithmetic
from dsl.mentions import Mention, mentions_in
from dsl.nearest import meant
from dsl.table import times_of
from dsl.time import format_duration
from server.alerts.rule import Rule

Warned = dict[str, str]

NUMERIC = (Avg, Count, CountDistinct, Max, Median, Min, Percentile, Rate, Stddev, Sum, Arithmetic)
"""The aggregates that are numbers whatever the records have; of times `:min` and `:max` are times."""

_PLURAL = {"string": "strings", "number": "numbers", "boolean": "booleans"}


def warnings_of(rule: Rule, streams: Collection[str] | None = None) -> list[Warned]:
    """What there is to say of a rule.

    Args:
        rule: It.
        streams: Those that there are; without them nothing is said of the rule's.
    """
    return [*_window(rule), *_clashes(rule), *_streams(rule, streams)]


def _window(rule: Rule) -> Iterator[Warned]:
    last_us = None if rule.query.time is None else rule.query.time.last_us
    if last_us is None or last_us >= rule.every_us:
        return
    every, last = format_duration(rule.every_us), format_duration(last_us)
    yield {
        "code": "window-gap",
        "message": f"a window of {last} every {every} leaves records out that no window has",
        "hint": f'write :time {{:last "{every}"}} or more',
    }


def _clashes(rule: Rule) -> Iterator[Warned]:
    """Of comparisons that come out the same whatever is logged: a count with a text."""
    numbers = {one.name for one in rule.query.aggregate or () if isinstance(one.call, NUMERIC)}
    numbers -= times_of(rule.query)
    for mention in mentions_in(rule.when.predicate):
        if mention.field not in numbers or "number" in mention.kinds:
            continue
        kinds = " or ".join(_PLURAL[kind] for kind in sorted(mention.kinds))
        yield {
            "code": "type-clash",
            "message": f"{mention.by} finds {kinds}, and {field_text(mention.field)} has only numbers",
            "hint": _way_out(mention),
        }


def _way_out(mention: Mention) -> str:
    text = mention.value
    try:
        number = isinstance(text, str) and text.isascii() and float(text) == float(text)
    except ValueError:
        number = False
    return f"write {text} without quotes" if number else "compare it with a number"


def _streams(rule: Rule, streams: Collection[str] | None) -> Iterator[Warned]:
    if streams is None or rule.query.from_ == "*":
        return
    for name in rule.query.from_:
        if name not in streams:
            begins = "it begins with its first record; until then the rule fails"
            yield {
                "code": "unknown-stream",
                "message": f"no stream {name!r}",
                "hint": meant(name, sorted(streams)) or begins,
            }
