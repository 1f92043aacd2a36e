"""All that is set, as files: what would change if it were what the files say, all of it or nothing, and back to files.

A file is one document in EDN, and its name is the document's: `rules/checkout-errors.edn`. What the files say is put
into a copy of what is set, in memory, and checked there as a whole, so that a rule may name a channel that comes with
it. Only when nothing is wrong is anything changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dsl.errors import QueryError
from dsl.forms import Form, Keyword, MapForm, VectorForm, print_form, to_plain
from dsl.reader import read
from server.documents import SavedDocuments
from server.errors import RequestError
from server.notify.documents import SavedChannels
from server.plans import File, PartlyApplied, Plan, Step, What
from server.stream_texts import placed
from server.streams import StreamAdmin
from server.variables import substituted
from storage.documents import Change, Document, Documents, check_document_name
from storage.errors import BadSettings, StoreError
from storage.metadata import Metadata
from storage.paths import check_stream_name
from storage.stream_settings import StreamSettings, read_settings, stored_settings

STREAM = "stream"
FILES_MAX = 5000  # in one request: a directory of more is generated, and generators can split it

Factory = Callable[[Metadata, Collection[str]], Mapping[str, SavedDocuments]]
"""Makes the documents of each kind over some metadata, where there are certain streams."""


class Configuration:
    """All that is set.

    Args:
        metadata: Where it is kept.
        saved: The documents of each kind; those that others name come first.
        factory: What makes them of other metadata.
        admin: The streams.
        clock: Microseconds since 1970.
    """

    def __init__(
        self,
        metadata: Metadata,
        saved: Mapping[str, SavedDocuments],
        factory: Factory,
        admin: StreamAdmin,
        clock: Callable[[], int],
    ) -> None:
        self._metadata = metadata
        self._documents = Documents(metadata)
        self._saved = saved
        self._factory = factory
        self._admin = admin
        self._clock = clock

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of which there can be files."""
        return STREAM, *self._saved

    def export(self) -> list[File]:
        """All that is set, as files. What comes with the program is left out."""
        rows = {row.name: row.settings for row in self._metadata.streams()}
        files = [File(STREAM, name, pretty(_form(rows.get(name, {})))) for name in self._admin.names()]
        for kind, saved in self._saved.items():
            for document in self._documents.list(kind):
                text = pretty(saved.exported(document)) if isinstance(saved, SavedChannels) else document.body
                files.append(File(kind, document.name, text))
        return files

    def plan(
        self,
        files: Sequence[File],
        kinds: Iterable[str],
        variables: Mapping[str, str],
        *,
        prune: bool = True,
        delete_streams: bool = False,
    ) -> Plan:
        """What would change if all documents of some kinds were those of the files.

        Args:
            files: What shall be.
            kinds: Those that the files are about; others stay as they are.
            variables: What `${NAME}` stands for in the texts of channels.
            prune: Whether documents without a file go.
            delete_streams: Whether streams without a file go, with all their records.
        """
        plan = Plan()
        kinds = list(kinds)
        wanted = {(one.kind, one.name): one for one in files}
        self._plan_streams(
            plan,
            [one for one in files if one.kind == STREAM],
            gone=delete_streams and STREAM in kinds,
        )
        scratch = _Scratch(self._documents, self._factory, self._streams_after(plan))
        for kind, saved in self._saved.items():
            if kind not in kinds:
                continue
            current = {one.name: one for one in self._documents.list(kind)}
            for name in sorted(current.keys() | {one.name for one in files if one.kind == kind}):
                file = wanted.get((kind, name))
                if file is not None:
                    self._plan_file(plan, scratch, saved, file, before=current.get(name), variables=variables)
                elif prune:
                    self._plan_deletion(plan, scratch, saved, current[name])
        scratch.check(plan, wanted)
        scratch.close()
        return plan

    def _plan_file(
        self,
        plan: Plan,
        scratch: _Scratch,
        saved: SavedDocuments,
        file: File,
        *,
        before: Document | None,
        variables: Mapping[str, str],
    ) -> None:
        try:
            check_document_name(file.kind, file.name)
            form = read(file.text)
            body = file.text.strip()
            if isinstance(saved, SavedChannels):
                body = print_form(saved.given(file.name, substituted(form, variables)))
        except (QueryError, StoreError) as error:
            plan.refuse(file.kind, file.name, error, file.text)
            return
        same = before is not None and (
            before.body == body
            or (isinstance(saved, SavedChannels) and print_form(read(before.body)) == body)
        )
        seen = 0 if before is None else before.version
        if not same:
            plan.changes.append(Change(file.kind, file.name, seen, body))
            scratch.put(file.kind, file.name, body)
        shown_before, shown_after = _shown(saved, before.body if before else None), _shown(saved, body)
        what: What = "none" if same else "create" if before is None else "update"
        hidden = what == "update" and shown_before == shown_after
        plan.steps.append(Step(file.kind, file.name, what, shown_before, shown_after, hidden))

    def _plan_deletion(self, plan: Plan, scratch: _Scratch, saved: SavedDocuments, before: Document) -> None:
        plan.changes.append(Change(before.kind, before.name, before.version, None))
        plan.steps.append(Step(before.kind, before.name, "delete", _shown(saved, before.body), None))
        scratch.delete(before.kind, before.name)

    def _plan_streams(self, plan: Plan, files: Sequence[File], *, gone: bool) -> None:
        rows = {row.name: row.settings for row in self._metadata.streams()}
        there = set(self._admin.names())
        for file in sorted(files, key=lambda one: one.name):
            try:
                check_stream_name(file.name)
                form = read(file.text)
                given = to_plain(form)
                settings = _settings(given, form, file.text)
            except (QueryError, StoreError) as error:
                plan.refuse(STREAM, file.name, error, file.text)
                continue
            exists = file.name in there
            old = rows.get(file.name, {})
            same = exists and stored_settings(file.name, old) == settings
            if not same:
                plan.streams.append((file.name, given))
            what: What = "none" if same else "update" if exists else "create"
            plan.steps.append(
                Step(STREAM, file.name, what, pretty(_form(old)) if exists else None, pretty(_form(given)))
            )
        if gone:
            for name in sorted(there - {one.name for one in files}):
                plan.streams.append((name, None))
                plan.steps.append(Step(STREAM, name, "delete", pretty(_form(rows.get(name, {}))), None))

    def _streams_after(self, plan: Plan) -> set[str]:
        """The streams that there will be; those of the store itself too, which rules may ask about."""
        gone = {name for name, settings in plan.streams if settings is None}
        return {*self._admin.all_names(), *(name for name, _ in plan.streams)} - gone

    async def apply(self, plan: Plan, author: str, run: Callable[[Callable[[], None]], Any]) -> None:
        """Change what a plan says: streams, then all documents at once, and at last what brings streams to an end.

        Args:
            plan: One with nothing wrong.
            author: Who has it done.
            run: Does what waits for the disk, beside the event loop.

        Raises:
            VersionConflict: something was changed since the plan was made. Nothing is changed.
            StoreError, OSError, sqlite3.Error: the disk refuses. Nothing is changed.
            PartlyApplied: either of it, when streams are changed already.
        """
        assert not plan.wrong
        done: list[tuple[str, str]] = []
        try:
            for name, settings in plan.streams:
                if settings is not None:
                    await self._admin.replace(name, settings)
                    done.append((STREAM, name))
            if plan.changes:
                await run(
                    lambda: self._documents.change_all(plan.changes, author=author, now_us=self._clock())
                )
            done += [(change.kind, change.name) for change in plan.changes]
            for kind in {change.kind for change in plan.changes}:
                self._saved[kind].kind.changed()
            for name, settings in plan.streams:  # last: nothing brings a stream back
                if settings is None:
                    await self._admin.delete(name, name)
                    done.append((STREAM, name))
        except (StoreError, RequestError, OSError, sqlite3.Error) as error:
            if not done:
                raise
            raise PartlyApplied(error, done, len(plan.streams) + len(plan.changes)) from error


