"""Errors as answers, `{"errors": [{"code", "message", "hint"}]}`: one map from what went wrong to a status."""

from __future__ import annotations

import errno
import logging
import sqlite3
from typing import Any

import falcon
import falcon.asgi
import orjson

from dsl.errors import QueryError
from storage import errors as store

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
METADATA_HINT = "make room on the disk; a file that is damaged is set aside when klomp is started again"


class RequestError(Exception):
    """A request that cannot be served as it is.

    Attributes:
        status: The HTTP status.
        code: Stable name of the mistake.
        message: What is wrong.
        hint: The way out.
        body: More for the answer's body, beside `errors`.
    """

    def __init__(
        self, status: int, code: str, message: str, hint: str = "", body: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.body = body or {}


_STATUS: tuple[tuple[type[store.StoreError], int], ...] = (
    (store.BadStreamName, 400),
    (store.BadSettings, 400),
    (store.UnknownStream, 404),
    (store.TooManyStreams, 422),
    (store.BadDocumentName, 400),
    (store.VersionConflict, 412),
    (store.TooManyDocuments, 422),
    (store.ResultTooLarge, 400),
    (store.KeyReused, 422),
    (store.DiskNearlyFull, 507),
    (store.LogClosed, 503),
    (store.QueryTimeout, 504),
    (store.QueryAbandoned, 499),
    (store.IndexBusy, 503),
    (store.LogUnwritable, 503),
    (store.MetadataUnwritable, 503),
    (store.StoreError, 500),
)


def error_item(code: str, message: str, hint: str = "") -> dict[str, Any]:
    """One entry of `errors`."""
    item = {"code": code, "message": message}
    if hint:
        item["hint"] = hint
    return item


def status_of(error: store.StoreError) -> int:
    """The HTTP status that a failure of the store has."""
    if isinstance(error, store.LogUnwritable) and error.out_of_space:
        return 507
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def _answer(resp: falcon.asgi.Response, status: int, body: dict[str, Any]) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(body)
    if status == 503:
        resp.set_header("Retry-After", str(RETRY_AFTER_S))


async def _on_request_error(
    _req: falcon.asgi.Request, resp: falcon.asgi.Response, error: RequestError, _params: dict[str, Any]
) -> None:
    _answer(resp, error.status, {"errors": [error_item(error.code, error.message, error.hint)], **error.body})


async def _on_store_error(
    _req: falcon.asgi.Request, resp: falcon.asgi.Response, error: store.StoreError, _params: dict[str, Any]
) -> None:
    status = status_of(error)
    # A full disk is logged once, when it begins; a query that takes too long is no fault of the server.
    if status >= 500 and not isinstance(error, store.DiskNearlyFull | store.QueryTimeout):
        log.error(
            "%s: %s",
            error.code,
            error.message,
            exc_info=error if isinstance(error, store.IndexPanic) else None,
        )
    mistakes = (error, *error.others) if isinstance(error, store.BadSettings) else (error,)
    _answer(resp, status, {"errors": [error_item(one.code, one.message, one.hint) for one in mistakes]})


async def _on_os_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: OSError, params: dict[str, Any]
) -> None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
        await _on_store_error(req, resp, store.unwritable(error), params)
    else:
        await _on_bug(req, resp, error, params)


async def _on_metadata_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: sqlite3.DatabaseError, params: dict[str, Any]
) -> None:
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        await _on_bug(req, resp, error, params)
        return
    problem = store.MetadataUnwritable(f"klomp.db cannot be used: {error}", METADATA_HINT)
    await _on_store_error(req, resp, problem, params)


async def _on_query_error(
    _req: falcon.asgi.Request, resp: falcon.asgi.Response, error: QueryError, _params: dict[str, Any]
) -> None:
    body: dict[str, Any] = {"errors": error.to_json(), "text": error.render()}
    _answer(resp, getattr(error, "status", 400), body)


async def _on_http_error(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, _params: dict[str, Any]
) -> None:
    status = error.status_code
    if status == 404:
        item = error_item(
            "no-such-path", f"nothing is at {req.path}", "see docs/http-api.md for what there is"
        )
    elif status == 405:
        allowed = (error.headers or {}).get("Allow", "") if isinstance(error.headers, dict) else ""
        item = error_item(
            "method-not-allowed", f"{req.method} is not for {req.path}", f"use {allowed}" if allowed else ""
        )
    else:
        item = error_item("bad-request", error.description or error.title or "bad request")
    _answer(resp, status, {"errors": [item]})
    for name, value in dict(error.headers or {}).items():
        resp.set_header(name, value)


async def _on_bug(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, _params: dict[str, Any]
) -> None:
    log.error("%s %s failed", req.method, req.path, exc_info=error)
    _answer(
        resp,
        500,
        {
            "errors": [
                error_item(
                    "internal", "klomp failed on this request", "the server's log says how; please report it"
                )
            ]
        },
    )


def install(app: falcon.asgi.App[Any, Any]) -> None:
    """Give the application its one map of errors."""
    app.add_error_handler(Exception, _on_bug)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    app.add_error_handler(store.StoreError, _on_store_error)
    app.add_error_handler(OSError, _on_os_error)
    app.add_error_handler(sqlite3.DatabaseError, _on_metadata_error)
    app.add_error_handler(QueryError, _on_query_error)
    app.add_error_handler(RequestError, _on_request_error)
