"""Parameters in URLs: a request with one that its path does not know is refused, never half understood.

A resource says which it knows, by method: `parameters = {"GET": ("kind", "limit")}`; of the others there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import falcon.asgi

from dsl.nearest import meant
from server.errors import RequestError

Parameters = Mapping[str, Sequence[str]]

NUMBER_MAX = 10**18 - 1  # of a parameter: what SQLite can count to, in whole digits
ANY = ("*",)  # of a resource that checks its parameters itself, because it knows their names only then


class KnownParameters:
    """Looks at every request that has a resource, before the resource does."""

    async def process_resource(
        self,
        req: falcon.asgi.Request,
        _resp: falcon.asgi.Response,
        resource: object,
        _params: dict[str, Any],
    ) -> None:
        """Go on only if every parameter is known.

        Raises:
            RequestError: `unknown-parameter` (400).
        """
        if not req.params:
            return
        methods: Parameters = getattr(resource, "parameters", {})
        known = methods.get(req.method, ())
        if known is ANY:
            return
        for name in req.params:
            if name not in known:
                raise RequestError(
                    400, "unknown-parameter", f"no parameter {name!r} at {req.path}", _hint(name, known)
                )


def number_parameter(req: falcon.asgi.Request, name: str, most: int = NUMBER_MAX) -> int | None:
    """A whole number from 1 on in the URL, None where it is left out.

    Raises:
        RequestError: `bad-parameter` (400).
    """
    given = req.get_param(name)
    if given is None:
        return None
    if (
        given.isascii()
        and given.isdecimal()
        and len(given) <= len(str(NUMBER_MAX))
        and 0 < int(given) <= most
    ):
        return int(given)
    hint = f"use a whole number from 1 to {most}" if most < NUMBER_MAX else "use a whole number from 1 on"
    raise RequestError(400, "bad-parameter", f"{name} is {given[:40]!r}", hint)


def _hint(name: str, known: Sequence[str]) -> str:
    if not known:
        return "there are none: leave it out"
    return meant(name, known) or f"there are: {', '.join(known)}"