class _Scratch:
    """What would be set, in memory."""

    def __init__(self, documents: Documents, factory: Factory, streams: Collection[str]) -> None:
        self._metadata = Metadata(Path(":memory:"))
        self._documents = Documents(self._metadata)
        self._saved = factory(self._metadata, streams)
        self._changed: set[tuple[str, str]] = set()
        self._deleted: list[tuple[str, str]] = []
        for kind in self._saved:
            for one in documents.list(kind):
                self._documents.put(kind, one.name, one.body, author="", now_us=0)

    def put(self, kind: str, name: str, body: str) -> None:
        """Have a document, whatever it says."""
        self._documents.put(kind, name, body, author="", now_us=0)
        self._changed.add((kind, name))

    def delete(self, kind: str, name: str) -> None:
        """Have a document no more."""
        self._documents.delete(kind, name, author="", now_us=0)
        self._deleted.append((kind, name))

    def check(self, plan: Plan, wanted: Mapping[tuple[str, str], File]) -> None:
        """Note what is wrong with what would be. What does not change can go wrong by what does."""
        for kind, saved in self._saved.items():
            for document in self._documents.list(kind):
                key = (kind, document.name)
                if key not in self._changed and isinstance(saved, SavedChannels):
                    continue  # which depends on nothing else, and takes a while to check
                file = wanted.get(key)
                try:
                    # The places are those of the file: what was put in for variables keeps them.
                    form = read(file.text) if file else read(document.body)
                    saved.kind.check(document.name, _placed(form, read(document.body)))
                    plan.warnings += [
                        {"kind": kind, "name": document.name, **one} for one in saved.kind.warnings(document)
                    ]
                except QueryError as error:
                    plan.refuse(kind, document.name, error, file.text if file else document.body)
                except RequestError as error:
                    plan.refuse(kind, document.name, error)
        for kind, name in self._deleted:
            try:
                self._saved[kind].kind.refuse_deletion(name)
            except RequestError as error:
                plan.refuse(kind, name, error)

    def close(self) -> None:
        """Forget all."""
        self._metadata.close()


