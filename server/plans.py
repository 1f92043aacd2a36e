"""What would change if files were what is set, what is wrong with them, and what stands where changing it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dsl.errors import QueryError
from server.errors import RequestError, error_item, status_of
from storage.documents import Change
from storage.errors import StoreError

DONE_NAMED_MAX = 5  # in the message of what was applied in part; the body has them all

What = Literal["create", "update", "delete", "none"]


@dataclass(frozen=True, slots=True)
class File:
    """A document as a file has it: `kind` in the singular, the text in EDN."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one document. Texts are as they may be shown, None where there is none.

    Attributes:
        hidden: Whether something changes that is not shown: a secret.
    """

    kind: str
    name: str
    what: What
    before: str | None
    after: str | None
    hidden: bool = False

    def to_json(self) -> dict[str, Any]:
        """It as the answer has it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "change": self.what,
            "before": self.before,
            "after": self.after,
            "hidden": self.hidden,
        }


@dataclass(slots=True)
class Plan:
    """What would change, or what is wrong."""

    steps: list[Step] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    streams: list[tuple[str, Any]] = field(
        default_factory=list
    )  # with what shall be set of each; None: it goes
    wrong: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(
        default_factory=list
    )  # with the kind and the name of what they are of

    def refuse(self, kind: str, name: str, error: Exception, text: str | None = None) -> None:
        """Note what is wrong with one document."""
        entry: dict[str, Any] = {"kind": kind, "name": name}
        if isinstance(error, QueryError):
            entry |= {"errors": error.to_json(text), "text": error.render(text)}
        else:
            assert isinstance(error, RequestError | StoreError)
            entry |= {"errors": [error_item(error.code, error.message, error.hint)], "text": ""}
        self.wrong.append(entry)


class PartlyApplied(RequestError):
    """Something failed when some was changed already; the body's `changed` says what stands."""

    def __init__(self, error: Exception, done: Sequence[tuple[str, str]], wanted: int) -> None:
        named = ", ".join(f"{kind} {name}" for kind, name in done[:DONE_NAMED_MAX])
        more = ", …" if len(done) > DONE_NAMED_MAX else ""
        status = 503
        if isinstance(error, RequestError):
            status = error.status
        elif isinstance(error, StoreError):
            status = status_of(error)
        super().__init__(
            status,
            "partly-applied",
            f"{len(done)} of {wanted} changes were made ({named}{more}) and no other: {error}",
            getattr(error, "hint", "") or "apply again: what was made stays as it is",
            {"changed": [{"kind": kind, "name": name} for kind, name in done]},
        )
