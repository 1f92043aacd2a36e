"""Durations as options: `90s`, `1h30m`, as the query language writes them."""

from typing import Any

import click

from dsl.time import BadTime, parse_duration


class Duration(click.ParamType[float]):
    """A duration as the query language writes it, `90s` or `1h30m`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds of the text."""
        if isinstance(value, int | float):
            return value
        try:
            return parse_duration(value) / 1_000_000
        except BadTime as error:
            self.fail(f"{error.message}; {error.hint}", param, ctx)
