"""What editors of queries ask: is it right so far, and what may stand at the cursor. Nothing of a query runs for it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dsl.analysis import name_of
from dsl.analyze import analyze
from dsl.ast import EVERY_STREAM, Query
from dsl.completion import Completion, complete
from dsl.errors import Mistake, QueryError
from dsl.forms import Form, MapForm, print_form
from dsl.parse import Syntax, read_form
from dsl.printer import query_hash, to_edn, to_json
from dsl.scan import query_at
from server.engine import Engine
from server.engine.advice import STREAMS_MAX, names_of, placed_advice_on
from server.engine.asked import Asked
from server.engine.fields import Fields, Wanted
from server.engine.places import unknown_streams
from storage.column_names import ColumnsUnknown
from storage.errors import StoreError, UnknownStream
from storage.stream_columns import Columns

UNNAMED = "unnamed"  # what a document is called that says no name
VALUES_SHOWN = 20  # of a field: one screen of a list
VALUES_WITHIN_S = 1.0  # an editor that waits longer for a suggestion feels stuck
VALUES_KEPT_US = 30_000_000  # every letter asks again, and the most frequent values change slowly
FIELDS_KEPT_MAX = 256  # fields whose values are kept

Check = Callable[[str, Form], Form]


class Editing:
    """Answers editors. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._fields = Fields(engine)
        self._values: OrderedDict[tuple[str, str], tuple[int, list[tuple[Any, int]]]] = OrderedDict()
        self._lock = threading.Lock()

    def validate(self, text: str, *, syntax: Syntax = "edn", unbound: bool = False) -> dict[str, Any]:
        """What is wrong with a text, and what it says where nothing is.

        Args:
            text: Of a query.
            syntax: How it is written.
            unbound: Whether parameters may stand in it.
        """
        limits = self._engine.limits
        now_us = self._engine.now_us()
        try:
            form = read_form(text, syntax, limits=limits)
            query = analyze(form, limits=limits, now_us=now_us, unbound=unbound)
        except QueryError as error:
            error = QueryError(error.mistakes, text)
            return {"valid": False, "errors": _placed(error), "warnings": [], "text": error.render()}
        mistakes = unknown_streams(form, self._engine.store)
        if not mistakes and not unbound:
            found = placed_advice_on(query, self._streams(query), self._engine.store.columns, now_us)
            mistakes = [Mistake(one["code"], one["message"], *span, one["hint"]) for one, span in found]
        return {
            "valid": True,
            "errors": [],
            "warnings": _placed(QueryError(mistakes, text)) if mistakes else [],
            "query": {
                "edn": to_edn(query),
                "json": to_json(query),
                "kind": "groups" if query.grouped else "rows",
                "hash": query_hash(query),
            },
        }

    def validate_document(self, text: str, check: Check, *, syntax: Syntax = "edn") -> dict[str, Any]:
        """What is wrong with a text that is a template or a rule, and its canonical form where nothing is.

        Args:
            text: Of the document.
            check: Gives the canonical form of one by its name, or says what is wrong.
            syntax: How it is written.
        """
        try:
            form = read_form(text, syntax, limits=self._engine.limits)
            document = check(_name_in(form) or UNNAMED, form)
        except QueryError as error:
            error = QueryError(error.mistakes, text)
            return {"valid": False, "errors": _placed(error), "warnings": [], "text": error.render()}
        return {"valid": True, "errors": [], "warnings": [], "document": {"edn": print_form(document)}}

    def complete(
        self, text: str, cursor: int, *, syntax: Syntax = "edn", in_document: bool = False
    ) -> Completion:
        """What may stand at a cursor of a text.

        Args:
            text: Of a query, or of a document that has one.
            cursor: In characters.
            syntax: How it is written.
            in_document: Whether it is a document: then only within its query anything is known.
        """
        if not in_document:
            return complete(text, cursor, self, syntax)
        query = query_at(text, cursor, syntax)
        if query is None:
            return Completion(cursor, cursor, "nothing", ())
        return complete(query, cursor, self, syntax)

    # What `dsl.completion.Source` wants.

    def streams(self) -> Iterable[str]:
        """All streams, by name."""
        return self._engine.store.stream_names()

    def fields(self, streams: Sequence[str]) -> Iterable[tuple[str, str]]:
        """The fields of streams with their kinds."""
        columns = self._columns(streams)
        kinds: dict[str, set[str]] = {}
        for one in columns:
            for name, found in one.kinds.items():
                kinds.setdefault(name, set()).update(found)
        told = {"timestamp": "time", "message": "string", "_stream": "string", "_number": "number"}
        for name in sorted(names_of(columns), key=lambda name: (name not in told, name)):
            yield name, told.get(name) or ", ".join(sorted(kinds.get(name, {"map"})))
        for name in ("_stream", "_number"):
            yield name, told[name]

    def values(self, streams: Sequence[str], field: str) -> Iterable[tuple[Any, int]]:
        """The most frequent values of a field."""
        if field == "_stream":
            return [(name, 0) for name in self.streams()]
        counts: dict[tuple[bool, Any], int] = {}
        for stream in self._existing(streams):
            for value, records in self._values_of(stream, field):
                key = (type(value) is bool, value)
                counts[key] = counts.get(key, 0) + records
        return sorted(((value, count) for (_, value), count in counts.items()), key=lambda pair: -pair[1])

    def _values_of(self, stream: str, field: str) -> list[tuple[Any, int]]:
        now_us = self._engine.now_us()
        with self._lock:
            kept = self._values.get((stream, field))
        if kept is not None and 0 <= now_us - kept[0] <= VALUES_KEPT_US:
            return kept[1]
        asked = Asked()
        query = Query(from_=(stream,), timeout_us=int(VALUES_WITHIN_S * 1_000_000))
        try:
            found = self._fields.of(stream, query, Wanted(VALUES_SHOWN, (field,)), asked)["fields"]
        except StoreError:
            return []
        values = [(each["value"], each["records"]) for one in found for each in one.get("values") or ()]
        with self._lock:
            self._values[stream, field] = (now_us, values)
            while len(self._values) > FIELDS_KEPT_MAX:
                self._values.popitem(last=False)
        return values

    def _columns(self, streams: Sequence[str]) -> list[Columns]:
        found = []
        for stream in self._existing(streams):
            try:
                found.append(self._engine.store.columns.of(stream, self._engine.now_us()))
            except (UnknownStream, OSError, ColumnsUnknown):
                continue  # deleted meanwhile, or being replaced: there is less to offer, and nothing is wrong
        return found

    def _existing(self, streams: Sequence[str]) -> list[str]:
        names = self._engine.store.stream_names()
        if EVERY_STREAM in streams:
            return [name for name in names if not name.startswith("_")][:STREAMS_MAX]
        return [name for name in streams if name in names][:STREAMS_MAX]

    def _streams(self, query: Query) -> list[str]:
        """Those of a query that have records."""
        names = [name for name in self._engine.store.stream_names() if query.reads(name)]
        found = []
        for name in names:
            try:
                catalog = self._engine.store.catalog(name)
            except UnknownStream:
                continue  # deleted since it was listed
            if any(segment.records for segment in catalog.segments):
                found.append(name)
        return found


def _name_in(form: Form) -> str | None:
    """What a document says that it is called."""
    pairs = form.value.pairs if isinstance(form.value, MapForm) else ()
    return next((name_of(item) for key, item in pairs if name_of(key) == "name"), None)


def _placed(error: QueryError) -> list[dict[str, Any]]:
    """Mistakes with their places: line and column from 1, offsets from 0, all in characters."""
    return [
        {**item, "start": mistake.start, "end": mistake.end}
        for item, mistake in zip(error.to_json(), error.mistakes, strict=True)
    ]
