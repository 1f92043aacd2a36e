"""`/v1/templates/{name}/run`, `/render`, `/schema.json`: what can be done with templates beside saving them.

POST /v1/templates/{name}/run              {"service": "auth"}, or EDN
GET  /v1/templates/{name}/run?service=auth&window=1h
GET  /v1/templates/{name}/run.csv?service=auth
POST /v1/templates/{name}/render           the query with its values, canonical
GET  /v1/templates/{name}/schema.json      of the parameters, for forms
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, ClassVar

import falcon
import falcon.asgi

from dsl.ast import Query
from dsl.cursor import now_in
from dsl.forms import Form, MapForm
from dsl.param_spec import declared
from dsl.printer import query_hash, to_edn, to_form
from dsl.reader import read, read_json
from dsl.template import Template
from dsl.template_values import BadValues, bind_forms, bind_texts
from server.bodies import read_body
from server.documents import SavedDocuments
from server.encode import BY_SUFFIX, choose
from server.encode.base import Encoder
from server.engine import Engine, continued
from server.engine.asked import Asked
from server.errors import RequestError, error_item
from server.parameters import ANY, Parameters
from server.resources.documents import DocumentResource, answer
from server.resources.query import QUERY_BYTES_MAX, decoded, respond, syntax_of
from server.templates import TemplateKind
from server.turns import Turns

AFTER = "after"  # the one name in a URL that is no parameter of the template

Bind = Callable[[Template, int], Query]


@dataclass(frozen=True, slots=True)
class TemplateParts:
    """What the resources of templates are made of."""

    kind: TemplateKind
    saved: SavedDocuments
    engine: Engine
    turns: Turns
    threads: Executor
    clock: Callable[[], int]


class _Resource(DocumentResource):
    """What these resources share."""

    def __init__(self, parts: TemplateParts) -> None:
        super().__init__(parts.saved, parts.threads)
        self.parts = parts

    def template(self, name: str) -> Template:
        """A template by name.

        Raises:
            RequestError: there is none (404).
            QueryError: it is not right any more.
        """
        self.saved.find(name)
        return self.parts.kind.template(name)

    def bound(self, name: str, bind: Bind, now_us: int) -> Query:
        """The query of a template with its values.

        Raises:
            RequestError: there is no such template (404), or its values have mistakes (400), all of them.
        """
        template = self.template(name)
        try:
            return bind(template, now_us)
        except BadValues as error:
            items = [
                {
                    **error_item(mistake.code, mistake.message, mistake.hint),
                    **({} if mistake.param is None else {"parameter": mistake.param}),
                }
                for mistake in error.mistakes
            ]
            first = error.mistakes[0]
            raise RequestError(400, first.code, first.message, first.hint, {"errors": items}) from error


class RunTemplate(_Resource):
    """Runs a template."""

    parameters: ClassVar[Parameters] = {"GET": ANY, "POST": (AFTER,)}

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """With the values of a body."""
        bind = await _of_body(req)
        await self._run(req, resp, name, bind, choose(req.get_header("Accept")))

    async def on_get(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, suffix: str | None = None
    ) -> None:
        """With the values of the URL, which can be kept as a bookmark."""
        encoder = choose(req.get_header("Accept")) if suffix is None else _encoder(suffix)
        await self._run(req, resp, name, _of_url(req), encoder)

    async def _run(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, bind: Bind, encoder: Encoder
    ) -> None:
        after = req.get_param(AFTER)
        asked = Asked()

        def work() -> bytes:
            # A later page keeps the now of the first: its values are the same, as its times are.
            now_us = (now_in(after) if after is not None else None) or self.parts.clock()
            query = self.bound(name, bind, now_us)
            if after is not None:
                query = continued(query, after)
            return encoder.encode(self.parts.engine.ask(query, now_us, asked))

        await respond(req, resp, self.parts.turns, encoder, work, asked)


class RunTemplateAs(RunTemplate):
    """Runs a template, with the format of the answer in the URL."""

    on_post = None  # type: ignore[assignment]  # a body's answer has its format by Accept


class RenderTemplate(_Resource):
    """Shows what would be asked."""

    parameters: ClassVar[Parameters] = {"GET": ANY}

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """The query with the values of a body, its canonical text, and its hash."""
        await self._render(req, resp, name, await _of_body(req))

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """The same with the values of the URL."""
        await self._render(req, resp, name, _of_url(req))

    async def _render(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str, bind: Bind
    ) -> None:
        query = await self.run(lambda: self.bound(name, bind, self.parts.clock()))
        body: dict[str, Any] = {
            "name": name,
            "query": to_form(query),
            "text": to_edn(query),
            "hash": query_hash(query),
        }
        answer(req, resp, body)


class TemplateSchema(_Resource):
    """Says what values a template takes."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """A JSON Schema, draft 2020-12."""
        await self.run(lambda: self.template(name))
        answer(req, resp, await self.run(lambda: self.parts.kind.schema(name)))
        resp.content_type = (
            "application/schema+json" if resp.content_type == falcon.MEDIA_JSON else resp.content_type
        )


def template_routes(parts: TemplateParts) -> tuple[tuple[str, _Resource], ...]:
    """The routes of templates, beside those of all documents."""
    root = "/v1/templates/{name}"
    return (
        (f"{root}/run", RunTemplate(parts)),
        (f"{root}/run.{{suffix}}", RunTemplateAs(parts)),
        (f"{root}/render", RenderTemplate(parts)),
        (f"{root}/schema.json", TemplateSchema(parts)),
    )


def _encoder(suffix: str) -> Encoder:
    found = BY_SUFFIX.get(suffix)
    if found is None:
        known = ", ".join(f".{one}" for one in BY_SUFFIX)
        raise RequestError(406, "not-acceptable", f"no answer can be .{suffix[:20]}", f"there are {known}")
    return found


def _of_url(req: falcon.asgi.Request) -> Bind:
    """What binds the values of a URL."""
    given = {
        key: value if isinstance(value, list) else [value]
        for key, value in req.params.items()
        if key != AFTER
    }
    return lambda template, now_us: bind_texts(template, given, now_us=now_us)


async def _of_body(req: falcon.asgi.Request) -> Bind:
    """What binds the values of a body: a map of names, or of parameters as they stand in the template."""
    syntax = syntax_of(req.content_type or falcon.MEDIA_JSON)
    text = decoded(await read_body(req, QUERY_BYTES_MAX))
    given: dict[str, Form] = {}
    if text.strip():
        form = read(text) if syntax == "edn" else read_json(text)
        if not isinstance(form.value, MapForm):
            raise RequestError(400, "not-a-map", "the values are no map", 'send {"service": "auth"}')
        for key, item in form.value.pairs:
            name = declared(key)
            if name is None or name in given:
                raise RequestError(
                    400,
                    "bad-parameter",
                    "a name in the body is none of a parameter, or stands twice",
                    'send {"service": "auth"} or {:service "auth"}',
                )
            given[name] = item
    return lambda template, now_us: bind_forms(template, given, now_us=now_us)
