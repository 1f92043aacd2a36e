"""A small HTTP client of the store: records as JSON lines, questions as EDN, over kept-alive connections.

Every batch of records has an idempotency key, so it can be sent again whatever became of the first try: the server
keeps it once. Only where no try gets an answer nobody knows: that is `LostAnswerError`, and the caller decides.
"""

import gzip
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, Self
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

import orjson
import urllib3
import zstandard
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

DEFAULT_URL = "http://127.0.0.1:8080"
CONNECT_TIMEOUT_S = 10.0  # also for each piece of a body: a server that takes no 64 KiB in this time is stuck
ANSWER_TIMEOUT_S = 120.0  # above the server's own limit on a query, so that its error is what arrives
ATTEMPTS_MAX = 6  # with the waits below: a restart of 8 s is bridged
BACKOFF_FIRST_S = 0.25  # doubled at every attempt
RETRY_AFTER_MAX_S = 30.0  # of what a server asks for
PIECE_BYTES = 64 * 1024  # of a body, in one send
SHOWN_CHARACTERS_MAX = 200  # of an answer that is not ours, as a proxy's page
TRY_AGAIN = frozenset({503, 507})  # busy, or no room: nothing was taken

Compression = Literal["gzip", "zstd"]


class ClientError(Exception):
    """A request that came to nothing: what happened, and a way out."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


class UnreachableError(ClientError):
    """The server has not got the request: sending it again is safe."""


class LostAnswerError(ClientError):
    """The request was sent whole and no answer came: whether the server acted on it is not known."""


class RefusedError(ClientError):
    """The server said no.

    Attributes:
        status: the HTTP status.
        code: of the first error, or `http-<status>` where the answer was not the store's.
        rendered: for a query, the mistakes with their lines and carets.
        errors: all that the answer says, as it says it.
        body: the answer, where it was an object.
    """

    def __init__(
        self,
        message: str,
        hint: str | None,
        *,
        status: int,
        code: str,
        rendered: str | None,
        errors: Sequence[dict[str, Any]] = (),
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.errors = tuple(errors)
        self.status = status
        self.code = code
        self.rendered = rendered
        self.body = body or {}


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that was not taken: its index within the request, and why."""

    index: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of the records of one request.

    Attributes:
        rejected: those that were not taken; perhaps fewer are listed than `rejected_count`.
        searchable: false when it was to be waited for, and the server gave up waiting.
    """

    accepted: int
    rejected: tuple[Rejection, ...]
    rejected_count: int
    searchable: bool = True


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class _Body:
    """A body in pieces that knows if its last one went out."""

    data: bytes
    sent: bool = field(default=False, init=False)

    def __iter__(self) -> Iterator[bytes]:
        self.sent = False
        for start in range(0, len(self.data), PIECE_BYTES):
            yield self.data[start : start + PIECE_BYTES]
        self.sent = True


class Client:
    """Talks to one server; threads may share it, up to `connections` at a time.

    Args:
        url: of the server, with a path where a proxy gives it one; without a scheme it is `http://`.
        connections: kept alive and used at the same time.
        attempts_max: requests for one call, where repeating is safe.
        sleep: waits for so many seconds between two attempts.

    Raises:
        ClientError: the URL is none.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        connections: int = 1,
        attempts_max: int = ATTEMPTS_MAX,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = _checked(url)
        self._attempts_max = attempts_max
        self._sleep = sleep
        self._connected = False
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=answer_timeout_s),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def ingest(
        self,
        stream: str,
        records: Sequence[bytes],
        *,
        refresh: bool = False,
        compress: Compression | None = None,
    ) -> Accepted:
        """Send records, each JSON on one line; back once they are on disk, with `refresh` searchable.

        Raises:
            UnreachableError: the server has none of them.
            LostAnswerError: it may have them or not, and does not say.
            RefusedError: it has none of them, and sending the same again would not help.
        """
        body = b"\n".join(records) + b"\n"
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": uuid4().hex}
        if compress is not None:
            body = _COMPRESSORS[compress](body)
            headers["Content-Encoding"] = compress
        path = f"/v1/streams/{quote(stream, safe='')}/logs" + ("?refresh=wait" if refresh else "")
        reply = self._request("POST", path, headers, body)
        answer = self._answer(reply, (200, 202, 422))
        if "accepted" not in answer:
            raise self._refused(reply)
        rejected = tuple(
            Rejection(row["index"], row["code"], row["message"]) for row in answer.get("rejected", ())
        )
        rejected_count = answer.get("rejected_count", len(rejected))
        return Accepted(answer["accepted"], rejected, rejected_count, answer.get("searchable", True))

    def query(self, text: str, *, after: str | None = None) -> dict[str, Any]:
        """The answer to an EDN question, perhaps from a cursor on, as the server gives it in JSON.

        Raises:
            UnreachableError: no server.
            LostAnswerError: the connection broke.
            RefusedError: the question has mistakes; `rendered` shows them.
        """
        path = "/v1/query" + ("" if after is None else "?" + urlencode({"after": after}))
        headers = {"Content-Type": "application/edn", "Accept": "application/json"}
        return self._answer(self._request("POST", path, headers, text.encode()))

    def explain(self, text: str, *, after: str | None = None, run: bool = False) -> dict[str, Any]:
        """How the server would answer an EDN question; with `run` what that took.

        Raises:
            ClientError: as `query`.
        """
        said = {"after": after, "run": "true" if run else None}
        parameters = urlencode({name: value for name, value in said.items() if value is not None})
        path = "/v1/explain" + (f"?{parameters}" if parameters else "")
        headers = {"Content-Type": "application/edn", "Accept": "application/json"}
        return self._answer(self._request("POST", path, headers, text.encode()))

    def streams(self) -> list[dict[str, Any]]:
        """Every stream with its records, sizes and range of time.

        Raises:
            ClientError: as `query`.
        """
        rows: list[dict[str, Any]] = self._answer(self._request("GET", "/v1/streams", {}, None))["streams"]
        return rows

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        parameters: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer to any request that is answered with a JSON object.

        Args:
            method: Of HTTP.
            path: Such as `/v1/templates`, its names quoted.
            body: With its Content-Type among the headers.
            parameters: Of the URL, in order.
            headers: Beside `Accept`.

        Raises:
            ClientError: as `query`.
        """
        if parameters:
            path += "?" + urlencode(list(parameters))
        asked = {"Accept": "application/json", **(headers or {})}
        return self._answer(self._request(method, path, asked, body), (200, 201, 202))

    def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """What comes of sending an object to a path.

        Raises:
            ClientError: as `query`.
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self.call("POST", path, body=orjson.dumps(body), headers=sent)

    def put(self, path: str, text: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What comes of saving a document, EDN or JSON, at a path.

        Raises:
            ClientError: as `query`.
        """
        kind = "application/json" if text.lstrip().startswith('{"') else "application/edn"
        sent = {"Content-Type": kind, **(headers or {})}
        return self.call("PUT", path, body=text.encode(), headers=sent)

    def ready(self) -> bool:
        """If the server answers and takes requests."""
        try:
            return self._once("GET", "/readyz", {}, None).status == 200
        except (UnreachableError, LostAnswerError):
            return False

    def _answer(self, reply: _Reply, statuses: tuple[int, ...] = (200,)) -> dict[str, Any]:
        if reply.status not in statuses:
            raise self._refused(reply)
        answer = _json_object(reply.body)
        if answer is None:
            message = f"{self.url} answered {_excerpt(reply.body)}"
            hint = "is that a klomp server? check --url"
            raise RefusedError(message, hint, status=reply.status, code="not-json", rendered=None)
        return answer

    def _refused(self, reply: _Reply) -> RefusedError:
        answer = _json_object(reply.body) or {}
        errors = answer.get("errors") or [{}]
        code = errors[0].get("code", f"http-{reply.status}")
        message = errors[0].get("message", f"{self.url} answered {reply.status}: {_excerpt(reply.body)}")
        return RefusedError(
            message,
            errors[0].get("hint"),
            status=reply.status,
            code=code,
            rendered=answer.get("text"),
            errors=answer.get("errors") or (),
            body=answer,
        )

    def _request(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> _Reply:
        lost: LostAnswerError | None = None
        for attempt in count(1):
            wait_s = BACKOFF_FIRST_S * 2 ** (attempt - 1)
            try:
                reply = self._once(method, path, headers, body)
            except UnreachableError as error:
                # A server that was there may be starting again; one that never was is a mistake: say so.
                if not self._connected:
                    raise
                if attempt >= self._attempts_max:
                    raise lost or error from error
            except LostAnswerError as error:
                if "Idempotency-Key" not in headers or attempt >= self._attempts_max:
                    raise
                lost = error  # what follows may fail as it likes: this try may have been taken
            else:
                if reply.status not in TRY_AGAIN or attempt >= self._attempts_max:
                    return reply
                wait_s = _asked_wait_s(reply) or wait_s
            self._sleep(wait_s)
        raise AssertionError

    def _once(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> _Reply:
        pieces = None if body is None else _Body(body)
        if body is not None:
            headers = {**headers, "Content-Length": str(len(body))}
        try:
            reply = self._pool.request(method, self.url + path, body=pieces, headers=headers)
        except (NewConnectionError, ConnectTimeoutError, SSLError) as error:
            raise self._unreachable(error) from error
        except HTTPError as error:
            self._connected = True
            what = "did not answer in time" if isinstance(error, ReadTimeoutError) else "broke the connection"
            if pieces is not None and not pieces.sent:
                raise UnreachableError(f"{self.url} {what} before all was sent") from error
            raise LostAnswerError(f"{self.url} {what} after the request was sent") from error
        self._connected = True
        return _Reply(
            reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.data
        )

    def _unreachable(self, error: HTTPError) -> UnreachableError:
        if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
            reason = f"no connection within {CONNECT_TIMEOUT_S:g} s"
        else:
            cause = error.__cause__ or error
            reason = (getattr(cause, "strerror", None) or str(cause)).lower()
        refused = isinstance(error.__cause__, ConnectionRefusedError)
        hint = "start it with: klomp serve" if refused else "check --url"
        return UnreachableError(f"cannot reach {self.url}: {reason}", hint)


def _checked(url: str) -> str:
    full = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(full)
        fine = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = None
    if not fine or parts.query or parts.fragment:
        raise ClientError(f"no URL of a server: {url}", f"write it like {DEFAULT_URL}")
    return full.rstrip("/")


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _excerpt(body: bytes) -> str:
    text = " ".join(body[: SHOWN_CHARACTERS_MAX * 4].decode(errors="replace").split())
    shown = text if len(text) <= SHOWN_CHARACTERS_MAX else text[: SHOWN_CHARACTERS_MAX - 1] + "…"
    return shown or "nothing"


def _asked_wait_s(reply: _Reply) -> float | None:
    asked = reply.headers.get("retry-after", "")
    return min(float(asked), RETRY_AFTER_MAX_S) if asked.isdecimal() and asked.isascii() else None


_COMPRESSORS: dict[Compression, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(
        data, compresslevel=1
    ),  # on a fast network a better level only costs time
    "zstd": lambda data: zstandard.ZstdCompressor(level=3, write_content_size=True).compress(data),
}
