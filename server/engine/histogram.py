"""Counts over time: the range and the width of the buckets are settled here, the rest is a query for groups."""

from __future__ import annotations

import time

from dsl.histogram import COUNT, Histogram, read_histogram, width_for
from dsl.parse import Syntax, read_form
from dsl.time import format_duration, format_instant
from server.answer import Answer
from server.engine import Engine
from server.engine.asked import Asked
from server.engine.places import in_text


class Histograms:
    """Answers histograms. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, text: str, *, syntax: Syntax = "edn", asked: Asked | None = None) -> Answer:
        """The counts that a text asks for: `{timestamp, n}` a row, with `:by` also the field.

        Raises:
            QueryError: the document has mistakes; all of them.
            UnknownStreams: it names streams that are not there.
            QueryTimeout: it takes too long.
        """
        started_s = time.perf_counter()
        engine = self._engine
        now_us = engine.now_us()
        with in_text(text, syntax, engine.limits, engine.store):
            wanted = read_histogram(
                read_form(text, syntax, limits=engine.limits), limits=engine.limits, now_us=now_us
            )
            answer = self._answer(wanted, now_us, asked or Asked())
        answer.took_ms = (time.perf_counter() - started_s) * 1000
        return answer

    def _answer(self, wanted: Histogram, now_us: int, asked: Asked) -> Answer:
        span = self._span(wanted, now_us)
        if span is None:
            columns = [name for name in ("timestamp", wanted.by, COUNT) if name is not None]
            return Answer(records=[], now=format_instant(now_us), columns=columns, times=["timestamp"])
        since_us, until_us = span
        width_us = wanted.bucket_us or width_for(since_us, until_us)
        answer = self._engine.ask(wanted.over(since_us, until_us, width_us), now_us, asked)
        answer.about = {
            "bucket": format_duration(width_us),
            "since": format_instant(since_us),
            "until": format_instant(until_us),
        }
        return answer

    def _span(self, wanted: Histogram, now_us: int) -> tuple[int, int] | None:
        """From when until when is counted: an end that is open is that of the records; None where there are none."""
        low_us, high_us = (None, None) if wanted.query.time is None else wanted.query.time.resolve(now_us)
        if low_us is None or high_us is None:
            first_us, last_us = self._engine.span(wanted.query)
            if first_us is None or last_us is None:
                return None
            low_us = first_us if low_us is None else low_us
            high_us = last_us + 1 if high_us is None else high_us
        return (low_us, high_us) if low_us < high_us else None
