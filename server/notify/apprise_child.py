"""The process that sends one message by Apprise: a JSON object on stdin, one on stdout, and an audit hook between.

    {"do": "send", "url": "slack://…", "title": "…", "blocks": ["…"], "kind": "failure", …}
    {"ok": false, "error": "…", "status": 429, "retry_after_s": 30.0, "refused": null}

The hook is called by the interpreter itself with the very address that a socket is about to connect to, whichever of
Apprise's senders does it, by `requests` after a redirect, by `smtplib` or otherwise. What it refuses is not connected
to, so neither redirects nor names that change lead around it. It refuses as well to open files and to start programs:
some URLs name files (`?template=/etc/passwd`). Audit hooks: https://peps.python.org/pep-0578/
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import orjson

from server.notify.addresses import AddressRefused, refusal
from server.notify.text import bounded, fit

PR_SET_PDEATHSIG = 1  # prctl(2)
BODY_CHARACTERS_LEAST = 40  # a sender that takes less takes no text
STARTS_PROGRAMS = frozenset(
    {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork", "os.forkpty"}
)
CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
READABLE = (
    "/etc/ssl/",
    "/etc/pki/",
    "/usr/share/",
    "/usr/lib/",
    "/dev/urandom",
    "/dev/null",
    "/etc/mime.types",
)
CODE = (".py", ".pyc", ".so")
LOCAL = frozenset(
    {"syslog", "dbus", "kde", "qt", "glib", "gnome", "macosx", "windows"}
)  # reach this machine, nobody else


class _Guard:
    """The audit hook. It cannot be taken away again, nor need it: the process ends with its message."""

    def __init__(self, *, allow_private: bool) -> None:
        self.allow_private = allow_private
        self.refused: str | None = None
        roots = {sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
        self.readable = (*READABLE, *(f"{root.rstrip('/')}/" for root in roots if root != "/usr"))

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in CONNECTS:
            self._connect(arguments[0], arguments[1])
        elif event == "open":
            self._open(arguments[0], arguments[2])
        elif event in STARTS_PROGRAMS:
            raise PermissionError(f"{event} is not for senders")

    def _connect(self, connecting: socket.socket, address: object) -> None:
        if address is None and connecting.family in (socket.AF_INET, socket.AF_INET6):
            return  # a message on a socket that was connected, and so checked, before
        if connecting.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            self._refuse("a local socket", "not for senders")
        host = str(address[0]) if isinstance(address, tuple) else ""
        reason = refusal(host)
        if reason == "not an address":
            self._refuse(host, "a name that was not looked up")  # the look-up would come after this check
        if reason is not None and not self.allow_private:
            self._refuse(host, reason)

    def _refuse(self, address: str, reason: str) -> None:
        error = AddressRefused(address, reason)
        self.refused = self.refused or str(error)
        raise error

    def _open(self, path: object, flags: object) -> None:
        if isinstance(path, int) or not isinstance(path, str | bytes):
            return  # a descriptor that is open
        name = os.path.normpath(os.fsdecode(path))
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        fine = name.startswith(self.readable) or name.endswith(CODE)
        if name != "/dev/null" and (writes or not fine):
            raise PermissionError(f"{name} is not for senders")


class _Told(logging.Handler):
    """What Apprise says of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING or "Exception:" in text:
            self.lines.append(text)


class _Answers:
    """The last HTTP answer that a sender got: it tells only whether all went well."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after_s: float | None = None

    def watch(self) -> None:
        """Look at each answer from now on."""
        import requests  # noqa: PLC0415  # only here: it takes a while

        send = requests.Session.send

        def watched(
            session: requests.Session, request: requests.PreparedRequest, **options: Any
        ) -> requests.Response:
            answer = send(session, request, **options)
            self.status = answer.status_code
            self.retry_after_s = _seconds(answer.headers.get("Retry-After"))
            return answer

        requests.Session.send = watched  # type: ignore[method-assign, assignment]


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError):
        return None


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked."""
    import apprise  # noqa: PLC0415  # within the process that the parent can end

    told = _Told()
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(told)
    answers = _Answers()
    answers.watch()
    asset = apprise.AppriseAsset(storage_mode="memory")
    asset.http_redirects = False
    asset.pgp_autogen = asset.pem_autogen = False
    guard = _Guard(allow_private=bool(request["allow_private"]))
    sys.addaudithook(guard)
    url = str(request["url"])
    sender = None if url.partition(":")[0].lower() in LOCAL else apprise.Apprise.instantiate(url, asset=asset)
    if sender is None or isinstance(sender, list | dict):
        return {
            "ok": False,
            "unknown": True,
            "error": told.lines[0] if told.lines else "Apprise does not know such a URL",
        }
    if request["do"] == "check":
        return {"ok": True, "body_characters_max": sender.body_maxlen}
    # The senders look their hosts up themselves; what they connect to is what the guard is shown.
    most = max(min(sender.body_maxlen, int(request["characters_max"])), BODY_CHARACTERS_LEAST)
    title = str(request["title"])
    if sender.title_maxlen > 0:
        text = fit(request["blocks"], most)
        title = bounded(title, sender.title_maxlen)
    else:
        text = fit([title, *request["blocks"]], most)
        title = ""
    try:
        ok = sender.notify(body=text, title=title, notify_type=request["kind"], body_format="text")
    except Exception as error:  # noqa: BLE001  # a hundred senders by others: whatever they raise is a failure to send
        ok = False
        told.lines.append(f"{type(error).__name__}: {error}")
    return {
        "ok": bool(ok) and guard.refused is None,
        "error": " ".join(told.lines),
        "status": answers.status,
        "retry_after_s": answers.retry_after_s,
        "refused": guard.refused,
    }


def main() -> None:
    """Answer one request."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    request = orjson.loads(sys.stdin.buffer.read())
    out = os.dup(1)
    os.dup2(2, 1)  # what a sender prints is no answer
    socket.setdefaulttimeout(float(request.get("timeout_s", 10)))
    done = orjson.dumps(answer(request))
    with os.fdopen(out, "wb") as stream:
        stream.write(done)


if __name__ == "__main__":
    main()
