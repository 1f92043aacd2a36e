"""`/v1/templates`, `/v1/rules`, …: saved documents over HTTP, one set of resources for every kind.

    GET    /v1/templates                      all, without what they say
    GET    /v1/templates/{name}               one; ?version=3 an old one; its version is the ETag
    PUT    /v1/templates/{name}               save it: EDN or JSON; If-Match, If-None-Match: *
    DELETE /v1/templates/{name}
    GET    /v1/templates/{name}/versions
    POST   /v1/templates/{name}/restore       {"version": 3}

HTTP's conditions are those of RFC 9110, 13.1.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

import falcon
import falcon.asgi
import orjson

from dsl.forms import Form, MapForm, print_form, to_plain
from dsl.printer import form_to_json
from dsl.reader import read, read_json
from server.bodies import read_body
from server.documents import SavedDocuments
from server.encode import choose_data, edn
from server.errors import RequestError
from server.parameters import Parameters
from server.resources.query import QUERY_BYTES_MAX, decoded, syntax_of
from storage.documents import Document

AUTHOR_HEADER = "X-Klomp-Author"
AUTHOR_CHARACTERS_MAX = 100  # a name or an address
ANONYMOUS = "anonymous"
ANY_VERSION = -1  # what `If-Match: *` expects

_ETAG = re.compile(r'(?:W/)?"?([0-9]{1,18})"?')

T = TypeVar("T")


class DocumentResource:
    """What the resources of documents share: work in threads, JSON or EDN by Accept."""

    def __init__(self, saved: SavedDocuments, threads: Executor) -> None:
        self.saved = saved
        self._threads = threads

    async def run(self, work: Callable[[], T]) -> T:
        """Do what may wait, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class DocumentList(DocumentResource):
    """Lists the documents of a kind."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """All, by name."""
        answer(req, resp, await self.run(self.saved.list))


class OneDocument(DocumentResource):
    """One document."""

    parameters: ClassVar[Parameters] = {"GET": ("version",)}

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """What it says. Never 304: how a rule or a channel stands changes without a new version."""
        version = _version_parameter(req)
        document = await self.run(lambda: self.saved.find(name, version))
        _tag(resp, document)
        answer(req, resp, await self.run(lambda: self.saved.describe(document)))

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Save it; 201 when there was none."""
        syntax = syntax_of(req.content_type)
        author, expected = author_of(req), _expected(req)
        create_only = (req.get_header("If-None-Match") or "").strip() == "*"
        text = decoded(await read_body(req, QUERY_BYTES_MAX))
        if expected == ANY_VERSION:
            expected = (await self.run(lambda: self.saved.find(name))).version
        created, document = await self.run(
            lambda: self.saved.put(
                name, text, syntax, author=author, expected=expected, create_only=create_only
            )
        )
        resp.status = falcon.HTTP_201 if created else falcon.HTTP_200
        _tag(resp, document)
        answer(req, resp, await self.run(lambda: self.saved.describe(document)))

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Delete it; its versions stay."""
        author, expected = author_of(req), _expected(req)
        wanted = None if expected == ANY_VERSION else expected
        answer(req, resp, await self.run(lambda: self.saved.delete(name, author=author, expected=wanted)))


class DocumentVersions(DocumentResource):
    """The history of one document."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """The newest version first."""
        answer(req, resp, await self.run(lambda: self.saved.versions(name)))


class RestoredDocument(DocumentResource):
    """Brings an old version back."""

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        """Save it again, as the newest."""
        author, expected = author_of(req), _expected(req)
        wanted = None if expected == ANY_VERSION else expected
        given = await plain_map(req)
        version = given.get("version")
        if set(given) != {"version"} or isinstance(version, bool) or not isinstance(version, int):
            raise RequestError(400, "bad-version", "the body says not which version", 'send {"version": 3}')
        document = await self.run(lambda: self.saved.restore(name, version, author=author, expected=wanted))
        _tag(resp, document)
        answer(req, resp, await self.run(lambda: self.saved.describe(document)))


def document_routes(saved: SavedDocuments, threads: Executor) -> tuple[tuple[str, DocumentResource], ...]:
    """The routes of a kind of document."""
    root = f"/v1/{saved.kind.name}s"
    return (
        (root, DocumentList(saved, threads)),
        (f"{root}/{{name}}", OneDocument(saved, threads)),
        (f"{root}/{{name}}/versions", DocumentVersions(saved, threads)),
        (f"{root}/{{name}}/restore", RestoredDocument(saved, threads)),
    )


def author_of(req: falcon.asgi.Request) -> str:
    """Who asks, as they say.

    Raises:
        RequestError: `bad-author` (400).
    """
    author = (req.get_header(AUTHOR_HEADER) or ANONYMOUS).strip()
    with suppress(UnicodeError):  # headers come as latin-1; what is none of UTF-8 was meant so
        author = author.encode("latin-1").decode()
    if len(author) > AUTHOR_CHARACTERS_MAX or not author.isprintable():
        raise RequestError(
            400,
            "bad-author",
            f"{AUTHOR_HEADER} is no name",
            f"send at most {AUTHOR_CHARACTERS_MAX} characters that can be shown",
        )
    return author


def answer(req: falcon.asgi.Request, resp: falcon.asgi.Response, body: dict[str, Any]) -> None:
    """Answer with plain data, in which forms may stand; JSON or EDN, as the caller accepts.

    Raises:
        RequestError: `not-acceptable` (406).
    """
    encoder = choose_data(req.get_header("Accept"))
    resp.content_type = encoder.media_type
    if encoder is edn.EDN:
        resp.data = _written(body).encode()
    else:
        resp.data = orjson.dumps(body, default=form_to_json, option=orjson.OPT_PASSTHROUGH_DATACLASS)


async def plain_map(req: falcon.asgi.Request) -> dict[str, Any]:
    """The map that a small body is, JSON or EDN, as plain data; no body is an empty one.

    Raises:
        RequestError: it is no map (400).
        QueryError: it cannot be read.
    """
    syntax = syntax_of(req.content_type or falcon.MEDIA_JSON)
    text = decoded(await read_body(req, QUERY_BYTES_MAX))
    if not text.strip():
        return {}
    form = read(text) if syntax == "edn" else read_json(text)
    if not isinstance(form.value, MapForm):
        raise RequestError(400, "not-a-map", "the body is no map", 'send {"name": "value"}')
    plain = to_plain(form)
    assert isinstance(plain, dict)
    return plain


def _written(value: Any) -> str:
    if isinstance(value, Form):
        return print_form(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{edn.name(key)} {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + " ".join(map(_written, value)) + "]"
    return edn.write(value)


def _tag(resp: falcon.asgi.Response, document: Document) -> None:
    resp.etag = str(document.version)


def _etag(header: str | None) -> int | None:
    match = _ETAG.fullmatch((header or "").strip())
    return int(match[1]) if match else None


def _expected(req: falcon.asgi.Request) -> int | None:
    """The version that If-Match asks for, or ANY_VERSION, or None.

    Raises:
        RequestError: `bad-version` (400).
    """
    header = (req.get_header("If-Match") or "").strip()
    if not header:
        return None
    if header == "*":
        return ANY_VERSION
    version = _etag(header)
    if version is None:
        raise RequestError(
            400,
            "bad-version",
            f"If-Match is {header[:40]!r}, which is no version",
            'send the ETag, such as "3"',
        )
    return version


def _version_parameter(req: falcon.asgi.Request) -> int | None:
    given = req.get_param("version")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise RequestError(400, "bad-parameter", f"version is {given[:40]!r}", "use ?version=3")
    return int(given)
