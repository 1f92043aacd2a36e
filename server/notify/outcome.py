"""What became of an attempt to notify: delivered, to be tried again, or in vain."""

from __future__ import annotations

from dataclasses import dataclass

ERROR_CHARACTERS_MAX = 300  # of what went wrong: it is kept for each notification, and shown in a table


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        ok: Whether the channel took it.
        detail: What the channel said, for people; no secrets in it.
        permanent: Not taken, and sending the same again would end the same.
        retry_after_s: How long the channel asked to be left alone, seconds.
        status: The HTTP status, where there was one.
    """

    ok: bool
    detail: str
    permanent: bool = False
    retry_after_s: float | None = None
    status: int | None = None


def sent(detail: str = "sent", status: int | None = None) -> Outcome:
    """The channel took it."""
    return Outcome(ok=True, detail=_short(detail), status=status)


def failed(detail: str, retry_after_s: float | None = None, status: int | None = None) -> Outcome:
    """The channel did not take it, and may later."""
    return Outcome(ok=False, detail=_short(detail), retry_after_s=retry_after_s, status=status)


def refused(detail: str, status: int | None = None) -> Outcome:
    """The channel did not take it, and never will as it is."""
    return Outcome(ok=False, detail=_short(detail), permanent=True, status=status)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= ERROR_CHARACTERS_MAX else line[: ERROR_CHARACTERS_MAX - 1] + "…"
