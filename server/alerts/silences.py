"""Silences: which alerts are kept quiet, by matchers of their labels as Alertmanager has them. Pure.

A matcher is a label, `=`, `!=`, `=~` or `!~`, and a value: `service=checkout`, `host=~"web-.*"`. A regular expression
is of the whole value, in RE2's syntax. A label that an alert lacks is an empty text. All matchers of a silence must
hold, and one of them not for an empty text, so that no silence is of everything by mistake.
https://prometheus.io/docs/alerting/latest/alertmanager/#silences
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast, get_args

from dsl.limits import DEFAULT
from dsl.patterns.regex import BadPattern, check, searcher

Operator = Literal["=", "!=", "=~", "!~"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)

MATCHERS_MAX = 32  # of one silence
VALUE_CHARACTERS_MAX = 1000  # of a matcher: a pattern is compiled for every look

_TEXT = re.compile(r'\s*([^\s=!~{}",]+)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|(.*?))\s*', re.DOTALL)


class BadMatcher(ValueError):
    """A matcher that is none."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """What holds for one label."""

    name: str
    operator: Operator
    value: str

    def __post_init__(self) -> None:
        """Raise BadMatcher where it is none."""
        if not self.name:
            raise BadMatcher("a matcher without a label")
        if self.operator not in OPERATORS:
            raise BadMatcher(f"no operator {str(self.operator)[:20]!r}; there are {' '.join(OPERATORS)}")
        if len(self.value) > VALUE_CHARACTERS_MAX:
            raise BadMatcher(f"a value of {len(self.value)} characters, more than {VALUE_CHARACTERS_MAX}")
        if "~" in self.operator:
            _compiled(self.value)

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether it holds for an alert."""
        value = labels.get(self.name, "")
        found = _compiled(self.value)(value) if "~" in self.operator else value == self.value
        return found is not self.operator.startswith("!")

    def __str__(self) -> str:
        quoted = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.operator}"{quoted}"'


def parse_matcher(text: str) -> Matcher:
    """The matcher that a text is: `service=checkout`, `host=~"web-.*"`.

    Raises:
        BadMatcher: it is none.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise BadMatcher(f'{text[:60]!r} is no matcher: write service=checkout or host=~"web-.*"')
    name, operator, quoted, plain = match.groups()
    value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return Matcher(name, cast("Operator", operator), value)


@dataclass(frozen=True, slots=True)
class Silence:
    """What is kept quiet, and from when until when (not included), microseconds."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_us: int
    ends_us: int

    def state(self, now_us: int) -> Literal["pending", "active", "expired"]:
        """Whether it counts."""
        if now_us >= self.ends_us:
            return "expired"
        return "active" if now_us >= self.starts_us else "pending"

    def covers(self, labels: Mapping[str, str], now_us: int) -> bool:
        """Whether an alert is to be kept quiet."""
        return self.state(now_us) == "active" and all(one.holds(labels) for one in self.matchers)


def check_matchers(matchers: Sequence[Matcher]) -> None:
    """Make sure that matchers make a silence.

    Raises:
        BadMatcher: there are none or too many, or they hold for what has no label at all.
    """
    if not matchers:
        raise BadMatcher("a silence without matchers would be of everything")
    if len(matchers) > MATCHERS_MAX:
        raise BadMatcher(f"{len(matchers)} matchers, more than {MATCHERS_MAX}")
    if all(one.holds({}) for one in matchers):
        raise BadMatcher("every matcher holds for an empty text: the silence would be of nearly everything")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a pattern is of a whole text."""
    try:
        check(pattern, DEFAULT)  # by itself: what is wrong with it is told without what is put around it
        return searcher(rf"\A(?:{pattern})\z")
    except BadPattern as error:
        raise BadMatcher(f"{error}: {pattern[:60]}") from error
