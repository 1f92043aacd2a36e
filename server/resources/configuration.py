"""`POST /v1/apply` and `GET /v1/export`: all that is set at once, as files have it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import falcon
import falcon.asgi
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.bodies import read_body
from server.configuration import FILES_MAX, Configuration
from server.errors import RequestError
from server.plans import File, Plan
from server.resources.documents import author_of

BODY_BYTES_MAX = 32 << 20  # so many files of the size that a query may have, and then some


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str
    name: str = Field(max_length=200)
    text: str


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    files: list[_File] = Field(max_length=FILES_MAX)
    kinds: list[str] | None = None
    variables: dict[str, str] = {}
    prune: bool = Field(default=True, strict=True)
    delete_streams: bool = Field(default=False, strict=True)
    dry_run: bool = Field(default=False, strict=True)


class Applied:
    """Makes what is set what files say."""

    def __init__(self, configuration: Configuration, threads: Executor) -> None:
        self._configuration = configuration
        self._threads = threads
        self._one = asyncio.Lock()

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """What changes; nothing where anything is wrong, or only asked for."""
        author = author_of(req)
        request = self._read(await read_body(req, BODY_BYTES_MAX))
        async with self._one:
            plan = await self._run(lambda: self._plan(request))
            if plan.wrong:
                raise RequestError(
                    400,
                    "bad-files",
                    f"{len(plan.wrong)} of the files cannot be applied, so none is",
                    "see `files` for what is wrong with each",
                    {"files": plan.wrong},
                )
            if not request.dry_run:
                await self._configuration.apply(plan, author, self._run)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps(
            {
                "applied": not request.dry_run,
                "changes": [step.to_json() for step in plan.steps],
                "warnings": plan.warnings,
            }
        )

    def _plan(self, request: _Request) -> Plan:
        files = [File(one.kind, one.name, one.text) for one in request.files]
        kinds = {one.kind for one in files} if request.kinds is None else set(request.kinds)
        return self._configuration.plan(
            files,
            kinds,
            request.variables,
            prune=request.prune,
            delete_streams=request.delete_streams,
        )

    def _read(self, body: bytes) -> _Request:
        try:
            request = _Request.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            message = f"{place}: {first['msg']}" if place else first["msg"]
            raise RequestError(
                400, "bad-body", message, 'send {"files": [{"kind", "name", "text"}]}'
            ) from error
        known = self._configuration.kinds
        keys = [(one.kind, one.name) for one in request.files]
        for kind in {*(kind for kind, _ in keys), *(request.kinds or ())}:
            if kind not in known:
                raise RequestError(
                    400, "bad-body", f"no kind {kind[:40]!r}", f"there are: {', '.join(known)}"
                )
        if len(set(keys)) < len(keys):
            raise RequestError(
                400, "bad-body", "two files have the same kind and name", "leave one of them out"
            )
        return request

    async def _run(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class Exported:
    """All that is set, as files."""

    def __init__(self, configuration: Configuration, threads: Executor) -> None:
        self._configuration = configuration
        self._threads = threads

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Every file."""
        files = await asyncio.get_running_loop().run_in_executor(self._threads, self._configuration.export)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps(
            {
                "kinds": self._configuration.kinds,
                "files": [{"kind": one.kind, "name": one.name, "text": one.text} for one in files],
            }
        )
