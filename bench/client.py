"""One kept-alive HTTP connection, for klomp and for what it is compared with."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

TIMEOUT_S = 300  # a slow question to another server over ten million records is still an answer


class Client:
    """One connection; not for several threads."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        if where.scheme != "http" or not where.hostname:
            raise ValueError(f"{url!r} is no address: write http://HOST:PORT")
        self._connection = http.client.HTTPConnection(where.hostname, where.port, timeout=TIMEOUT_S)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def post(self, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        """Status and body."""
        self._connection.request("POST", path, body=body, headers={"Content-Type": content_type})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def query(self, text: str) -> bytes:
        """The body of klomp's answer; raises for anything but 200."""
        return expect(self.post("/v1/query", text.encode(), "application/edn"), 200)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def expect(answer: tuple[int, bytes], *statuses: int) -> bytes:
    """The body of an answer that has one of these statuses; raises for any other."""
    status, data = answer
    if status not in statuses:
        raise RuntimeError(f"HTTP {status}: {data[:1000].decode(errors='replace')}")
    return data
