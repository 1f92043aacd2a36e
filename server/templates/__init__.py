"""Saved query templates: those in the metadata, and those that come with the program in `builtin/*.edn`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from dsl.errors import QueryError
from dsl.forms import Form, print_form
from dsl.limits import DEFAULT, Limits
from dsl.param_spec import plain
from dsl.reader import read
from dsl.template import Template, read_template
from server.documents import Kind
from server.errors import RequestError
from storage.documents import Document, Documents

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@cache
def built_in_templates() -> Mapping[str, str]:
    """The texts of the built-in templates by name."""
    folder = resources.files("server.templates") / "builtin"
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(".edn"))
    return {name.removesuffix(".edn"): (folder / name).read_text(encoding="utf-8").strip() for name in found}


class TemplateKind(Kind):
    """What is particular about templates. Thread-safe.

    Args:
        documents: Where they are kept.
        clock: Microseconds since 1970.
        limits: What a query may cost.
    """

    name = "template"

    def __init__(self, documents: Documents, clock: Callable[[], int], limits: Limits = DEFAULT) -> None:
        self.built_in = built_in_templates()
        self._documents = documents
        self._clock = clock
        self._limits = limits
        self._kept: dict[
            str, tuple[str, int, Template]
        ] = {}  # what was read, of which text, at which generation

    def check(self, name: str, form: Form) -> Form:
        """The template, once it and all that use it are right.

        Raises:
            QueryError: it has mistakes.
            RequestError: `template-in-use` (409), because another that uses it would be wrong.
        """
        template = self._read(form, name, {})
        for user in self._users(name):
            text = self._text(user)
            assert text is not None
            try:
                self._read(read(text), user, {name: form})
            except QueryError as error:
                if self._is_right(user):
                    raise RequestError(
                        409,
                        "template-in-use",
                        f"the template {user!r} uses this, and would be wrong: {error.mistakes[0].message}",
                        f"change {user!r} first, or save this under another name",
                    ) from error
        return template.own

    def template(self, name: str, text: str | None = None) -> Template:
        """A template by its name, or of a text that was saved under it.

        Raises:
            QueryError: it is not right any more.
        """
        if text is not None:
            return self._of_text(name, text)
        text = self._text(name)
        assert text is not None
        generation = self._documents.generation(self.name)
        kept = self._kept.get(name)
        if kept is not None and kept[0] == text:
            _, then, template = kept
            if then == generation or not template.uses:  # those that it uses may have changed since
                return template
        template = self._of_text(name, text)
        self._kept[name] = (text, generation, template)
        return template

    def summary(self, document: Document) -> dict[str, Any]:
        """What it is for, and its parameters."""
        try:
            template = self._of(document)
        except (
            QueryError
        ) as error:  # right when it was saved; a newer program or another template made it wrong
            return {"doc": "", "params": [], "mistake": error.mistakes[0].message}
        params = [
            {
                "name": spec.name,
                "type": print_form(spec.type.form()),
                "required": spec.required,
                **({} if spec.default is None else {"default": plain(spec.default)}),
                **({"doc": spec.doc} if spec.doc else {}),
            }
            for spec in template.params
        ]
        uses = {"uses": list(template.uses)} if template.uses else {}
        return {"doc": template.doc, "params": params, **uses}

    def changed(self) -> None:
        """Forget what is no more."""
        living = {document.name for document in self._documents.list(self.name)} | set(self.built_in)
        self._kept = {name: kept for name, kept in list(self._kept.items()) if name in living}

    def refuse_deletion(self, name: str) -> None:
        """Nobody's base is taken away.

        Raises:
            RequestError: `template-in-use` (409).
        """
        users = self._users(name)
        if users and name not in self.built_in:
            raise RequestError(
                409,
                "template-in-use",
                f"the template {name!r} is used by {', '.join(map(repr, users))}",
                "delete those first, or save them without :use",
            )

    def schema(self, name: str) -> dict[str, Any]:
        """A JSON Schema of the parameters of a template, for forms.

        Raises:
            QueryError: it is not right any more.
        """
        template = self.template(name)
        return {
            "$schema": DRAFT,
            "title": name,
            "description": template.doc,
            "type": "object",
            "properties": {spec.name: spec.schema() for spec in template.params},
            "required": [spec.name for spec in template.params if spec.required],
            "additionalProperties": False,
        }

    def _of_text(self, name: str, text: str) -> Template:
        try:
            return self._read(read(text), name, {})
        except QueryError as error:
            raise QueryError(error.mistakes, text) from None

    def _of(self, document: Document) -> Template:
        newest = self._text(document.name)
        return self.template(document.name, None if newest == document.body else document.body)

    def _read(self, form: Form, name: str, instead: Mapping[str, Form]) -> Template:
        def find(wanted: str) -> Form | None:
            if wanted in instead:
                return instead[wanted]
            text = self._text(wanted)
            return None if text is None else read(text)

        return read_template(form, name=name, find=find, limits=self._limits, now_us=self._clock())

    def _text(self, name: str) -> str | None:
        document = self._documents.get(self.name, name)
        return self.built_in.get(name) if document is None else document.body

    def _users(self, name: str) -> list[str]:
        """The saved templates that go on from another, at any distance."""
        users = []
        for document in self._documents.list(self.name):
            if document.name != name and ":use" in document.body.replace('"use"', ":use"):
                try:
                    if name in self.template(document.name).uses:
                        users.append(document.name)
                except QueryError:
                    continue
        return users

    def _is_right(self, name: str) -> bool:
        try:
            self.template(name)
        except QueryError:
            return False
        return True
