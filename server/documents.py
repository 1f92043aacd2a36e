"""Saved documents, such as templates, rules and channels: checked when saved, versioned, some of them built in.

What is kept of a document is EDN: the text as it was sent where that was EDN, with its comments and layout, else what
its JSON says. What one kind of document has to itself is a `Kind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from dsl.errors import Mistake, QueryError
from dsl.forms import Form, print_form
from dsl.nearest import meant
from dsl.parse import Syntax
from dsl.reader import read, read_json
from server.errors import RequestError
from storage.documents import Document, Documents, check_document_name
from storage.times import format_time

BUILT_IN_AUTHOR = "klomp"
BUILT_IN_VERSION = 0  # of what comes with the program: the first that is saved over it has 1


class Kind:
    """What is different between one kind of document and another. Subclasses say it.

    Attributes:
        name: In the singular: `template`. Routes, tables and messages have it.
        built_in: Documents that come with the program, EDN by name; one that is saved under such a name goes before.
    """

    name: ClassVar[str]
    built_in: Mapping[str, str] = {}

    def check(self, name: str, form: Form) -> Form:
        """The document that a form is, in its canonical form.

        Args:
            name: What it will be called.
            form: As read.

        Raises:
            QueryError: everything that is wrong with it.
        """
        raise NotImplementedError

    def shown(self, form: Form) -> Form:
        """A document as others may see it: here all of it, for some without its secrets."""
        return form

    def summary(self, document: Document) -> dict[str, Any]:
        """What a list says of a document beside its name and version."""
        del document
        return {}

    def details(self, document: Document) -> dict[str, Any]:
        """What is told of one document beside itself, such as its state. Values are plain data or forms."""
        return self.summary(document)

    def warnings(self, document: Document) -> list[dict[str, str]]:
        """What is allowed, and probably not meant: each a code, a message and a hint."""
        del document
        return []

    def refuse_deletion(self, name: str) -> None:
        """Raise a RequestError where a document must not be deleted, because others need it."""

    def changed(self) -> None:
        """Something of this kind was saved or deleted."""


class SavedDocuments:
    """The documents of one kind, as requests see them. Thread-safe; every method may wait for the disk.

    Args:
        kind: What they are.
        documents: Where they are kept.
        clock: Microseconds since 1970.
    """

    def __init__(self, kind: Kind, documents: Documents, clock: Callable[[], int]) -> None:
        self.kind = kind
        self._documents = documents
        self._clock = clock

    def find(self, name: str, version: int | None = None) -> Document:
        """A version of a document; the newest, or else the one that is built in, when `version` is None.

        Raises:
            RequestError: there is none (404).
        """
        built_in = self.kind.built_in.get(name)
        found = None if version == BUILT_IN_VERSION else self._documents.get(self.kind.name, name, version)
        if found is not None:
            return found
        if built_in is not None and version in (None, BUILT_IN_VERSION):
            return self._built_in(name, built_in)
        raise self._unknown(name, version)

    def versions(self, name: str) -> dict[str, Any]:
        """The history of a document, the newest version first.

        Raises:
            RequestError: there never was one (404).
        """
        found = self._documents.versions(self.kind.name, name)
        if name in self.kind.built_in:
            found = [*found, self._built_in(name, self.kind.built_in[name])]
        if not found:
            raise self._unknown(name)
        return {"name": name, "versions": [_head(document) for document in found]}

    def describe(self, document: Document) -> dict[str, Any]:
        """A document with what is known of it; `text` is as it was saved, and left out where it has secrets."""
        if document.deleted:
            return _head(document)
        form = read(document.body)
        shown = self.kind.shown(form)
        text = {"text": document.body} if shown is form else {}
        return {**_head(document), **self.kind.details(document), self.kind.name: shown, **text}

    def put(
        self,
        name: str,
        text: str,
        syntax: Syntax,
        *,
        author: str,
        expected: int | None = None,
        create_only: bool = False,
    ) -> tuple[bool, Document]:
        """Check and save a document; whether there was none of its name, and what is saved now.

        Raises:
            QueryError: it has mistakes.
            BadDocumentName, VersionConflict, TooManyDocuments: it cannot be saved so.
        """
        check_document_name(self.kind.name, name)
        form = read(text) if syntax == "edn" else read_json(text)
        try:
            checked = self.kind.check(name, form)
        except QueryError as error:
            raise QueryError(error.mistakes, text) from None
        body = text.strip() if syntax == "edn" else print_form(checked)
        if expected == BUILT_IN_VERSION and name in self.kind.built_in:
            expected, create_only = None, True
        before = self._documents.get(self.kind.name, name)
        document = self._documents.put(
            self.kind.name,
            name,
            body,
            author=author,
            now_us=self._clock(),
            expected=expected,
            create_only=create_only,
        )
        if before is None or document.version != before.version:
            self.kind.changed()
        return before is None, document

    def restore(self, name: str, version: int, *, author: str, expected: int | None = None) -> Document:
        """Save an old version again, as the newest.

        Raises:
            RequestError: there is no such version (404), or it is a deletion (400).
            QueryError: it has mistakes by what is known now.
        """
        old = self.find(name, version)
        if old.deleted:
            raise RequestError(
                400,
                "bad-version",
                f"version {version} of {name!r} is its deletion",
                f"see /v1/{self.kind.name}s/{name}/versions for the others",
            )
        _, document = self.put(name, old.body, "edn", author=author, expected=expected)
        return document

    def delete(self, name: str, *, author: str, expected: int | None = None) -> dict[str, Any]:
        """Delete a document; its versions stay.

        Raises:
            RequestError: there is none (404), it is built in (400), or others need it.
            VersionConflict: it has another version.
        """
        document = self.find(name)
        if document.version == BUILT_IN_VERSION:
            raise RequestError(
                400,
                "built-in",
                f"the {self.kind.name} {name!r} is built in",
                "save one of your own under its name, and it is no longer seen",
            )
        self.kind.refuse_deletion(name)
        if not self._documents.delete(
            self.kind.name, name, author=author, now_us=self._clock(), expected=expected
        ):
            raise self._unknown(name)
        self.kind.changed()
        return {"name": name, "deleted": True, "version": document.version + 1}

    def names(self) -> list[str]:
        """The names of all of them."""
        return sorted({*self.kind.built_in, *(one.name for one in self._documents.list(self.kind.name))})

    def _built_in(self, name: str, text: str) -> Document:
        return Document(self.kind.name, name, BUILT_IN_VERSION, text, BUILT_IN_AUTHOR, 0, deleted=False)

    def _unknown(self, name: str, version: int | None = None) -> RequestError:
        kind = self.kind.name
        if version is not None and self._documents.versions(kind, name):
            hint = f"see /v1/{kind}s/{name}/versions"
            return RequestError(404, "unknown-version", f"no version {version} of the {kind} {name!r}", hint)
        hint = meant(name, self.names()) or f"see /v1/{kind}s for what there is"
        return RequestError(404, "unknown-document", f"no {kind} {name!r}", hint)

    def list(self) -> dict[str, Any]:
        """All of them, by name, each without what it says."""
        found = {name: self._built_in(name, text) for name, text in self.kind.built_in.items()}
        found |= {one.name: one for one in self._documents.list(self.kind.name)}
        return {
            f"{self.kind.name}s": [
                {**_head(document), **self.kind.summary(document)} for _, document in sorted(found.items())
            ]
        }


def body_mistake(code: str, message: str, form: Form, hint: str | None = None) -> QueryError:
    """One mistake at a form."""
    return QueryError([Mistake(code, message, form.start, form.end, hint)])


def _head(document: Document) -> dict[str, Any]:
    built_in = document.version == BUILT_IN_VERSION
    head: dict[str, Any] = {
        "name": document.name,
        "version": document.version,
        "author": document.author,
        "saved": None if built_in else format_time(document.saved_us),
    }
    if built_in:
        head["builtin"] = True
    if document.deleted:
        head["deleted"] = True
    return head
