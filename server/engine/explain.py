"""How a query is answered, said before anything runs: what is read, what the index answers, what that costs.

Everything here is plain data for `POST /v1/explain`; its shape is written down in `docs/explain.md`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tantivy import Query as IndexQuery

from dsl.aggregates.count_distinct import CountDistinct
from dsl.aggregates.ends import End
from dsl.aggregates.median import Median
from dsl.aggregates.percentile import Percentile
from dsl.ast import Query
from dsl.bounds import Bounds, bounds_of
from dsl.compile import compile_predicate
from dsl.evaluate import matches
from dsl.explain import Step, steps_of
from dsl.record import TIMESTAMP
from dsl.time import format_instant
from server.engine.columns import NotNative, column
from server.engine.groups import why_not
from server.engine.matching import Matching
from storage.catalog import SegmentEntry
from storage.errors import QueryTimeout
from storage.format import FRAME_RAW_BYTES_TARGET
from storage.index import analyse
from storage.pruning import holds_numbers, overlaps
from storage.queries import all_of
from storage.snapshot import Snapshot
from storage.store import segment_summary

SEGMENTS_LISTED_MAX = 1000  # the newest; all are counted
ESTIMATE_S = 0.2  # spent on counting before anything runs; what was not counted by then is left open
# What a class of cost stands for: about 10 us for a record that is read, 20 ns for one that the index only passes.
CHEAP_READ_MAX, MODERATE_READ_MAX = 10_000, 500_000
CHEAP_PASSED_MAX, MODERATE_PASSED_MAX = 5_000_000, 250_000_000


@dataclass(frozen=True, slots=True)
class Known:
    """How many records there may be: at least, at most, and whether anybody counted."""

    least: int
    most: int
    counted: bool

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"least": self.least, "most": self.most, "counted": self.counted}


class Counter:
    """Counts what matches, for as long as that is cheap.

    Args:
        snapshot: What is asked.
        within: Which records count at all; None is all.
        until_s: When counting ends, on `time.perf_counter`.
    """

    def __init__(self, snapshot: Snapshot, within: IndexQuery | None, until_s: float) -> None:
        self._snapshot = snapshot
        self._within = within
        self._until_s = until_s

    def of(self, upper: IndexQuery, lower: IndexQuery) -> Known:
        """How many records match a pair."""
        most = self._count(upper)
        if most is None:
            return Known(0, self._snapshot.records, counted=False)
        least = most if upper is lower else self._count(lower)
        return Known(least or 0, most, counted=least is not None)

    def _count(self, query: IndexQuery) -> int | None:
        if time.perf_counter() > self._until_s:
            return None
        return self._snapshot.count(query if self._within is None else all_of([self._within, query]))


def segments_of(snapshot: Snapshot, bounds: Bounds) -> dict[str, Any]:
    """Every segment: taken, or skipped and why."""
    listed = []
    taken, taken_records = 0, 0
    for stream, catalog in sorted(snapshot.catalogs.items()):
        for entry in catalog.segments:
            why = _skipped(entry, bounds)
            taken += why is None
            taken_records += entry.records if why is None else 0
            listed.append(_segment(stream, entry, why))
    listed.sort(
        key=lambda segment: (segment["last_time"] or "", segment["stream"], segment["first"]), reverse=True
    )
    return {
        "taken": taken,
        "skipped": len(listed) - taken,
        "taken_records": taken_records,
        "list": listed[:SEGMENTS_LISTED_MAX],
    }


def _skipped(entry: SegmentEntry, bounds: Bounds) -> str | None:
    """Why nothing of a segment can match; None where something may."""
    if entry.rebuilding:
        return "its index is being made anew: its records cannot be found yet"
    if entry.min_us is None or entry.max_us is None:
        return "nothing of it is indexed yet"
    if not overlaps(entry, bounds.low_us, bounds.high_us):
        if bounds.low_us is not None and entry.max_us < bounds.low_us:
            return "it ends before the time asked for"
        return "it begins after the time asked for"
    if not holds_numbers(entry, bounds.first, bounds.until):
        return "it has other numbers than those asked for"
    return None


def _segment(stream: str, entry: SegmentEntry, why: str | None) -> dict[str, Any]:
    return {
        "stream": stream,
        **segment_summary(entry),
        "taken": why is None,
        "because": why or "it may hold records that match",
    }


def condition_of(step: Step, counter: Counter) -> dict[str, Any]:
    """A condition and those in it, each with who answers it and how many records match."""
    known = counter.of(*step.pair)
    parts = [condition_of(part, counter) for part in step.parts]
    return {
        "form": step.text,
        "operator": step.node.op,
        "does": step.summary,
        "answered": "index" if step.exact else "checked",
        "matches": known.to_json(),
        "parts": parts,
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is carried out.

    Attributes:
        steps: What is done, in order, each with the records it is done to, at most.
        passed: Records that the index passes without reading them.
        read_least: Records that are read from the data, at least.
        read_most: And at most.
        in_order: Whether those lie one beside another.
    """

    steps: tuple[tuple[str, int], ...]
    passed: int
    read_least: int
    read_most: int
    in_order: bool


