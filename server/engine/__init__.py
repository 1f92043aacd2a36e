"""The one place where a query meets the store: text in, an answer out.

text --dsl.parse--> query --dsl.compile--> index queries --Matching--> rows or groups --> Answer
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Literal, TypeVar

from dsl.analyze import analyze
from dsl.ast import Query
from dsl.bounds import bounds_of
from dsl.compile import compile_predicate
from dsl.cursor import BadCursor, cursor_of, decode, now_of
from dsl.errors import Mistake, QueryError
from dsl.evaluate import matches
from dsl.explain import defaults_of, rewrites_of, take_flag
from dsl.limits import DEFAULT, Limits
from dsl.needed import may_hold
from dsl.parse import parse, read_form
from dsl.printer import query_hash, to_edn, to_json
from dsl.table import empty
from dsl.time import format_instant
from server.answer import Answer
from server.engine.advice import advice_on
from server.engine.asked import Asked, Elsewhere, Partial, out_of_time
from server.engine.explain import checked_of, explained_of
from server.engine.grouping import grouped
from server.engine.marks import is_outdated
from server.engine.matching import Matching
from server.engine.places import in_text
from server.engine.rows import page
from storage.errors import IndexBusy, IndexPanic, QueryTimeout
from storage.index import analyse
from storage.pruning import Within
from storage.queries import all_of
from storage.snapshot import Snapshot
from storage.stop import StepTooLong, Stop, panics_named
from storage.store import Store

Result = TypeVar("Result")


class Engine:
    """Answers queries over a store. Thread-safe.

    Args:
        store: What is asked.
        clock: Microseconds since 1970: what `now` in a query stands for.
        limits: What one query may cost.
        timeout_s: How long one may take that does not say so itself; None is any.
        elsewhere: Who answers those that may take long in one step; None is nobody: they are answered here.

    Attributes:
        store: What is asked.
        limits: What one query may cost.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        limits: Limits = DEFAULT,
        timeout_s: float | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self._elsewhere = elsewhere
        self.store = store
        self._clock = clock
        self.limits = limits

    def now_us(self) -> int:
        """What `now` stands for now, microseconds since 1970."""
        return self._clock()

    def warm_up(self) -> None:
        """Build what the first query would else wait for."""
        parse("{:limit 1}", "edn", limits=self.limits)
        parse("{}", "json", limits=self.limits)

    def query(
        self,
        text: str,
        *,
        syntax: Literal["edn", "json"] = "edn",
        after: str | None = None,
        asked: Asked | None = None,
    ) -> Answer:
        """The answer to a query.

        Args:
            text: The document.
            syntax: How it is written.
            after: A cursor, in place of the document's own.
            asked: What is shared with whoever waits for the answer.

        Raises:
            QueryError: the document has mistakes; all of them.
            UnknownStreams: it names streams that are not there.
            QueryTimeout: it takes too long.
            StoreError: the store cannot answer.
        """
        started = time.perf_counter()
        now_us = self._clock()
        query = parse(text, syntax, limits=self.limits, now_us=now_us)
        if after is not None:
            query = continued(query, after, text)
        with in_text(text, syntax, self.limits, self.store):
            answer = self.ask(query, now_of(query, now_us), asked)
        answer.took_ms = (time.perf_counter() - started) * 1000
        return answer

    def ask(self, query: Query, now_us: int, asked: Asked | None = None) -> Answer:
        """The answer to a query that is read already.

        Args:
            query: Without parameters.
            now_us: What `now` in it stands for.
            asked: What is shared with whoever waits for the answer.

        Raises:
            QueryError, UnknownStream, QueryTimeout, StoreError: as `query`.
        """
        asked = asked or Asked()
        arguments = {"query": query, "now_us": now_us}
        return self._here(lambda: self._answer(query, now_us, asked), "ask", arguments, asked)

    def _here(self, work: Callable[[], Result], name: str, arguments: dict[str, Any], asked: Asked) -> Result:
        """What `work` gives; what this method gives elsewhere where it would take a step that is too long."""
        if self._elsewhere is None:
            with panics_named():
                return work()
        asked.stop.alone_bytes_max = self.limits.held_bytes_max
        try:
            return self._tried(work, self._elsewhere, name, arguments, asked)
        except (IndexBusy, IndexPanic, ValueError):
            # A damaged index, or a fault of ours: where it was damaged, it is left out of the second try.
            if not self.store.is_cleared(asked.stop):
                raise
        return self._tried(work, self._elsewhere, name, arguments, asked)

    @staticmethod
    def _tried(
        work: Callable[[], Result],
        elsewhere: Elsewhere,
        name: str,
        arguments: dict[str, Any],
        asked: Asked,
    ) -> Result:
        try:
            with panics_named():
                return work()
        except StepTooLong:
            found: Result = elsewhere.ask(name, arguments, asked)
            return found

    def _answer(self, query: Query, now_us: int, asked: Asked) -> Answer:
        started = time.perf_counter()
        partial = Partial(query.on_timeout == "partial")
        if partial.wanted:
            asked.fallback = _empty(query, now_us)
        asked.stop.within(self.timeout_s if query.timeout_us is None else query.timeout_us / 1_000_000)
        snapshot = self._snapshot(query, now_us, asked.stop)
        _check_streams(query, snapshot)
        answer = Answer(records=[], now=format_instant(now_us))
        self._fill(query, snapshot, now_us, answer, partial)
        if partial.reason is not None:
            out_of_time(answer, partial.reason)
        reason = snapshot.incomplete
        if reason:
            answer.complete = False
            answer.warnings.append({"code": "incomplete", "message": reason})
        answer.warnings += advice_on(query, _with_records(snapshot), self.store.columns, now_us)
        answer.took_ms = (time.perf_counter() - started) * 1000
        return answer

    def _fill(self, query: Query, snapshot: Snapshot, now_us: int, answer: Answer, partial: Partial) -> None:
        """Work out the rows."""
        try:
            matching = self._matching(query, snapshot, now_us)
        except QueryTimeout as error:
            partial.cut(error)
            matching = None
        if query.grouped:
            grouped(query, matching, now_us, self.limits, answer, partial=partial)
        else:
            page(query, matching, now_us, answer, partial=partial, limits=self.limits)

    def explain(
        self,
        text: str,
        *,
        syntax: Literal["edn", "json"] = "edn",
        after: str | None = None,
        run: bool = False,
        asked: Asked | None = None,
    ) -> dict[str, Any]:
        """How a query is understood and answered, as plain data.

        Args:
            text: The document; it may say `:run` itself.
            syntax: How it is written.
            after: A cursor, in place of the document's own.
            run: Whether to run it too, and say what that took.
            asked: What is shared with whoever waits for the answer.

        Raises:
            QueryError: the document has mistakes; all of them.
            UnknownStreams: it names streams that are not there.
            QueryTimeout: it takes too long.
        """
        asked = asked or Asked()
        arguments = {"text": text, "syntax": syntax, "after": after, "run": run}
        with in_text(text, syntax, self.limits, self.store):
            return self._here(
                lambda: self._explain(text, syntax, after, run, asked), "explain", arguments, asked
            )

    def _explain(
        self, text: str, syntax: Literal["edn", "json"], after: str | None, run: bool, asked: Asked
    ) -> dict[str, Any]:
        now_us = self._clock()
        try:
            form, told = take_flag(read_form(text, syntax, limits=self.limits), "run")
            query = analyze(form, limits=self.limits, now_us=now_us)
        except QueryError as error:
            raise QueryError(error.mistakes, text) from None
        if after is not None:
            query = continued(query, after, text)
        now_us = now_of(query, now_us)
        asked.stop.within(self.timeout_s if query.timeout_us is None else query.timeout_us / 1_000_000)
        snapshot = self._snapshot(query, now_us, asked.stop)
        understood = {
            "query": {
                "edn": to_edn(query),
                "json": to_json(query),
                "kind": "groups" if query.grouped else "rows",
                "hash": query_hash(query),
            },
            "rewritten": [asdict(one) for one in rewrites_of(query, form, syntax)],
            "defaults": defaults_of(query, form),
            "now": format_instant(now_us),
        }
        try:
            _check_streams(query, snapshot)
            explained = explained_of(query, snapshot, self._matching(query, snapshot, now_us), now_us)
            ran = self._ran(query, now_us, asked) if run or told else None
        except QueryError as error:
            raise QueryError(error.mistakes, text) from None
        return {**understood, **explained, "ran": ran}

    def _ran(self, query: Query, now_us: int, asked: Asked) -> dict[str, Any]:
        """What it really took. The answer is thrown away."""
        begun_s = time.perf_counter()
        snapshot = self._snapshot(query, now_us, asked.stop)
        answer = Answer(records=[], now=format_instant(now_us))
        partial = Partial(wanted=True)
        self._fill(query, snapshot, now_us, answer, partial)
        took_s = time.perf_counter() - begun_s
        work = replace(snapshot.work)
        return {
            "complete": partial.reason is None,
            "rows": len(answer.groups.rows()) if answer.groups is not None else len(answer.records),
            "took_ms": round(took_s * 1000, 3),
            "index": {
                "searches": work.searches,
                "aggregations": work.aggregations,
                "took_ms": round(work.index_s * 1000, 3),
            },
            "read": {
                "records": work.fetched,
                "bytes": work.fetched_bytes,
                "took_ms": round(work.fetch_s * 1000, 3),
            },
            **checked_of(query, self._matching(query, snapshot, now_us), now_us),
        }

    def matching(self, query: Query, now_us: int, stop: Stop | None = None) -> Matching | None:
        """The records that a query is about, whatever it wants of them; None where there are none at all.

        Raises:
            UnknownStream: it names a stream that is not there.
        """
        with panics_named():
            return self._matching(query, self._snapshot(query, now_us, stop), now_us)

    def span(self, query: Query) -> tuple[int | None, int | None]:
        """The times of the first and the last record of a query's streams; None where there are none.

        Raises:
            UnknownStream: it names a stream that is not there.
        """
        catalogs = [self.store.catalog(name) for name in self._streams(query)]
        firsts = [one.min_us for one in catalogs if one.min_us is not None]
        lasts = [one.max_us for one in catalogs if one.max_us is not None]
        return min(firsts, default=None), max(lasts, default=None)

    def _snapshot(self, query: Query, now_us: int, stop: Stop | None) -> Snapshot:
        """What is published of the streams and the time that a query is about."""
        bounds = bounds_of(query, now_us)
        within = Within(bounds.low_us, bounds.high_us, bounds.first, bounds.until)
        return self.store.snapshot(self._streams(query), stop, within)

    def _streams(self, query: Query) -> list[str]:
        if query.from_ == "*":
            return [name for name in self.store.stream_names() if query.reads(name)]
        return list(query.from_)

    def _matching(self, query: Query, snapshot: Snapshot, now_us: int) -> Matching | None:
        """What the query is about; None where nothing can be."""
        if snapshot.is_empty or snapshot.queries is None:
            return None
        check = matches(query.where, analyse, now_us)
        upper, lower = compile_predicate(query.where, snapshot.queries, now_us)
        if query.time is None:
            return Matching(
                snapshot,
                upper,
                lower,
                check,
                all_of_time=query.where is None,
                may_hold=may_hold(query.where),
            )
        low_us, high_us = query.time.resolve(now_us)
        within, _ = snapshot.queries.instants(low_us, high_us)
        everything, _ = snapshot.queries.all()
        exact = upper is lower
        upper = within if upper is everything else all_of([within, upper])
        return Matching(
            snapshot,
            upper,
            upper if exact else all_of([within, lower]),
            check,
            all_of_time=query.where is None,
            may_hold=may_hold(query.where),
        )


