"""One POST to a channel, to an address that was checked: `https://hooks.example.com/x` connects to 93.184.216.34:443.

The name is looked up once and the connection goes to what was found and checked, so that a name which leads elsewhere
a moment later changes nothing. The certificate is checked against the name. Redirects are not followed, and the
environment's proxies are not used: both would lead where nobody looked.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Url, make_headers, parse_url

from server.notify.addresses import AddressRefused, Endpoint, Resolve, endpoints, system_resolve
from server.notify.outcome import Outcome, failed, refused, sent
from server.notify.secrets import pieces, redact
from storage.times import US_PER_S

ANSWER_BYTES_MAX = 2048  # of an answer are read: enough to say what is wrong
ENDPOINTS_TRIED_MAX = 4  # of a name with many addresses: each may take the whole timeout
TRANSIENT = frozenset(
    {408, 425, 429}
)  # of 4xx; RFC 9110, RFC 8470, RFC 6585: the same request may do better later
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the other side answered."""

    status: int
    text: str
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class Post:
    """A request that is ready to be sent.

    Attributes:
        url: Where to, with userinfo where it asks for basic authentication.
        body: JSON.
        headers: Beside `Content-Type`, `Host` and `User-Agent`.
        timeout_s: To connect, and for each wait within the answer.
        allow_private: Whether any address may be reached.
    """

    url: str
    body: bytes
    headers: Mapping[str, str]
    timeout_s: float
    allow_private: bool


def post(request: Post, now_us: int, resolve: Resolve = system_resolve) -> Outcome:
    """Send it; what came of that. Never raises for what the other side does.

    What is said of a failure names host and status, never the URL, whose path may be a secret.
    """
    url = parse_url(request.url)
    assert url.host is not None, "checked when the channel was saved"
    assert url.scheme in PORTS, "checked when the channel was saved"
    host, port = url.host.strip("[]"), url.port or PORTS[url.scheme]
    try:
        found = endpoints(host, port, allow_private=request.allow_private, resolve=resolve)
    except AddressRefused as error:
        return refused(f"not sent: {error}, and the channel does not allow private addresses")
    except (OSError, UnicodeError) as error:  # a label of a name may be too long for IDNA
        return failed(f"cannot find {host}: {getattr(error, 'strerror', None) or error}")
    reply: Reply | str = "no address"
    for endpoint in found[:ENDPOINTS_TRIED_MAX]:
        reply = _exchange(url, endpoint, host, request, now_us)
        if isinstance(reply, Reply):
            return _judged(host, replace(reply, text=redact(reply.text, _secrets(request))))
    return failed(f"{host}: {reply}")


def _exchange(url: Url, endpoint: Endpoint, host: str, request: Post, now_us: int) -> Reply | str:
    """The answer from one address, or why there is none."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "klomp",
        "Host": url.netloc or host,
        **request.headers,
    }
    if url.auth is not None:
        headers |= make_headers(basic_auth=unquote(url.auth))
    timeout = urllib3.Timeout(connect=request.timeout_s, read=request.timeout_s)
    pool: urllib3.HTTPConnectionPool
    if url.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            endpoint.host,
            endpoint.port,
            timeout=timeout,
            retries=False,
            server_hostname=host,
            assert_hostname=host,
            ssl_context=ssl.create_default_context(),
        )
    else:
        pool = urllib3.HTTPConnectionPool(endpoint.host, endpoint.port, timeout=timeout, retries=False)
    try:
        answer = pool.urlopen(
            "POST",
            url.request_uri,
            body=request.body,
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            assert_same_host=False,
        )
        text = answer.read1(ANSWER_BYTES_MAX).decode(errors="replace")
        return Reply(answer.status, text, _retry_after_s(answer.headers.get("Retry-After"), now_us))
    except (HTTPError, OSError) as error:
        return _reason(error)
    finally:
        pool.close()


def _secrets(request: Post) -> set[str]:
    """What an answer may repeat and nobody shall read: `404 no hook T0/B1/key` tells the path, which is the secret."""
    authorization = request.headers.get("Authorization", "").split(" ")[-1]
    return pieces(request.url) | {authorization}


def _judged(host: str, reply: Reply) -> Outcome:
    if 200 <= reply.status < 300:
        return sent(f"{host} answered {reply.status}", reply.status)
    what = f"{host} answered {reply.status}" + (f": {reply.text.strip()}" if reply.text.strip() else "")
    if 300 <= reply.status < 400:
        return refused(f"{host} answered {reply.status}: redirects are not followed", reply.status)
    if reply.status >= 500 or reply.status in TRANSIENT:
        return failed(what, reply.retry_after_s, reply.status)
    return refused(what, reply.status)


def _reason(error: Exception) -> str:
    """What went wrong, without addresses of objects and without the URL."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else None
    cause = error.__cause__ or inner or error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {(cause.reason or 'failed').replace('_', ' ').lower()}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "no answer in time"
    return type(cause).__name__


def _retry_after_s(value: str | None, now_us: int) -> float | None:
    """What a `Retry-After` asks for, RFC 9110, 10.2.3: seconds, or a time; None where it is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
        return max(0.0, when.timestamp() - now_us / US_PER_S)
    except (ValueError, OverflowError):
        return None