def plan_of(query: Query, matching: Matching | None, known: Known, now_us: int) -> Plan:
    """What will be done, as the engine decides it."""
    if matching is None or not known.most:
        return Plan((("nothing can match: nothing is done", 0),), 0, 0, 0, in_order=True)
    if query.grouped:
        return _plan_groups(query, matching, known, now_us)
    assert query.limit is not None
    steps: list[tuple[str, int]] = []
    by_time = len(query.order_by) == 1 and query.order_by[0].name == TIMESTAMP
    wanted = min(query.limit + 1, known.most) if query.limit else 0
    if by_time:
        first = "newest" if query.order_by[0].direction == "desc" else "oldest"
        least, most = (wanted, wanted) if matching.exact else (min(wanted, known.most), known.most)
        if wanted and matching.exact:
            steps.append((f"the index gives the {first} that match, and they are read", wanted))
        elif wanted:
            text = f"the index gives candidates, the {first} first; each is read and checked until the page is full"
            steps.append((text, known.most))
        else:
            least = most = 0
    else:
        least, most = known.most, known.most
        if matching.exact and len(query.order_by) == 1 and _has_column(query.order_by[0].name):
            least = wanted
            text = "the column says beyond which number the page lies; what is there is read and sorted"
            steps.append((f"{text}; all that match, where it holds other things than numbers", known.most))
        else:
            check = "" if matching.exact else " and checked"
            steps.append((f"all that match are read{check}, and the first of them kept", known.most))
    if query.total:
        if matching.exact:
            steps.append(("the index counts all that match", known.most))
        else:
            between = known.most - known.least
            steps.append(("what the index cannot decide is read and checked, to be counted", between))
            least, most = least + between, most + between
    return Plan(tuple(steps), known.most, least, most, in_order=by_time and matching.exact)


def _plan_groups(query: Query, matching: Matching, known: Known, now_us: int) -> Plan:
    why = _why_read(query, matching, now_us)
    count = len(query.aggregate or ())
    if why is None:
        text = "the index groups by its columns, and works out the aggregates; nothing is read"
        sketched = [call.op for _, call in query.measured if isinstance(call, Percentile | Median)]
        if sketched:
            text += f", unless numbers are too far apart for its estimate of :{sketched[0]}"
        return Plan(((text, known.most),), known.most * max(count, 1), 0, 0, in_order=True)
    text = f"all that match are read{'' if matching.exact else ' and checked'}, and grouped one by one: {why}"
    return Plan(((text, known.most),), known.most, known.most, known.most, in_order=False)


def _why_read(query: Query, matching: Matching, now_us: int) -> str | None:
    """Why the index cannot group by itself; None where it can, as far as that is known before."""
    if not matching.exact:
        return "the index cannot decide the condition alone"
    snapshot = matching.snapshot
    assert snapshot.queries is not None
    for name, call in query.measured:
        if call.where is not None:
            upper, lower = compile_predicate(call.where, snapshot.queries, now_us)
            if upper is not lower:
                return f"the index cannot decide the condition of :{name} alone"
        if call.approximation and query.exact and not isinstance(call, CountDistinct):
            return f"the index only estimates :{call.op}, and the query wants it exact"
        if isinstance(call, End) and len(snapshot.catalogs) != 1:
            return f"the index cannot tell which record of several streams :{call.op} is of"
    return why_not(query)


def _has_column(name: str) -> bool:
    try:
        column(name)
    except NotNative:
        return False
    return True