def _with_records(snapshot: Snapshot) -> list[str]:
    """The streams that have any records, whether the query looks at them or not."""
    return [name for name, catalog in snapshot.catalogs.items() if any(s.records for s in catalog.segments)]


def _empty(query: Query, now_us: int) -> Answer:
    """The answer of a query that had no time to find anything."""
    answer = Answer(records=[], now=format_instant(now_us), groups=empty(query) if query.grouped else None)
    out_of_time(answer, "the query takes longer than it may")
    answer.cursor = query.after
    return answer


def _check_streams(query: Query, snapshot: Snapshot) -> None:
    """A cursor is only for the streams that it came from.

    Raises:
        QueryError: one of them is another now.
    """
    cursor = cursor_of(query)
    if cursor is not None and is_outdated(cursor, query, snapshot):
        hint = "begin again with the first page: what is there now has the same numbers and is something else"
        message = "a stream of the query was made anew since the cursor was given out"
        raise QueryError([Mistake("cursor-of-another-stream", message, *query.span, hint)])


def continued(query: Query, after: str, text: str = "") -> Query:
    """A query from a cursor on.

    Raises:
        QueryError: it is no cursor, or another query's.
    """
    try:
        decode(after, query)
    except BadCursor as error:
        raise QueryError([Mistake(error.code, error.message, 0, 0, error.hint)], text) from error
    return query.model_copy(update={"after": after})