def _placed(places: Form, values: Form) -> Form:
    """The values of one form at the places of another that differs only in strings."""
    one, other = places.value, values.value
    if isinstance(one, MapForm) and isinstance(other, MapForm) and len(one.pairs) == len(other.pairs):
        pairs = tuple(
            (_placed(a, c), _placed(b, d)) for (a, b), (c, d) in zip(one.pairs, other.pairs, strict=True)
        )
        return Form(MapForm(pairs), places.start, places.end)
    if isinstance(one, VectorForm) and isinstance(other, VectorForm) and len(one.items) == len(other.items):
        items = tuple(_placed(a, b) for a, b in zip(one.items, other.items, strict=True))
        return Form(VectorForm(items), places.start, places.end)
    return places if one == other and type(one) is type(other) else Form(other, places.start, places.end)


def pretty(form: Form) -> str:
    """A form as a file has it: of a map each pair on a line of its own."""
    if not isinstance(form.value, MapForm) or not form.value.pairs:
        return print_form(form)
    return "{" + "\n ".join(f"{print_form(key)} {print_form(item)}" for key, item in form.value.pairs) + "}"


def _form(plain: Any) -> Form:
    """Plain data, as settings of streams are, as a form."""
    if isinstance(plain, Mapping):
        return Form(MapForm(tuple((Form(Keyword(str(key))), _form(item)) for key, item in plain.items())))
    assert plain is None or isinstance(plain, str | int | float)
    return Form(plain)


def _shown(saved: SavedDocuments, body: str | None) -> str | None:
    if body is None:
        return None
    if not isinstance(saved, SavedChannels):
        return body
    try:
        return pretty(saved.kind.shown(read(body)))
    except QueryError:
        return None  # it is no channel, and said to be none


def _settings(given: Any, form: Form, text: str) -> StreamSettings:
    """What is set of a stream, its mistakes at their places.

    Raises:
        QueryError: it has some.
    """
    try:
        return read_settings(given)
    except BadSettings as error:
        raise placed(error, form, text) from error