def cost_of(plan: Plan, taken: list[SegmentEntry]) -> dict[str, Any]:
    """What that costs, about: in records, bytes and blocks, and as a word."""
    records = sum(entry.records for entry in taken)
    size = sum(entry.raw_bytes for entry in taken)
    each = size / records if records else 0.0
    blocks = -(-size // FRAME_RAW_BYTES_TARGET)
    read = plan.read_most
    together = -(-int(read * each) // FRAME_RAW_BYTES_TARGET) + 1 if read else 0
    touched = min(blocks, together if plan.in_order else read)
    return {
        "class": _class(plan),
        "index_records": plan.passed,
        "read_records": {"least": plan.read_least, "most": read},
        "read_bytes": int(read * each),
        "blocks": int(touched),
    }


def _class(plan: Plan) -> str:
    if plan.read_most <= CHEAP_READ_MAX and plan.passed <= CHEAP_PASSED_MAX:
        return "cheap"
    if plan.read_most <= MODERATE_READ_MAX and plan.passed <= MODERATE_PASSED_MAX:
        return "moderate"
    return "expensive"


def taken_of(snapshot: Snapshot, bounds: Bounds) -> list[SegmentEntry]:
    """The segments that may hold something."""
    return [
        entry
        for catalog in snapshot.catalogs.values()
        for entry in catalog.segments
        if _skipped(entry, bounds) is None
    ]


def time_of(query: Query, now_us: int) -> dict[str, Any]:
    """The range of time in absolute terms; null is an open end."""
    low_us, high_us = (None, None) if query.time is None else query.time.resolve(now_us)
    return {
        "since": None if low_us is None else format_instant(low_us),
        "until": None if high_us is None else format_instant(high_us),
    }


def explained_of(query: Query, snapshot: Snapshot, matching: Matching | None, now_us: int) -> dict[str, Any]:
    """Streams, segments, conditions, steps and cost."""
    bounds = bounds_of(query, now_us)
    until_s = time.perf_counter() + ESTIMATE_S
    tree = _tree_of(query, snapshot, now_us)
    known = Known(0, 0, counted=True)
    condition = None
    if matching is not None:
        known = Counter(snapshot, None, until_s).of(matching.upper, matching.lower)
    if tree is not None and snapshot.queries is not None:
        within = None if query.time is None else snapshot.queries.instants(*query.time.resolve(now_us))[0]
        condition = condition_of(tree, Counter(snapshot, within, until_s))
    plan = plan_of(query, matching, known, now_us)
    return {
        "time": time_of(query, now_us),
        "streams": {name: catalog.records for name, catalog in sorted(snapshot.catalogs.items())},
        "segments": segments_of(snapshot, bounds),
        "condition": condition,
        "matches": known.to_json(),
        "steps": [{"step": text, "records": records} for text, records in plan.steps],
        "cost": cost_of(plan, taken_of(snapshot, bounds)),
        "incomplete": snapshot.incomplete,
    }


def _tree_of(query: Query, snapshot: Snapshot, now_us: int) -> Step | None:
    if query.where is None or snapshot.queries is None:
        return None
    return steps_of(query.where, snapshot.queries, now_us)


def checked_of(query: Query, matching: Matching | None, now_us: int) -> dict[str, Any]:
    """How many records match, and of the candidates how many satisfy each condition that the index cannot decide.

    Candidates are read until time is up; `matching` is null where not all of them were.
    """
    if matching is None:
        return {"matching": 0, "checked": []}
    tree = _tree_of(query, matching.snapshot, now_us)
    doubtful = [] if tree is None else [step for step in tree.walk() if not step.exact]
    try:
        if tree is None or tree.exact:
            return {"matching": matching.count(), "checked": []}
    except QueryTimeout:
        return {"matching": None, "checked": []}
    tests = [matches(step.node, analyse, now_us) for step in doubtful]
    held = [0] * len(tests)
    read, whole = 0, True
    try:
        for record in matching.candidates():
            read += 1
            for place, test in enumerate(tests):
                held[place] += test(record)
    except QueryTimeout:
        whole = False
    checked = [{"form": step.text, "held": one, "of": read} for step, one in zip(doubtful, held, strict=True)]
    return {"matching": held[0] if whole else None, "checked": checked}
